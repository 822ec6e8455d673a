// SPDX-License-Identifier: Apache-2.0
// How a byte-pair tokenizer cuts text into words, inside which it merges.

/// One cut of text into words; a tokenizer applies several, one inside the other.
enum WordSplit: Sendable, Equatable {
  /// GPT-2's words: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
  case gpt2
  /// Numbers apart from other text, or each digit alone.
  case digits(individual: Bool)
  /// Before each U+2581.
  case spaceMarks

  /// Ends of the words of UTF-8 text, as offsets in it.
  func ends(_ text: ArraySlice<UInt8>) -> [Int] {
    switch self {
    case .gpt2: Self.words(Self.characters(text), end: text.endIndex)
    case .digits(let individual): Self.numbers(text, individual)
    case .spaceMarks: Self.marks(text)
    }
  }

  private enum Kind { case letter, number, space, other }

  private struct Character {
    let kind: Kind
    /// The byte, where it is one.
    let ascii: UInt8
    let start: Int
  }

  private static func characters(_ text: ArraySlice<UInt8>) -> [Character] {
    var characters: [Character] = []
    var start = text.startIndex
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      characters.append(
        Character(
          kind: kind(scalar), ascii: scalar.isASCII ? UInt8(scalar.value) : 0, start: start))
      start += UTF8.width(scalar)
    }
    return characters
  }

  private static func kind(_ scalar: Unicode.Scalar) -> Kind {
    let properties = scalar.properties
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .number
    default: return properties.isWhitespace ? .space : .other
    }
  }

  private static func words(_ text: [Character], end: Int) -> [Int] {
    var ends: [Int] = []
    var index = 0
    while index < text.count {
      index = endOfWord(text, from: index)
      ends.append(index < text.count ? text[index].start : end)
    }
    return ends
  }

  /// Where the word ends that begins at `start`.
  private static func endOfWord(_ text: [Character], from start: Int) -> Int {
    if let end = endOfContraction(text, from: start) { return end }
    func run(_ from: Int) -> Int {
      var index = from
      while index < text.count, text[index].kind == text[from].kind { index += 1 }
      return index
    }
    if text[start].kind != .space { return run(start) }
    let isSpace = text[start].ascii == UInt8(ascii: " ")
    if isSpace, start + 1 < text.count, text[start + 1].kind != .space { return run(start + 1) }
    // The last blank of several belongs to the next word, if one follows.
    let end = run(start)
    return end == text.count || end == start + 1 ? end : end - 1
  }

  private static func endOfContraction(_ text: [Character], from start: Int) -> Int? {
    guard text[start].ascii == UInt8(ascii: "'") else { return nil }
    let rest = text[(start + 1)...].prefix(2).map(\.ascii)
    for ending in ["s", "t", "re", "ve", "m", "ll", "d"] where rest.starts(with: ending.utf8) {
      return start + 1 + ending.utf8.count
    }
    return nil
  }

  private static func numbers(_ text: ArraySlice<UInt8>, _ individual: Bool) -> [Int] {
    let characters = characters(text)
    var ends: [Int] = []
    for (left, right) in zip(characters, characters.dropFirst()) {
      let areNumbers = (left.kind == .number, right.kind == .number)
      if areNumbers.0 != areNumbers.1 || (individual && areNumbers.0) { ends.append(right.start) }
    }
    return ends + (text.isEmpty ? [] : [text.endIndex])
  }

  private static func marks(_ text: ArraySlice<UInt8>) -> [Int] {
    var ends: [Int] = []
    var rest = text.dropFirst()
    while let mark = Vocabulary.firstSpaceMark(rest) {
      ends.append(mark)
      rest = rest[(mark + 1)...]
    }
    return ends + (text.isEmpty ? [] : [text.endIndex])
  }
}
