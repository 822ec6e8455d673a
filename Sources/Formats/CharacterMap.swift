// SPDX-License-Identifier: Apache-2.0
// Checks the compiled normalisation table of a tokenizer, which the library follows unchecked.

/// The normalisation table inside a SentencePiece model: u32 size of the trie, the trie, and the
/// replacement strings, each closed by a zero.
///
/// The trie is a double array of 32-bit units (Darts-clone): bits 10 and up of a unit are the
/// offset to its children (8 bits further left when bit 9 is set), bit 8 says that child 0 is a
/// value, the low byte is the unit's label; a value is a unit with bit 31 set. The library walks
/// it without looking at its end, so a damaged table would read outside its memory.
enum CharacterMap {
  /// What is wrong with the table, or nil.
  static func damage(_ table: ArraySlice<UInt8>) -> String? {
    guard !table.isEmpty else { return nil }
    guard table.count >= 4 else { return "the table is cut off" }
    let start = table.startIndex
    let size = unit(table, at: start)
    guard size % 4 == 0, size > 0, Int(size) < table.count - 4 else {
      return "a trie of \(size) bytes does not fit the table's \(table.count)"
    }
    let units = (0..<Int(size) / 4).map { unit(table, at: start + 4 + 4 * $0) }
    let strings = table[(start + 4 + Int(size))...]
    guard strings.last == 0 else { return "the last replacement string has no end" }
    return damage(units, strings: strings.count)
  }

  /// Walks all units that a text can reach.
  private static func damage(_ units: [UInt32], strings: Int) -> String? {
    var isSeen = [Bool](repeating: false, count: units.count)
    var open = [0]
    isSeen[0] = true
    while let index = open.popLast() {
      let unit = units[index]
      let children = index ^ Int((unit >> 10) << ((unit & 1 << 9) >> 6))
      // Any byte may be looked up below this unit: all 256 places must exist.
      guard children | 0xff < units.count else { return "unit \(index) of the trie leads outside" }
      if unit >> 8 & 1 == 1, units[children] & 0x7fff_ffff >= strings {
        return "unit \(index) of the trie points behind the replacement strings"
      }
      for byte in 1...255 {
        let child = children ^ byte
        guard units[child] & 0x8000_00ff == byte, !isSeen[child] else { continue }
        isSeen[child] = true
        open.append(child)
      }
    }
    return nil
  }

  private static func unit(_ table: ArraySlice<UInt8>, at index: Int) -> UInt32 {
    table[index..<index + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }
}
