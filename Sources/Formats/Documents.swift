// SPDX-License-Identifier: Apache-2.0
// Text files as documents: which bytes belong together, and which are held out.

/// One document: a range of bytes in a source file.
struct TextDocument {
  let source: Int
  let range: Range<Int>
}

/// Cuts a text and chooses the held-out documents.
enum Documents {
  static let smallest = 2000

  /// Ranges of the documents of one text: cut behind blank lines, each of at least 2,000 bytes.
  /// Blank lines belong to the document before, so the ranges cover the text without a gap.
  static func cut(_ text: UnsafeRawBufferPointer) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    var line = 0
    var isBehindBlank = false
    while line < text.count {
      let end = endOfLine(text, from: line)
      let isBlank = text[line..<end].allSatisfy(isWhitespace)
      if isBehindBlank && !isBlank && line - start >= smallest {
        ranges.append(start..<line)
        start = line
      }
      isBehindBlank = isBlank
      line = end
    }
    guard start < text.count else { return ranges }
    if text.count - start < smallest, let last = ranges.popLast() { start = last.lowerBound }
    return ranges + [start..<text.count]
  }

  /// Whether document `index` of `count` is held out when one in `oneIn` is; 0 holds out none.
  ///
  /// That is the eighth of each `oneIn` (or the last, when `oneIn` is smaller). Of fewer than
  /// `oneIn` documents the last one is held out.
  static func isHeldOut(_ index: Int, of count: Int, oneIn: Int) -> Bool {
    guard oneIn > 0 else { return false }
    if count < oneIn { return index == count - 1 }
    return index % oneIn == min(7, oneIn - 1)
  }

  /// SHA-256 of a document without white space at both ends.
  static func hash(_ document: [UInt8]) -> String { SHA256.hex(Array(trimmed(document))) }

  /// A document without white space at both ends, which a cut may move.
  static func trimmed(_ document: [UInt8]) -> ArraySlice<UInt8> {
    let start = document.firstIndex { !isWhitespace($0) } ?? document.count
    let end = document.lastIndex { !isWhitespace($0) } ?? start - 1
    return document[start..<end + 1]
  }

  private static func isWhitespace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
  }

  private static func endOfLine(_ text: UnsafeRawBufferPointer, from start: Int) -> Int {
    var index = start
    while index < text.count && text[index] != 0x0a { index += 1 }
    return min(index + 1, text.count)
  }
}
