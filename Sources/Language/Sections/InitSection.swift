// SPDX-License-Identifier: Apache-2.0
// The `init` section: how params start.

import IR

extension SectionTable {
  static let initial = SectionTable(
    section: .initial, kinds: [], meaning: "Overrides how params start.",
    entries: [
      SectionEntry(
        "PATTERN",
        [
          .pattern("pattern"),
          .rule(
            "init",
            [
              RuleSignature("zeros"), RuleSignature("ones"), RuleSignature("uniform"),
              RuleSignature(
                "constant", [RuleParameter("value", .number(.any), positional: true)]),
              RuleSignature("normal", [RuleParameter("std", .number(.positive), positional: true)]),
              RuleSignature(
                "orthogonal",
                [RuleParameter("gain", .number(.positive), default: "1", positional: true)]),
              RuleSignature(
                "overtone", [RuleParameter("std", .number(.positive), positional: true)]),
              RuleSignature(
                "rows",
                [RuleParameter("values", .numbers(.any, count: 1...Int.max), positional: true)]),
            ]),
        ], "Params whose path the glob matches start like this.", repeats: true,
        read: { match, reader in
          guard let glob = match.glob("pattern"), let rule = match.rule("init"),
            let initial = Initializer(name: rule.name, arguments: rule.arguments)
          else { return }
          reader.initialRules.append(
            InitialRule(glob: glob, initial: initial, location: match.location))
        },
        // The params of core text say themselves how they start.
        prints: { _ in [] }, live: { _ in [] })
    ],
    read: { $0.read(into: &$1) }, header: { _ in nil })
}

/// How params start by path, from an `init` section.
public struct InitialRule: Sendable {
  public let glob: Glob
  public let initial: Initializer
  public let location: SourceLocation
}

extension Initializer {
  /// The init that a matched word stands for; nil if there is none of that name.
  init?(name: String, arguments: [String: RuleValue]) {
    func number(_ name: String) -> Double { arguments[name]?.number ?? 0 }
    switch name {
    case "zeros": self = .zeros
    case "ones": self = .ones
    case "uniform": self = .uniform
    case "constant": self = .constant(number("value"))
    case "normal": self = .normal(number("std"))
    case "orthogonal": self = .orthogonal(number("gain"))
    case "overtone": self = .overtone(number("std"))
    case "rows":
      guard case .numbers(let values)? = arguments["values"] else { return nil }
      self = .rows(values)
    default: return nil
    }
  }
}

extension SectionReader {
  /// The init of a `param` statement.
  public static func initializer(
    _ word: SyntaxWord, evaluator: ConstantEvaluator
  ) throws(Diagnostic) -> Initializer {
    let atom = SyntaxAtom(
      kind: word.arguments.map { .call(word.name.text, $0) } ?? .name(word.name.text),
      position: word.name.position)
    let form = Array(SectionTable.initial.entries[0].form.dropFirst())
    var matcher = EntryMatcher(evaluator: evaluator, atoms: [atom], end: word.name.position)
    let table = SectionTable.form("INIT", form, of: .initial)
    guard let rule = try matcher.entries(of: table).first?.rule("init") else { return .uniform }
    return Initializer(name: rule.name, arguments: rule.arguments) ?? .uniform
  }
}
