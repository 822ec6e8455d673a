// SPDX-License-Identifier: Apache-2.0
// What a section is: entries, each with all that is known of it in one literal. Reading, core text,
// features, suggestions and the manual follow from them.

import IR

/// An entry of a section.
public struct SectionEntry: Sendable {
  /// The first word, or the slot's name in capitals for entries that begin with a target or name.
  public let word: String
  public let form: [EntryElement]
  /// The form as messages and the manual show it.
  public let formText: String
  /// The default's text; nil when leaving the entry out means that nothing is done.
  public let defaultText: String?
  public let meaning: String
  /// Set for entries that the language knows and this version does not compile.
  public let limit: String?
  /// Whether it may stand several times.
  let repeats: Bool
  /// Writes what was matched into the settings.
  let read: @Sendable (EntryMatch, inout SectionReader) -> Void
  /// The entry as core text has it, everything written; nothing where the settings do not need it.
  let prints: @Sendable (Settings) -> [String?]
  /// What it switches on.
  let live: @Sendable (Model) -> [Feature?]

  /// `shown` replaces the form's own text where elements depend on each other.
  init(
    _ word: String, _ form: [EntryElement], shown: String? = nil, default text: String? = nil,
    _ meaning: String, limit: String? = nil, repeats: Bool = false,
    read: @escaping @Sendable (EntryMatch, inout SectionReader) -> Void,
    prints: @escaping @Sendable (Settings) -> [String?],
    live: @escaping @Sendable (Model) -> [Feature?]
  ) {
    (self.word, self.form) = (word, form)
    formText = shown ?? form.text
    defaultText = text
    (self.meaning, self.limit, self.repeats, self.read) = (meaning, limit, repeats, read)
    (self.prints, self.live) = (prints, live)
  }

  /// An entry of the section whose settings lie at the path.
  init<Part>(
    _ part: WritableKeyPath<Settings, Part?> & Sendable, _ word: String, _ form: [EntryElement],
    shown: String? = nil, default text: String? = nil, _ meaning: String, repeats: Bool = false,
    read: @escaping @Sendable (EntryMatch, inout Part, inout SectionReader) -> Void,
    prints: @escaping @Sendable (Part) -> [String?],
    live: @escaping @Sendable (Part, Model) -> [Feature?] = { _, _ in [] }
  ) {
    self.init(
      word, form, shown: shown, default: text, meaning, repeats: repeats,
      read: { match, reader in
        guard var settings = reader.settings[keyPath: part] else { return }
        read(match, &settings, &reader)
        reader.settings[keyPath: part] = settings
      },
      prints: { $0[keyPath: part].map(prints) ?? [] },
      live: { model in model.settings[keyPath: part].map { live($0, model) } ?? [] })
  }

  /// A form whose matches are read where it stands.
  static func form(
    _ word: String, _ form: [EntryElement], _ meaning: String, repeats: Bool = false
  ) -> SectionEntry {
    SectionEntry(
      word, form, meaning, repeats: repeats, read: { _, _ in }, prints: { _ in [] },
      live: { _ in [] })
  }

  /// An entry that is known but not compiled.
  static func later(_ word: String, _ meaning: String, instead: String) -> SectionEntry {
    SectionEntry(
      word, [.word(word)], meaning, limit: instead, read: { _, _ in }, prints: { _ in [] },
      live: { _ in [] })
  }
}

/// A section of a file. Commands name those that they use: others are not checked.
public enum SectionName: String, CaseIterable, Sendable {
  case initial = "init"
  case train, qat, quantize, evaluate, ttt, expect

  /// Every section: what a whole run uses.
  public static let all = Set(allCases)
}

/// The entries of one section.
public struct SectionTable: Sendable {
  public let section: SectionName
  /// As messages call it.
  public let name: String
  /// Words that may follow the section's name.
  public let kinds: [String]
  public let meaning: String
  public let entries: [SectionEntry]
  /// Reads all entries of the section, and checks what needs several of them.
  let read: @Sendable (SectionMatches, inout SectionReader) -> Void
  /// The words before the entries in core text; nil where the section is not written.
  let header: @Sendable (Settings) -> String?

  init(
    section: SectionName, name: String? = nil, kinds: [String] = [], meaning: String,
    entries: [SectionEntry],
    read: @escaping @Sendable (SectionMatches, inout SectionReader) -> Void = { _, _ in },
    header: @escaping @Sendable (Settings) -> String? = { _ in nil }
  ) {
    self.name = name ?? section.rawValue
    (self.section, self.kinds, self.meaning, self.entries) = (section, kinds, meaning, entries)
    (self.read, self.header) = (read, header)
  }

  /// All sections, in the order of the manual.
  public static let all: [SectionTable] = [
    initial, train, qat, quantize, evaluate, ttt, expect,
  ]

  /// A form that stands outside of its section, as behind a `param`.
  static func form(
    _ word: String, _ form: [EntryElement], of section: SectionName
  ) -> SectionTable {
    SectionTable(section: section, meaning: "", entries: [.form(word, form, "")])
  }

  /// Words of published recipes that no table compiles yet, for rules inside an entry.
  static let laterWords = [
    "lora", "bf16", "document", "bos",
  ]
}

/// The entries of one section that a file has.
struct SectionMatches {
  let matches: [EntryMatch]
  /// The word behind the section's name.
  let kind: String?
  let place: SourceLocation

  /// The first entry of a word.
  subscript(_ word: String) -> EntryMatch? { matches.first { $0.entry.word == word } }

  func read(into reader: inout SectionReader) {
    for match in matches { match.entry.read(match, &reader) }
  }
}

extension Settings {
  /// The sections in a fixed order, everything written. The text needs no consts and reads back to equal
  /// settings.
  public var text: String {
    SectionTable.all.compactMap { table in
      let entries = table.entries.flatMap { $0.prints(self) }.compactMap { $0 }
      guard let header = table.header(self), !entries.isEmpty else { return nil }
      return entries.count == 1
        ? "\(header) { \(entries[0]) }\n"
        : "\(header) {\n" + entries.map { "  \($0)\n" }.joined() + "}\n"
    }.joined(separator: "\n")
  }
}

extension Model {
  /// What the sections switch on, in the order of the sections and their entries.
  public var features: [Feature] {
    SectionTable.all.flatMap { table in
      let features = table.entries.flatMap { $0.live(self) }.compactMap { $0 }
      return features + (table.section == .qat ? variantFeatures : [])
    }
  }

  /// A variant acts on the params that its graph reads.
  private var variantFeatures: [Feature] {
    variants.enumerated().compactMap { index, variant in
      guard let start = variant.start else { return nil }
      let uses = variant.graph.useCounts()
      let read = zip(variant.graph.parameters, variant.graph.parameterValues)
        .filter { uses[$1.index] > 0 }.map(\.0.path)
      return Feature(
        .variant(index), "variant \(variant.name)",
        (["from \(start.text)"] + variant.entryTexts).joined(separator: ", "), read)
    }
  }

  /// Paths of the params of which something holds, in the model's order.
  func paths(_ isIncluded: (String) -> Bool = { _ in true }) -> [String] {
    graph.parameters.map(\.path).filter(isIncluded)
  }
}

/// A rule of one argument without a label.
func one(_ name: String, _ parameter: String, _ range: NumberRange) -> EntryElement {
  .rule(
    name, [RuleSignature(name, [RuleParameter(parameter, .number(range), positional: true)])])
}
