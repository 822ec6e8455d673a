// SPDX-License-Identifier: Apache-2.0
// Matches the atoms of an entry against its form in the section's table. Knows no single entry.

import IR

/// What a slot of an entry held, and where.
struct Captured {
  enum Value {
    case number(Double)
    case word(String)
    case glob(Glob)
    case target(Target)
    case rule(String, [String: RuleValue])
  }

  var value: Value
  var location: SourceLocation
}

/// The value of a rule's parameter.
enum RuleValue: Equatable {
  case number(Double)
  case bool(Bool)
  case word(String)
  case numbers([Double])
  case ramp(Ramp)

  var number: Double? { if case .number(let number) = self { number } else { nil } }
  var name: String? { if case .word(let word) = self { word } else { nil } }
}

/// An entry that was matched, with what its slots held.
struct EntryMatch {
  let entry: SectionEntry
  let location: SourceLocation
  var slots: [String: Captured] = [:]
  /// The literal words that were present.
  var words: [String: SourceLocation] = [:]

  func number(_ slot: String) -> Double? {
    if case .number(let value)? = slots[slot]?.value { return value }
    return nil
  }
  /// A number that its slot has checked to be whole.
  func whole(_ slot: String) -> Int? { number(slot).flatMap { Int(exactly: $0) } }
  func word(_ slot: String) -> String? {
    if case .word(let value)? = slots[slot]?.value { return value }
    return nil
  }
  func glob(_ slot: String) -> Glob? {
    if case .glob(let value)? = slots[slot]?.value { return value }
    return nil
  }
  func target(_ slot: String) -> Target? {
    if case .target(let value)? = slots[slot]?.value { return value }
    return nil
  }
  func rule(_ slot: String) -> (name: String, arguments: [String: RuleValue])? {
    if case .rule(let name, let arguments)? = slots[slot]?.value { return (name, arguments) }
    return nil
  }
  /// Whether a literal word or a rule was present.
  func has(_ word: String) -> Bool { words[word] != nil || slots[word] != nil }
  func location(of slot: String) -> SourceLocation {
    slots[slot]?.location ?? words[slot] ?? location
  }
}

/// Reads the atoms of one entry from left to right.
struct EntryMatcher {
  let evaluator: ConstantEvaluator
  let atoms: [SyntaxAtom]
  let end: SyntaxPosition
  var next = 0

  func location(_ place: SyntaxPosition) -> SourceLocation {
    SourceLocation(path: evaluator.path, line: place.line, column: place.column)
  }

  var here: SourceLocation { location(next < atoms.count ? atoms[next].position : end) }

  private var found: String {
    next < atoms.count ? "'\(atoms[next].text)'" : "the end of the entry"
  }

  /// Matches all atoms against entries of the table; a line may hold several entries.
  mutating func entries(of table: SectionTable) throws(Diagnostic) -> [EntryMatch] {
    var matches: [EntryMatch] = []
    while next < atoms.count {
      let start = here
      let entry = try self.entry(of: table, after: matches.last?.entry)
      var match = EntryMatch(entry: entry, location: start)
      if let limit = entry.limit {
        throw Diagnostic(
          .notSupported, "'\(entry.word)' is not supported yet", at: start, suggestion: limit)
      }
      try self.match(entry.form, of: entry, into: &match)
      matches.append(match)
    }
    return matches
  }

  private func entry(
    of table: SectionTable, after previous: SectionEntry?
  ) throws(Diagnostic) -> SectionEntry {
    let atom = atoms[next]
    let words = table.entries.map(\.word).filter { $0 != $0.uppercased() }
    if case .name(let word) = atom.kind,
      let entry = table.entries.first(where: { $0.word == word })
    {
      return entry
    }
    for entry in table.entries where entry.word == entry.word.uppercased() {
      if let first = entry.form.first, previous == nil, begins(first, atom) { return entry }
    }
    var word = atom.text
    if case .call(let name, _) = atom.kind { word = name }
    if SectionTable.laterWords.contains(word) {
      throw Diagnostic(.notSupported, "'\(word)' is not supported yet", at: here)
    }
    if let previous {
      if let later = atoms[next...].prefix(2).compactMap(\.word).first(where: {
        SectionTable.laterWords.contains($0)
      }) {
        throw Diagnostic(.notSupported, "'\(later)' is not supported yet", at: here)
      }
      let name = previous.word == previous.word.uppercased() ? "this entry" : "'\(previous.word)'"
      let optional = previous.form.flatMap(\.optionalWords)
      throw Diagnostic(
        .malformedEntry, "'\(atom.text)' does not follow in \(name)", at: here,
        suggestion: suggestion(for: word, among: optional + words)
          ?? "the form is: \(previous.formText)")
    }
    if words.isEmpty, let first = table.entries.first?.form.first,
      case .rule(_, let signatures) = first
    {
      let names = signatures.map(\.name)
      throw Diagnostic(
        .badInit, "there is no \(table.name) '\(word)'", at: here,
        suggestion: suggestion(for: word, among: names)
          ?? "one of \(commaSeparated(names)) is expected")
    }
    throw Diagnostic(
      .unknownEntry, "'\(atom.text)' is no entry of '\(table.name)'", at: here,
      suggestion: suggestion(for: word, among: words)
        ?? "the entries are: \(commaSeparated(table.entries.map(\.word)))")
  }

  // MARK: Elements

  /// Whether an atom can be the beginning of an element.
  private func begins(_ element: EntryElement, _ atom: SyntaxAtom) -> Bool {
    switch (element, atom.kind) {
    case (.word(let word), .name(let name)): word == name
    case (.choice(_, let words), .name(let name)): words.contains(name)
    case (.number, .number), (.pattern, .string), (.name, .name): true
    case (.number, .name(let name)): evaluator.lookup(name) != nil
    case (.target, .name(let name)): ["default", "group", "at_most"].contains(name)
    case (.target, .call(let name, _)): name == "at_most"
    case (.target, .string), (.optimizerTarget, .string), (.optimizerTarget, .name): true
    case (.rule(_, let signatures), .name(let name)),
      (.rule(_, let signatures), .call(let name, _)):
      signatures.contains { $0.name == name }
    case (.oneOf(let choices), _): choices.contains { $0.first.map { begins($0, atom) } ?? false }
    case (.optional(let elements), _): elements.first.map { begins($0, atom) } ?? false
    default: false
    }
  }

  private mutating func match(
    _ elements: [EntryElement], of entry: SectionEntry, into match: inout EntryMatch
  ) throws(Diagnostic) {
    var index = 0
    while index < elements.count {
      guard case .optional = elements[index] else {
        try self.element(elements[index], of: entry, into: &match)
        index += 1
        continue
      }
      var pending: [[EntryElement]] = []
      while index < elements.count, case .optional(let inner) = elements[index] {
        pending.append(inner)
        index += 1
      }
      while next < atoms.count,
        let choice = pending.firstIndex(where: { begins($0[0], atoms[next]) })
      {
        try self.match(pending.remove(at: choice), of: entry, into: &match)
      }
    }
  }

  private mutating func element(
    _ element: EntryElement, of entry: SectionEntry, into match: inout EntryMatch
  ) throws(Diagnostic) {
    let place = here
    let atom: SyntaxAtom? = next < atoms.count ? atoms[next] : nil
    func fail(_ expected: String, near word: String? = nil, _ words: [String] = []) -> Diagnostic {
      if let word, SectionTable.laterWords.contains(word) {
        return Diagnostic(.notSupported, "'\(word)' is not supported yet", at: place)
      }
      return Diagnostic(
        .malformedEntry, "expected \(expected), found \(found)", at: place,
        suggestion: word.flatMap { suggestion(for: $0, among: words) }
          ?? "the form is: \(entry.formText)")
    }
    func capture(_ slot: String, _ value: Captured.Value) {
      match.slots[slot] = Captured(value: value, location: place)
    }
    switch element {
    case .word(let word):
      guard case .name(word)? = atom?.kind else {
        throw fail("'\(word)'", near: atom?.word, [word])
      }
      match.words[word] = place
    case .choice(let slot, let words):
      guard case .name(let word)? = atom?.kind, words.contains(word) else {
        let expected = words.map { "'\($0)'" }.joined(separator: " or ")
        throw fail(expected, near: atom?.word, words)
      }
      capture(slot, .word(word))
    case .number(let slot, let range):
      guard let atom else { throw fail("a number") }
      capture(slot, .number(try number(atom, slot, range, fail)))
    case .name(let slot):
      guard case .name(let name)? = atom?.kind else { throw fail("a name") }
      capture(slot, .word(name))
    case .pattern(let slot):
      guard case .string(let text)? = atom?.kind else { throw fail("a pattern in quotes") }
      capture(slot, .glob(try glob(text)))
    case .target(let slot):
      let target = try readTarget(fail)
      capture(slot, .target(target))
      // `group NAME` is two atoms.
      if case .group = target { next += 1 }
    case .optimizerTarget(let slot):
      switch atom?.kind {
      case .name("default"): capture(slot, .target(.default))
      case .name(let group): capture(slot, .target(.group(group)))
      case .string(let text): capture(slot, .target(.glob(try glob(text))))
      default: throw fail("a group, 'default' or a pattern in quotes")
      }
    case .rule(let slot, let signatures):
      let words = signatures.map(\.name)
      guard let atom, let word = atom.word,
        let signature = signatures.first(where: { $0.name == word })
      else { throw fail("one of \(commaSeparated(words))", near: atom?.word, words) }
      var arguments: [SyntaxArgument] = []
      if case .call(_, let given) = atom.kind { arguments = given }
      let reader = RuleReader(evaluator: evaluator, signature: signature, place: place)
      capture(slot, .rule(word, try reader.values(arguments)))
    case .oneOf(let choices):
      let fitting = choices.filter { choice in
        atom.map { begins(choice[0], $0) } ?? false
      }
      if fitting.isEmpty { throw fail(choices.map(\.text).joined(separator: ", or ")) }
      // Choices that begin alike are told apart by their second element.
      let choice =
        fitting.first { choice in
          guard choice.count > 1, next + 1 < atoms.count else { return false }
          return begins(choice[1], atoms[next + 1])
        } ?? fitting[0]
      try self.match(choice, of: entry, into: &match)
      return
    case .optional: return
    }
    next += 1
  }

  private func glob(_ text: String) throws(Diagnostic) -> Glob {
    guard let glob = Glob(text) else {
      throw Diagnostic(
        .malformedEntry, "\"\(text)\" is no pattern", at: here,
        suggestion: "* stands for any text, {a,b} for either, {0..4} for a number")
    }
    return glob
  }

  private func number(
    _ atom: SyntaxAtom, _ slot: String, _ range: NumberRange,
    _ fail: (String, String?, [String]) -> Diagnostic
  ) throws(Diagnostic) -> Double {
    let value: ConstantValue
    switch atom.kind {
    case .number(let number, _): value = .number(number)
    case .name(let name):
      guard let constant = evaluator.lookup(name) else {
        if SectionTable.laterWords.contains(name) {
          throw Diagnostic(.notSupported, "'\(name)' is not supported yet", at: here)
        }
        throw Diagnostic(
          .unknownName, "expected \(range.text) for \(slot), and there is no const '\(name)'",
          at: here, suggestion: suggestion(for: name, among: evaluator.names()))
      }
      value = constant
    default: throw fail(range.text, nil, [])
    }
    return try RuleReader.checked(value, range, "\(slot)", at: here)
  }

  private func readTarget(
    _ fail: (String, String?, [String]) -> Diagnostic
  ) throws(Diagnostic) -> Target {
    let words = ["default", "group", "at_most"]
    guard next < atoms.count else { throw fail("a target", nil, []) }
    switch atoms[next].kind {
    case .name("default"): return .default
    case .name("group"):
      guard next + 1 < atoms.count, case .name(let group) = atoms[next + 1].kind else {
        throw Diagnostic(.malformedEntry, "'group' needs the group's name", at: here)
      }
      return .group(group)
    case .call("at_most", let arguments):
      guard arguments.count == 1, arguments[0].label == nil else {
        throw fail("at_most(N)", nil, [])
      }
      let value = try evaluator.value(arguments[0].value)
      let limit = try RuleReader.checked(value, .whole(atLeast: 1), "at_most", at: here)
      return .atMost(Int(limit))
    case .string(let text): return .glob(try glob(text))
    default: throw fail("a target", atoms[next].word, words)
    }
  }
}

extension SyntaxAtom {
  /// The word of a name or of a call.
  var word: String? {
    switch kind {
    case .name(let name): name
    case .call(let name, _): name
    default: nil
    }
  }
}

extension EntryElement {
  /// The words with which optional parts of the form begin.
  fileprivate var optionalWords: [String] {
    guard case .optional(let elements) = self, let first = elements.first else { return [] }
    switch first {
    case .word(let word): return [word]
    case .rule(_, let signatures): return signatures.map(\.name)
    default: return []
    }
  }
}
