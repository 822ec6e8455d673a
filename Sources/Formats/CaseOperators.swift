// SPDX-License-Identifier: Apache-2.0
// CaseOps: capital letters as operators in front of small ones, so that a tokenizer sees one spelling.

/// The reversible case operators.
///
/// A maximal run of ASCII letters becomes small letters with operators before them:
///
///     word   ->  word              all small
///     NASA   ->  U+E002 nasa       all capital, two letters or more
///     The    ->  U+E001 the        the first letter is capital; so is one that stands alone
///     iPhone ->  i U+E003 phone    any later capital letter
///
/// The four characters themselves stand behind U+E004, which escapes them. Letters beyond ASCII stay
/// as they are. Works on bytes; nothing but ASCII letters and the four characters is looked at.
public enum CaseOperators {
  /// The operators U+E001 to U+E004 as UTF-8, which they begin with EE 80.
  static let characters: [[UInt8]] = (title...escape).map { [0xee, 0x80, $0] }

  private static let title: UInt8 = 0x81
  private static let capitals: UInt8 = 0x82
  private static let next: UInt8 = 0x83
  private static let escape: UInt8 = 0x84

  /// The text with operators. `inverse` gives back every text of whole characters.
  public static func transform(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 8)
    var index = 0
    while index < text.count {
      if isLetter(text[index]) {
        var end = index + 1
        while end < text.count, isLetter(text[end]) { end += 1 }
        appendRun(text[index..<end], to: &result)
        index = end
      } else if let character = operatorByte(text, at: index) {
        result += [0xee, 0x80, escape, 0xee, 0x80, character]
        index += 3
      } else {
        result.append(text[index])
        index += 1
      }
    }
    return result
  }

  /// The text without operators.
  ///
  /// It has a value for every input, as a model may write operators where none can stand: one that no
  /// letter follows is dropped. The text of a prefix is a prefix of the text, so a stream can be shown
  /// as it grows: for that, the beginning of an operator at the end is left out.
  public static func inverse(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var isEscaped = false
    var raisesNext = false
    var raisesRun = false
    var index = 0
    while index < text.count {
      let byte = text[index]
      if byte == 0xee, index + 2 >= text.count,
        index + 1 == text.count || text[index + 1] == 0x80
      {
        break
      }
      if isLetter(byte) {
        result.append(raisesNext || raisesRun ? byte & ~0x20 : byte)
        (isEscaped, raisesNext) = (false, false)
        index += 1
        continue
      }
      guard let character = operatorByte(text, at: index) else {
        (isEscaped, raisesNext, raisesRun) = (false, false, false)
        result.append(byte)
        index += 1
        continue
      }
      index += 3
      if isEscaped {
        result += [0xee, 0x80, character]
        isEscaped = false
      } else {
        isEscaped = character == escape
        raisesNext = character == title || character == next
        raisesRun = character == capitals
      }
    }
    return result
  }

  private static func appendRun(_ run: ArraySlice<UInt8>, to result: inout [UInt8]) {
    let capitalCount = run.count { isCapital($0) }
    if capitalCount == run.count, run.count > 1 {
      result += [0xee, 0x80, capitals]
      for byte in run { result.append(byte | 0x20) }
      return
    }
    for (index, byte) in run.enumerated() {
      if isCapital(byte) { result += [0xee, 0x80, index == 0 ? title : next] }
      result.append(byte | 0x20)
    }
  }

  /// The last byte of an operator that begins at `index`.
  private static func operatorByte(_ text: [UInt8], at index: Int) -> UInt8? {
    guard text[index] == 0xee, index + 2 < text.count, text[index + 1] == 0x80,
      (title...escape).contains(text[index + 2])
    else { return nil }
    return text[index + 2]
  }

  private static func isCapital(_ byte: UInt8) -> Bool { byte &- 0x41 < 26 }

  private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }

  /// Counts the original bytes of transformed text as its bytes pass: those of a character at its last
  /// byte, none for an operator. A character behind U+E004 counts itself.
  struct ByteCounter {
    private var isEscaped = false
    /// The bytes of the character so far, the first one highest.
    private var character: UInt32 = 0
    private var length = 0
    private var missing = 0

    /// Original bytes that end with the next byte. What is not UTF-8 counts one a byte.
    mutating func count(_ byte: UInt8) -> Int {
      if missing > 0, byte & 0xc0 == 0x80 {
        (character, length) = (character << 8 | UInt32(byte), length + 1)
        missing -= 1
      } else {
        (character, length) = (UInt32(byte), 1)
        missing =
          switch byte {
          case 0xc2..<0xe0: 1
          case 0xe0..<0xf0: 2
          case 0xf0..<0xf5: 3
          default: 0
          }
      }
      guard missing == 0 else { return 0 }
      let isOperator = (0xee_8081...0xee_8084).contains(character) && !isEscaped
      isEscaped = isOperator && character == 0xee_8084
      return isOperator ? 0 : length
    }
  }
}
