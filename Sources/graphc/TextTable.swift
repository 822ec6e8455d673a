// SPDX-License-Identifier: Apache-2.0
// Columns of text for people.

import IR

/// Rows in columns two spaces apart; columns whose index is in `right` end at the same place.
func textTable(_ rows: [[String]], right: Set<Int> = []) -> String {
  let columns = rows.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in
    rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
  }
  let lines = rows.map { row in
    row.enumerated().map { column, cell in
      let gap = String(repeating: " ", count: widths[column] - cell.count)
      return right.contains(column) ? gap + cell : cell + gap
    }.joined(separator: "  ").trimmingEnd()
  }
  return lines.joined(separator: "\n")
}

/// `1 document`, `2 documents`.
func counted(_ number: Int, _ noun: String) -> String {
  "\(grouped(number)) \(noun)\(number == 1 ? "" : "s")"
}
