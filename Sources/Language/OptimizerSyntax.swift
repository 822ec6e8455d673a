// SPDX-License-Identifier: Apache-2.0
// How optimizers are written: their options, and what an `optimizer` entry becomes.

import IR

private let lr = RuleParameter("lr", .number(.nonnegative))
private let decay = RuleParameter("decay", .number(.nonnegative), default: "0")
private let betas = RuleParameter("betas", .pair(.fraction), default: "[0.9, 0.95]")
private let eps = RuleParameter("eps", .number(.positive), default: "1e-8")

extension RuleSignature {
  static let adam = RuleSignature("adam", [lr, betas, eps])
  static let adamw = RuleSignature("adamw", [lr, betas, eps, decay])
  static let sgd = RuleSignature(
    "sgd", [lr, RuleParameter("momentum", .number(.fraction), default: "0"), decay])
  static let muon = RuleSignature(
    "muon",
    [
      lr, RuleParameter("momentum", .ramp, default: "0.95"),
      RuleParameter("newton_schulz", .number(.wholeUpTo(NewtonSchulz.mostSteps)), default: "5"),
      RuleParameter("iteration", .word(["standard", "polar_express"]), default: "standard"),
      RuleParameter("row_normalise", .bool, default: "false"), decay,
    ])
}

extension EntryMatch {
  /// What an `optimizer` entry becomes.
  var optimizer: OptimizerEntry? {
    guard let target = target("target"), let rule = rule("rule") else { return nil }
    return OptimizerEntry(
      target: target, rule: OptimizerRule(name: rule.name, arguments: rule.arguments),
      location: location)
  }
}

extension OptimizerRule {
  /// The rule that a matched `adam`, `adamw`, `muon` or `sgd` stands for.
  init(name: String, arguments: [String: RuleValue]) {
    func number(_ name: String) -> Double { arguments[name]?.number ?? 0 }
    switch name {
    case "sgd":
      self = .sgd(
        SGDRule(lr: number("lr"), momentum: number("momentum"), decay: number("decay")))
    case "muon":
      var rule = MuonRule(lr: number("lr"), momentum: number("momentum"))
      if case .ramp(let from, let to, let steps)? = arguments["momentum"] {
        rule.momentum = to
        rule.rampFrom = from
        rule.rampSteps = steps
      }
      rule.steps = Int(number("newton_schulz"))
      if case .word(let word)? = arguments["iteration"] {
        rule.iteration = MuonRule.Iteration(rawValue: word) ?? .standard
      }
      if case .bool(let flag)? = arguments["row_normalise"] { rule.normalisesRows = flag }
      rule.decay = number("decay")
      self = .muon(rule)
    default:
      var betas = [0.9, 0.95]
      if case .numbers(let pair)? = arguments["betas"] { betas = pair }
      self = .adamw(
        AdamWRule(
          lr: number("lr"), beta1: betas[0], beta2: betas[1], epsilon: number("eps"),
          decay: number("decay")))
    }
  }

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
