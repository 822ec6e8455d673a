// SPDX-License-Identifier: Apache-2.0
// Settings as section text. The text needs no consts and reads back to equal settings.

import IR

extension Settings {
  /// The sections in a fixed order, everything written.
  public var text: String {
    var sections: [String] = []
    if let train { sections.append(section("train", train.entries)) }
    sections.append(section("qat", qat.entries))
    if let quantize { sections.append(section("quantize", quantize.entries)) }
    if !evaluate.isEmpty { sections.append(section("evaluate", evaluate.map(\.text))) }
    if let ttt {
      sections.append(section("ttt \(ttt.mode.rawValue)", ttt.entries))
    } else {
      sections.append(section("ttt", ["off"]))
    }
    let expectations = expect.entries
    if !expectations.isEmpty { sections.append(section("expect", expectations)) }
    return sections.joined(separator: "\n")
  }

  private func section(_ header: String, _ entries: [String]) -> String {
    entries.count == 1
      ? "\(header) { \(entries[0]) }\n"
      : "\(header) {\n" + entries.map { "  \($0)\n" }.joined() + "}\n"
  }
}

extension OptimizerRule {
  /// `adamw(lr: 0.04, …)` with everything written.
  public var text: String {
    switch self {
    case .adamw(let rule):
      "adamw(lr: \(shortest(rule.lr)), betas: [\(shortest(rule.beta1)), \(shortest(rule.beta2))], "
        + "eps: \(shortest(rule.epsilon)), decay: \(shortest(rule.decay)))"
    case .muon(let rule):
      "muon(lr: \(shortest(rule.lr)), momentum: \(rule.momentumText), "
        + "newton_schulz: \(rule.steps), iteration: \(rule.iteration.rawValue), "
        + "row_normalise: \(rule.normalisesRows), decay: \(shortest(rule.decay)))"
    case .sgd(let rule):
      "sgd(lr: \(shortest(rule.lr)), momentum: \(shortest(rule.momentum)), "
        + "decay: \(shortest(rule.decay)))"
    }
  }
}

extension MuonRule {
  fileprivate var momentumText: String {
    rampSteps == 0
      ? shortest(momentum)
      : "ramp(\(shortest(rampFrom)), \(shortest(momentum)), steps: \(rampSteps))"
  }
}

extension TrainSettings {
  fileprivate var entries: [String] {
    var entries = [
      "read \(rows) rows of \(seq)" + (isShuffled ? " shuffled" : ""), "accumulate \(accumulate)",
    ]
    let limits =
      (stopSteps.map { ["\($0) steps"] } ?? []) + (stopSeconds.map { ["\(shortest($0)) s"] } ?? [])
    if !limits.isEmpty { entries.append("stop at " + limits.joined(separator: " or ")) }
    entries += optimizers.map { "optimizer \($0.target.optimizerText) \($0.rule.text)" }
    if let clip { entries.append("clip \(shortest(clip))") }
    if warmup > 0 { entries.append("warmup \(warmup) steps") }
    switch warmdown {
    case .steps(let steps): entries.append("warmdown \(steps) steps floor \(shortest(floor))")
    case .fraction(let fraction):
      entries.append("warmdown \(shortest(fraction)) of training floor \(shortest(floor))")
    case nil: break
    }
    switch average {
    case .none: entries.append("average none")
    case .ema(let decay): entries.append("average ema(\(shortest(decay)))")
    }
    if let zLoss { entries.append("z_loss \(shortest(zLoss))") }
    entries.append("validate every \(validateEvery) steps on \(validateTokens) tokens")
    entries.append("checkpoint every \(checkpointEvery) steps")
    return entries
  }
}

extension QATSettings {
  fileprivate var entries: [String] {
    switch self {
    case .off: ["off"]
    case .on(.straightThrough, let start): ["straight_through from \(start.text)"]
    case .on(.softRound(let form, let from, let to), let start):
      [
        "soft_round form \(form.rawValue) alpha \(shortest(from)) to \(shortest(to)) "
          + "from \(start.text)"
      ]
    }
  }
}

extension QuantizeSettings {
  fileprivate var entries: [String] {
    var entries = rules.map { "\($0.target.text) \($0.precision)" }
    if let budget { entries.append("budget \(budget) bytes code \(codeBytes) bytes") }
    return entries
  }
}

extension Evaluation {
  fileprivate var text: String {
    var text = "\(name) window \(window)"
    if let stride { text += " stride \(stride)" }
    if let batch { text += " batch \(batch) rows" }
    return onFloat ? text + " on float" : text
  }
}

extension TTTSettings {
  fileprivate var entries: [String] {
    var entries = [
      "chunk \(chunk) tokens", "window \(window)", "stride \(stride)", "epochs \(epochs)",
      "batch \(batch) rows",
    ]
    if let clip { entries.append("clip \(shortest(clip))") }
    let cosine = schedule == .cosineOverChunks ? " cosine over chunks" : ""
    entries += optimizers.map { "optimizer \($0.target.optimizerText) \($0.rule.text)\(cosine)" }
    entries += scales.map { "scale \"\($0.glob.pattern)\" \(shortest($0.factor))" }
    entries += frozen.map { "freeze \"\($0.pattern)\"" }
    return entries
  }
}

extension ExpectSettings {
  fileprivate var entries: [String] {
    (parameters.map { ["parameters \($0)"] } ?? [])
      + (artifactAtMost.map { ["artifact at most \($0) bytes"] } ?? [])
  }
}
