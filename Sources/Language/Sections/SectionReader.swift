// SPDX-License-Identifier: Apache-2.0
// Sections to settings: decides `if`, matches entries against the tables, and lets them read.

import IR

/// Reads the sections of one file. All errors are collected.
public struct SectionReader {
  public internal(set) var settings = Settings()
  public internal(set) var initialRules: [InitialRule] = []
  public private(set) var diagnostics: [Diagnostic] = []
  /// What holds, but not all of it has an effect.
  public internal(set) var warnings: [Diagnostic] = []
  let evaluator: ConstantEvaluator
  /// The sections that are used. Of others only the name is looked at.
  public let used: Set<SectionName>
  private var seen: [String: SourceLocation] = [:]
  /// Places of what is checked once all entries are known.
  public internal(set) var places: [String: SourceLocation] = [:]

  public init(evaluator: ConstantEvaluator, used: Set<SectionName> = SectionName.all) {
    (self.evaluator, self.used) = (evaluator, used)
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

  /// What a preset may have of its own is what is expected of it.
  mutating func checkUnder(_ preset: SyntaxName, section: SyntaxName, among presets: [String]) {
    if section.text != SectionName.expect.rawValue {
      report(
        .misplaced, "'\(section.text)' is the same under every preset",
        at: location(preset.position),
        suggestion: "'expect under \(preset.text)' is what a preset may have of its own")
    } else if !presets.contains(preset.text) {
      report(
        .unknownEntry, "there is no preset '\(preset.text)'", at: location(preset.position),
        suggestion: suggestion(for: preset.text, among: presets))
    }
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
    let matches = matches(entries, of: table)
    // A section that lost an entry would only raise errors that follow from the first.
    guard diagnostics.count == errors else { return }
    table.read(SectionMatches(matches: matches, kind: kind?.text, place: place), &self)
  }

  /// The entries that hold, in order.
  mutating func matches(_ entries: SyntaxEntries, of table: SectionTable) -> [EntryMatch] {
    var matches: [EntryMatch] = []
    collect(entries, of: table, into: &matches)
    reportRepeated(matches)
    return matches
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

  private mutating func reportRepeated(_ matches: [EntryMatch]) {
    var first: [String: SourceLocation] = [:]
    for match in matches where !match.entry.repeats {
      if let place = first[match.entry.word] {
        report(
          .duplicateEntry, "'\(match.entry.word)' is given twice", at: match.location,
          notes: [.init("the first one is here", at: place)])
      }
      first[match.entry.word] = match.location
    }
  }

  /// A rule with the same target as a later one, or before a later `default`, never wins.
  mutating func reportOverruled<Rule: TargetedRule>(_ rules: [Rule]) {
    for (rule, winner) in rules.overruled {
      report(
        .neverWins, "this rule never wins: a later one applies wherever it does",
        at: rule.location, notes: [.init("the later rule", at: winner.location)])
    }
  }

  /// Takes over what the sections of a variant say of the time after training, and where its entries stand.
  mutating func adopt(_ variant: SectionReader) {
    settings.quantize = variant.settings.quantize
    settings.evaluate = variant.settings.evaluate
    settings.evaluationLimit = variant.settings.evaluationLimit
    settings.ttt = variant.settings.ttt
    settings.expect = variant.settings.expect
    places.merge(variant.places) { own, _ in own }
    let known = Set(warnings.map(\.message))
    warnings += variant.warnings.filter { !known.contains($0.message) }
  }
}
