// SPDX-License-Identifier: Apache-2.0
// What the entries of each section become, with the checks that need several entries of one
// section.

import IR

extension SectionReader {
  mutating func readInitial(_ matches: [EntryMatch]) {
    for match in matches {
      guard let glob = match.glob("pattern"), let rule = match.rule("init"),
        let initial = Initializer(name: rule.name, arguments: rule.arguments)
      else { continue }
      append(InitialRule(glob: glob, initial: initial, location: match.location))
    }
  }

  private func optimizer(_ match: EntryMatch) -> OptimizerEntry? {
    guard let target = match.target("target"), let rule = match.rule("rule") else { return nil }
    return OptimizerEntry(
      target: target, rule: OptimizerRule(name: rule.name, arguments: rule.arguments),
      location: match.location)
  }

  mutating func readTrain(_ matches: [EntryMatch], at place: SourceLocation) {
    guard let read = matches.first(where: { $0.entry.word == "read" }),
      let rows = read.whole("rows"), let seq = read.whole("seq")
    else {
      report(
        .missingEntry, "'train' needs 'read'", at: place,
        suggestion: "write: read batch rows of seq")
      return
    }
    var train = TrainSettings(rows: rows, seq: seq)
    train.isShuffled = read.has("shuffled")
    for match in matches {
      places[match.entry.word] = match.location
      switch match.entry.word {
      case "accumulate": train.accumulate = match.whole("passes") ?? 1
      case "stop": readStop(match, into: &train)
      case "optimizer": train.optimizers += optimizer(match).map { [$0] } ?? []
      case "clip": train.clip = match.number("norm")
      case "warmup": train.warmup = match.whole("steps") ?? 0
      case "warmdown":
        guard let length = match.number("length") else { continue }
        train.floor = match.number("floor") ?? 0
        if match.has("training") {
          train.warmdown = .fraction(length)
        } else if let steps = Int(exactly: length) {
          train.warmdown = .steps(steps)
        } else {
          report(
            .notWhole, "a number of steps must be whole, found \(shortest(length))",
            at: match.location(of: "length"),
            suggestion: "a fraction is written: \(shortest(length)) of training")
        }
      case "average":
        if case .number(let decay)? = match.rule("rule")?.arguments["decay"] {
          train.average = .ema(decay)
        }
      case "z_loss": train.zLoss = match.number("weight")
      case "validate":
        train.validateEvery = match.whole("steps") ?? train.validateEvery
        train.validateTokens = match.whole("tokens") ?? train.validateTokens
      case "checkpoint": train.checkpointEvery = match.whole("steps") ?? 200
      default: break
      }
    }
    if train.stopSteps == nil, train.stopSeconds == nil {
      report(
        .missingEntry, "'train' needs 'stop', or it would never end", at: place,
        suggestion: "write: stop at 1000 steps or 600 s")
    }
    if train.optimizers.isEmpty {
      report(.missingEntry, "'train' has no optimizer, so nothing would be trained", at: place)
    }
    reportOverruled(train.optimizers)
    let (tokens, overflow) = rows.multipliedReportingOverflow(by: seq)
    if overflow || tokens > 1 << 32 {
      report(
        .tooLarge, "\(rows) rows of \(seq) tokens are more than one pass can hold",
        at: read.location)
    }
    update { $0.train = train }
  }

  private mutating func readStop(_ match: EntryMatch, into train: inout TrainSettings) {
    for (limit, unit) in [("limit", "unit"), ("limit2", "unit2")] {
      guard let number = match.number(limit), let word = match.word(unit) else { continue }
      if word == "s" {
        if train.stopSeconds != nil {
          report(.duplicateEntry, "two limits in seconds", at: match.location(of: limit))
        }
        train.stopSeconds = number
      } else if let steps = Int(exactly: number) {
        if train.stopSteps != nil {
          report(.duplicateEntry, "two limits in steps", at: match.location(of: limit))
        }
        train.stopSteps = steps
      } else {
        report(
          .notWhole, "a number of steps must be whole, found \(shortest(number))",
          at: match.location(of: limit))
      }
    }
  }

  /// A rule with the same target as a later one, or before a later `default`, never wins.
  private mutating func reportOverruled(_ optimizers: [OptimizerEntry]) {
    for (index, entry) in optimizers.enumerated() {
      let rest = optimizers[(index + 1)...]
      guard let winner = rest.first(where: { $0.target == entry.target || $0.target == .default })
      else { continue }
      report(
        .neverWins, "this rule never wins: a later one applies wherever it does",
        at: entry.location, notes: [.init("the later rule", at: winner.location)])
    }
  }

  /// The start of QAT or of a variant from a matched form.
  static func scheduleStart(_ match: EntryMatch) -> ScheduleStart {
    if case .number(let multiplier)? = match.rule("lr_below")?.arguments["multiplier"] {
      return .rateBelow(multiplier)
    }
    guard let fraction = match.number("fraction") else { return .start }
    return match.word("phase") == "warmdown" ? .warmdown(fraction) : .training(fraction)
  }

  mutating func readQAT(_ matches: [EntryMatch], at place: SourceLocation) {
    guard matches.count == 1, let match = matches.first else {
      report(
        matches.isEmpty ? .missingEntry : .duplicateEntry,
        "'qat' has one entry, found \(matches.count)",
        at: matches.dropFirst().first?.location ?? place,
        suggestion: "write off, straight_through or soft_round")
      return
    }
    let start = SectionReader.scheduleStart(match)
    switch match.entry.word {
    case "straight_through": update { $0.qat = .on(.straightThrough, from: start) }
    case "soft_round":
      let form = match.word("form").flatMap(QATSettings.Form.init(rawValue:)) ?? .a
      let mode = QATSettings.Mode.softRound(
        form: form, from: match.number("from") ?? 1, to: match.number("to") ?? 16)
      update { $0.qat = .on(mode, from: start) }
    default: break
    }
    noteStart(match.location)
  }

  /// Remembers where the start of QAT stands, for checks against `train`.
  private mutating func noteStart(_ location: SourceLocation) { places["qat"] = location }

  mutating func readQuantize(_ matches: [EntryMatch]) {
    var quantize = QuantizeSettings()
    for match in matches {
      if match.entry.word == "budget" {
        quantize.budget = match.whole("bytes")
        quantize.codeBytes = match.whole("code") ?? 0
        continue
      }
      guard let target = match.target("target"), let precision = precision(match) else { continue }
      quantize.rules.append(
        PrecisionRule(target: target, precision: precision, location: match.location))
    }
    for (index, rule) in quantize.rules.enumerated() {
      let rest = quantize.rules[(index + 1)...]
      if let winner = rest.first(where: { $0.target == rule.target || $0.target == .default }) {
        report(
          .neverWins, "this rule never wins: a later one applies wherever it does",
          at: rule.location, notes: [.init("the later rule", at: winner.location)])
      }
    }
    update { $0.quantize = quantize }
  }

  private mutating func precision(_ match: EntryMatch) -> Precision? {
    guard let name = match.rule("precision")?.name else { return nil }
    let words = ["per_row", "max", "quantile", "sdclip", "floor", "half_floor", "asymmetric"]
    if name == "f32" || name == "f16" {
      if let word = (words + ["unrounded"]).first(where: { match.has($0) }) {
        report(
          .malformedEntry, "'\(word)' has no meaning for \(name)", at: match.location(of: word))
      }
      return name == "f32" ? .f32 : .f16
    }
    func argument(_ rule: String) -> Double? {
      match.rule(rule)?.arguments.values.compactMap { value in
        if case .number(let number) = value { return number }
        return nil
      }.first
    }
    let clips = ["max", "quantile", "sdclip"].filter { match.has($0) }
    guard match.has("per_row"), clips.count == 1 else {
      report(
        .malformedEntry,
        clips.count > 1
          ? "'\(clips[0])' and '\(clips[1])' both say what the largest code stands for"
          : "an integer precision needs 'per_row' and one of max, quantile(q), sdclip(k)",
        at: match.location(of: "precision"), suggestion: "such as: \(name) per_row sdclip(12.85)")
      return nil
    }
    let clip: Quantizer.Clip =
      argument("sdclip").map { .sdclip($0) } ?? argument("quantile").map { .quantile($0) } ?? .max
    var quantizer = Quantizer(bits: Int(name.dropFirst(3)) ?? 8, clip: clip)
    quantizer.floor = argument("floor") ?? quantizer.floor
    quantizer.halfFloor = argument("half_floor") ?? quantizer.halfFloor
    quantizer.isAsymmetric = match.has("asymmetric")
    quantizer.codesFromUnrounded = match.has("unrounded")
    return .int(quantizer)
  }

  mutating func readEvaluate(_ matches: [EntryMatch]) {
    var names: [String: SourceLocation] = [:]
    for match in matches {
      guard let name = match.word("name"), let window = match.whole("window") else { continue }
      if let first = names[name] {
        report(
          .duplicateEntry, "two evaluations are named '\(name)'", at: match.location,
          notes: [.init("the first one is here", at: first)])
      }
      names[name] = match.location
      var evaluation = Evaluation(name: name, window: window)
      evaluation.stride = match.whole("stride")
      evaluation.batch = match.whole("batch")
      evaluation.onFloat = match.has("float")
      if let stride = evaluation.stride, stride > window {
        report(
          .misaligned, "a stride of \(stride) leaves out tokens between windows of \(window)",
          at: match.location(of: "stride"))
      }
      update { $0.evaluate.append(evaluation) }
    }
  }

  mutating func readExpect(_ matches: [EntryMatch]) {
    for match in matches {
      if match.entry.word == "parameters" {
        update { $0.expect.parameters = match.whole("count") }
        places["parameters"] = match.location(of: "count")
      } else {
        update { $0.expect.artifactAtMost = match.whole("bytes") }
      }
    }
  }
}
