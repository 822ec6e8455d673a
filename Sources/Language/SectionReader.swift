// SPDX-License-Identifier: Apache-2.0
// Sections to settings: decides `if`, matches entries against the tables, and builds what they say.

import IR

/// How params start by path, from an `init` section.
public struct InitialRule: Sendable {
  public let glob: Glob
  public let initial: Initializer
  public let location: SourceLocation
}

/// Reads the sections of one file. All errors are collected.
public struct SectionReader {
  public private(set) var settings = Settings()
  public private(set) var initialRules: [InitialRule] = []
  public private(set) var diagnostics: [Diagnostic] = []
  /// What holds, but not all of it has an effect.
  public internal(set) var warnings: [Diagnostic] = []
  let evaluator: ConstantEvaluator
  /// The sections that are used. Of others only the name is looked at.
  public let used: Set<SectionName>
  private var seen: [String: SourceLocation] = [:]
  /// Places of what is checked once all entries are known.
  public internal(set) var places: [String: SourceLocation] = [:]
  /// Places of the `scale` and `freeze` entries of `ttt`, in their order.
  public internal(set) var scalePlaces: [SourceLocation] = []
  public internal(set) var freezePlaces: [SourceLocation] = []

  public init(evaluator: ConstantEvaluator, used: Set<SectionName> = SectionName.all) {
    self.evaluator = evaluator
    self.used = used
  }

  private func location(_ place: SyntaxPosition) -> SourceLocation {
    SourceLocation(path: evaluator.path, line: place.line, column: place.column)
  }

  mutating func report(
    _ code: DiagnosticCode, _ message: String, at place: SourceLocation?, suggestion: String? = nil,
    notes: [Diagnostic.Note] = []
  ) {
    diagnostics.append(
      Diagnostic(code, message, at: place, notes: notes, suggestion: suggestion))
  }

  /// Reads one section.
  public mutating func read(_ name: SyntaxName, kind: SyntaxName?, _ entries: SyntaxEntries) {
    let place = location(name.position)
    guard let table = SectionTable.all.first(where: { $0.name == name.text }) else {
      report(
        .unknownEntry, "there is no section '\(name.text)'", at: place,
        suggestion: suggestion(for: name.text, among: SectionTable.all.map(\.name))
          ?? "the sections are \(commaSeparated(SectionTable.all.map(\.name)))")
      return
    }
    if let first = seen[table.name], table.name != "init" {
      report(
        .duplicateEntry, "the section '\(table.name)' is given twice", at: place,
        notes: [.init("the first one is here", at: first)])
      return
    }
    seen[table.name] = place
    if let kind, !table.kinds.contains(kind.text) {
      report(
        .unknownEntry, "'\(kind.text)' is no kind of '\(table.name)'", at: location(kind.position),
        suggestion: suggestion(for: kind.text, among: table.kinds)
          ?? (table.kinds.isEmpty
            ? "write \(table.name) { … }" : "the kinds are \(commaSeparated(table.kinds))"))
      return
    }
    guard used.contains(table.section) else { return }
    let errors = diagnostics.count
    var matches: [EntryMatch] = []
    collect(entries, of: table, into: &matches)
    reportRepeated(matches)
    // A section that lost an entry would only raise errors that follow from the first.
    guard diagnostics.count == errors else { return }
    switch table.section {
    case .initial: readInitial(matches)
    case .train: readTrain(matches, at: place)
    case .qat: readQAT(matches, at: place)
    case .quantize: readQuantize(matches)
    case .evaluate: readEvaluate(matches)
    case .ttt: readTTT(matches, kind: kind?.text, at: place)
    case .expect: readExpect(matches)
    }
  }

  private mutating func collect(
    _ entries: SyntaxEntries, of table: SectionTable, into matches: inout [EntryMatch]
  ) {
    for entry in entries.entries { collect(entry, of: table, into: &matches) }
  }

  private mutating func collect(
    _ entry: SyntaxEntry, of table: SectionTable, into matches: inout [EntryMatch]
  ) {
    do throws(Diagnostic) {
      switch entry.kind {
      case .plain(let atoms, let nested):
        var matcher = EntryMatcher(evaluator: evaluator, atoms: atoms, end: entry.end)
        matches += try matcher.entries(of: table)
        if let nested {
          throw Diagnostic(
            .malformedEntry, "no entry of '\(table.name)' has entries of its own",
            at: location(nested.open))
        }
      case .conditional(let condition, let then, let otherwise):
        if try evaluator.bool(condition) {
          collect(then, of: table, into: &matches)
        } else if let otherwise {
          collect(otherwise, of: table, into: &matches)
        }
      case .otherwise(let entries): collect(entries, of: table, into: &matches)
      }
    } catch {
      diagnostics.append(error)
    }
  }

  /// Entries whose first word is fixed stand once, but for those that name what they apply to.
  private mutating func reportRepeated(_ matches: [EntryMatch]) {
    var first: [String: SourceLocation] = [:]
    for match in matches {
      let word = match.entry.word
      guard word != word.uppercased(), !["optimizer", "scale", "freeze"].contains(word) else {
        continue
      }
      if let place = first[word] {
        report(
          .duplicateEntry, "'\(word)' is given twice", at: match.location,
          notes: [.init("the first one is here", at: place)])
      }
      first[word] = match.location
    }
  }

  /// Adds an initial rule; called by the reader of `init`.
  mutating func append(_ rule: InitialRule) { initialRules.append(rule) }

  mutating func update(_ change: (inout Settings) -> Void) { change(&settings) }
}

extension SectionReader {
  /// The start of a variant, from the words after `from`.
  public static func start(
    _ atoms: [SyntaxAtom], end: SyntaxPosition, evaluator: ConstantEvaluator
  ) throws(Diagnostic) -> ScheduleStart {
    let table = SectionTable(
      section: .train, kinds: [], meaning: "",
      entries: [SectionEntry("START", [scheduleStartForm], "When the variant begins.")])
    var matcher = EntryMatcher(evaluator: evaluator, atoms: atoms, end: end)
    guard let match = try matcher.entries(of: table).first else { return .start }
    return scheduleStart(match)
  }

  /// The init of a `param` statement.
  public static func initializer(
    _ word: SyntaxWord, evaluator: ConstantEvaluator
  ) throws(Diagnostic) -> Initializer {
    let atom = SyntaxAtom(
      kind: word.arguments.map { .call(word.name.text, $0) } ?? .name(word.name.text),
      position: word.name.position)
    let form = SectionTable.initial.entries[0].form.dropFirst()
    let table = SectionTable(
      section: .initial, kinds: [], meaning: "",
      entries: [SectionEntry("INIT", Array(form), "How a param starts.")])
    var matcher = EntryMatcher(evaluator: evaluator, atoms: [atom], end: word.name.position)
    guard let rule = try matcher.entries(of: table).first?.rule("init"),
      let initial = Initializer(name: rule.name, arguments: rule.arguments)
    else { return .uniform }
    return initial
  }
}

extension OptimizerRule {
  /// The rule that a matched `adam`, `adamw`, `muon` or `sgd` stands for.
  init(name: String, arguments: [String: RuleValue]) {
    func number(_ name: String) -> Double {
      if case .number(let value)? = arguments[name] { return value }
      return 0
    }
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
}

extension Initializer {
  /// The init that a matched word stands for; nil if there is none of that name.
  init?(name: String, arguments: [String: RuleValue]) {
    func number(_ name: String) -> Double {
      if case .number(let value)? = arguments[name] { return value }
      return 0
    }
    switch name {
    case "zeros": self = .zeros
    case "ones": self = .ones
    case "uniform": self = .uniform
    case "constant": self = .constant(number("value"))
    case "normal": self = .normal(number("std"))
    case "orthogonal": self = .orthogonal(number("gain"))
    case "rows":
      guard case .numbers(let values)? = arguments["values"] else { return nil }
      self = .rows(values)
    default: return nil
    }
  }
}
