// SPDX-License-Identifier: Apache-2.0
// Reads and prints the rules of `optimizer` entries by the options of IR's `Optimizer`.

import IR

extension RuleSignature {
  /// An optimizer with its options.
  init(_ optimizer: Optimizer) {
    self.init(
      optimizer.name,
      optimizer.options.map { option in
        let kind: RuleParameter.Kind =
          switch option.meaning {
          case .learningRate: .number(.nonnegative)
          case .number(_, let range): .number(range)
          case .pair(_, _, let range): .pair(range)
          case .word(_, let words): .word(words)
          case .flag: .bool
          case .ramp: .ramp
          }
        return RuleParameter(option.name, kind, default: option.defaultText)
      })
  }
}

extension EntryMatch {
  /// What an `optimizer` entry becomes.
  var optimizer: OptimizerEntry? {
    guard let target = target("target"), let rule = rule("rule"),
      let optimizer = Optimizer.all.first(where: { $0.name == rule.name })
    else { return nil }
    return OptimizerEntry(
      target: target, rule: OptimizerRule(optimizer, rule.arguments), location: location)
  }
}

extension OptimizerRule {
  fileprivate init(_ optimizer: Optimizer, _ arguments: [String: RuleValue]) {
    self.init(optimizer.op, lr: 0)
    for option in optimizer.options {
      switch (option.meaning, arguments[option.name]) {
      case (.learningRate, .number(let number)): lr = number
      case (.number(let name, let range), .number(let number)):
        attributes[name] = range.isWhole ? .int(Int(number)) : .double(number)
      case (.pair(let first, let second, _), .numbers(let pair)):
        (attributes[first], attributes[second]) = (.double(pair[0]), .double(pair[1]))
      case (.word(let name, _), .word(let word)): attributes[name] = .word(word)
      case (.flag(let name), .bool(let flag)): attributes[name] = .bool(flag)
      case (.ramp(let operand), .number(let number)): ramps[operand] = Ramp(number)
      case (.ramp(let operand), .ramp(let ramp)): ramps[operand] = ramp
      default: preconditionFailure("\(optimizer.name): \(option.name) was read as another kind")
      }
    }
  }

  /// `adamw(lr: 0.04, …)` with everything written.
  public var text: String {
    // Of optimizers that share an op, the one with all options.
    let optimizer = Optimizer.all.last { $0.op == op }!
    let options = optimizer.options.map { option in
      let text =
        switch option.meaning {
        case .learningRate: shortest(lr)
        case .number(let name, _), .word(let name, _), .flag(let name): "\(attributes[name]!)"
        case .pair(let first, let second, _): "[\(attributes[first]!), \(attributes[second]!)]"
        case .ramp(let operand): ramps[operand]!.text
        }
      return "\(option.name): \(text)"
    }
    return "\(optimizer.name)(\(commaSeparated(options)))"
  }
}

extension Ramp {
  fileprivate var text: String {
    let ends = "\(shortest(from)), \(shortest(to))"
    return switch window {
    case .none: shortest(to)
    case .steps(let steps): "ramp(\(ends), steps: \(steps))"
    case .after(let part): "ramp(\(ends), after: \(shortest(part)))"
    }
  }
}
