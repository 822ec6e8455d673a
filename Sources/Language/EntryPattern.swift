// SPDX-License-Identifier: Apache-2.0
// The form of an entry of a section: words, slots, options and choices, and their printed form.

import IR

/// A parameter of a rule such as `sgd(lr: 0.1)`.
public struct RuleParameter: Sendable {
  public enum Kind: Sendable {
    case number(NumberRange)
    case bool
    /// A list of two numbers.
    case pair(NumberRange)
    case word([String])
    /// A number, or `ramp(from, to, …)`.
    case ramp
    /// So many numbers.
    case numbers(NumberRange, count: ClosedRange<Int>)
  }

  public let name: String
  public let kind: Kind
  /// The text of the default; nil: required.
  public let defaultText: String?
  /// Whether the value stands without a label.
  public let isPositional: Bool

  init(_ name: String, _ kind: Kind, default text: String? = nil, positional: Bool = false) {
    (self.name, self.kind) = (name, kind)
    defaultText = text
    isPositional = positional
  }
}

/// A word with arguments, as a slot of an entry accepts it.
public struct RuleSignature: Sendable {
  public let name: String
  public let parameters: [RuleParameter]

  init(_ name: String, _ parameters: [RuleParameter] = []) {
    (self.name, self.parameters) = (name, parameters)
  }

  /// `sgd(lr:, momentum = 0)`: required arguments end in a colon, others show their default.
  public var text: String {
    if parameters.isEmpty { return name }
    let list = parameters.map { parameter in
      let name = parameter.isPositional ? parameter.name.uppercased() : parameter.name
      var required = parameter.isPositional ? name : name + ":"
      if case .numbers = parameter.kind { required += ", …" }
      return parameter.defaultText.map { "\(name) = \($0)" } ?? required
    }
    return "\(name)(\(commaSeparated(list)))"
  }
}

/// One element of an entry's form.
public indirect enum EntryElement: Sendable {
  case word(String)
  /// A number under a name, a literal or a const.
  case number(String, NumberRange)
  /// One of some words.
  case choice(String, [String])
  /// A name of the user's choice.
  case name(String)
  /// A quoted glob over param paths.
  case pattern(String)
  /// `default`, `group NAME`, `at_most(N)` or a glob.
  case target(String)
  /// A group's name, `default` or a glob.
  case optimizerTarget(String)
  /// A rule with arguments.
  case rule(String, [RuleSignature])
  /// May be left out. Neighbouring options may stand in any order.
  case optional([EntryElement])
  case oneOf([[EntryElement]])

  /// The printed form: words as they are, slots in capitals, `[ ]` for options.
  public var text: String {
    switch self {
    case .word(let word): word
    case .number(let name, _), .name(let name), .pattern(let name), .target(let name),
      .optimizerTarget(let name):
      name.uppercased()
    case .choice(_, let words): words.joined(separator: "|")
    case .rule(_, let signatures):
      signatures.count == 1
        ? signatures[0].text : "(\(signatures.map(\.text).joined(separator: " | ")))"
    case .optional(let elements): "[\(elements.text)]"
    case .oneOf(let choices): "(\(choices.map(\.text).joined(separator: " | ")))"
    }
  }
}

extension [EntryElement] {
  /// The elements' printed forms, with spaces between.
  public var text: String { map(\.text).joined(separator: " ") }
}
