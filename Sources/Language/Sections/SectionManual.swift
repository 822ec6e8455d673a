// SPDX-License-Identifier: Apache-2.0
// The manual's section tables as Markdown, made from the tables that read the sections.

import IR

extension SectionTable {
  /// A heading, the meaning, and one row an entry.
  public var markdown: String {
    var text = "### \(name)"
    if !kinds.isEmpty { text += " (\(kinds.joined(separator: ", ")))" }
    text += "\n\n\(meaning)\n\n| entry | default | meaning |\n|---|---|---|\n"
    for entry in entries where entry.limit == nil {
      let form = entry.formText.replacingPipes
      text += "| `\(form)` | \(entry.defaultText ?? "") | \(entry.meaning.replacingPipes) |\n"
    }
    let later = entries.filter { $0.limit != nil }.map { "`\($0.word)`" }
    if !later.isEmpty {
      text += "\nKnown, but not supported yet: \(later.joined(separator: ", ")).\n"
    }
    return text
  }

  /// The tables of all sections, as they stand in the manual.
  public static var manual: String { (all + [variant]).map(\.markdown).joined(separator: "\n") }
}

extension String {
  /// A bar would end the cell of a table.
  fileprivate var replacingPipes: String {
    String(flatMap { $0 == "|" ? Array("\\|") : [$0] })
  }
}
