// SPDX-License-Identifier: Apache-2.0
// What may stand in the braces of a variant besides consts, and the braces in core text.

import IR

extension SectionTable {
  /// The entries of a variant.
  static let variant = SectionTable(
    section: .train, name: "variant", meaning: "What training does when a variant begins.",
    entries: [
      .form(
        "warmup", [.word("warmup"), .number("steps", .whole(atLeast: 2)), .word("steps")],
        "Steps in which the learning rate rises from 0 when the variant begins, as a factor on what the "
          + "train section says."),
      .form(
        "copy", [.word("copy"), .pattern("source"), .word("to"), .pattern("target")],
        "Before the variant's first step the params that the second pattern matches take over those of the "
          + "first, in the order of the model: values, moments and averages. All are read before any is "
          + "written.", repeats: true),
    ])

  /// In core text a variant also says how it reads; in a file that follows from the consts which `read`
  /// of the train section names.
  fileprivate static let coreVariant = SectionTable(
    section: .train, name: variant.name, meaning: "",
    entries: variant.entries + [
      .form(
        "read",
        [
          .word("read"), .number("rows", .whole(atLeast: 1)), .word("rows"), .word("of"),
          .number("seq", .whole(atLeast: 1)),
        ], "")
    ])
}

extension SectionReader {
  /// Reads the entries of a variant into it.
  mutating func read(_ entries: SyntaxEntries, isCore: Bool, into variant: inout Variant) {
    for match in matches(entries, of: isCore ? .coreVariant : .variant) {
      if let rows = match.whole("rows"), let seq = match.whole("seq") {
        variant.sizes = TokenSizes(rows: rows, seq: seq)
      } else if let source = match.glob("source"), let target = match.glob("target") {
        variant.copies.append(Variant.Copy(source: source, target: target))
        places[variant.placeOfCopy(variant.copies.count - 1)] = match.location
      } else if let steps = match.whole("steps") {
        variant.warmup = steps
      }
    }
  }
}

extension Variant {
  /// The key of a copy's place among those of a reader.
  func placeOfCopy(_ index: Int) -> String { "variant \(name) copy \(index)" }

  /// The entries of the variant, as `read` takes them.
  var entryTexts: [String] {
    var texts: [String] = []
    if let sizes { texts.append("read \(sizes.rows) rows of \(sizes.seq)") }
    if warmup > 0 { texts.append("warmup \(warmup) steps") }
    return texts + copies.map { "copy \"\($0.source.pattern)\" to \"\($0.target.pattern)\"" }
  }
}
