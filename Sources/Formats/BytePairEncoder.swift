// SPDX-License-Identifier: Apache-2.0
// Encoding with a tokenizer.json of byte-pair encoding. What stands in the file: TokenizerJSON.swift.

/// A byte-pair tokenizer as Hugging Face's tokenizers define it, with two differences: text that spells a
/// special token stays text, and the begin of a document is the only id that is added.
struct BytePairEncoder: TextEncoder {
  let vocabulary: Vocabulary
  let bos: Int32
  /// Byte-level tokenizers with all bytes change nothing; those that mark spaces do.
  let isExact: Bool
  let dropsFirstSpace: Bool
  private let description: TokenizerJSON
  /// Longest words that are remembered while a text is encoded.
  private static let longestCached = 32

  /// Reads the document of a file.
  init(_ document: JSONValue, file: String?) throws(FormatError) {
    description = try TokenizerJSON(document, file: file)
    vocabulary = description.vocabulary
    bos = description.bos
    isExact = description.isByteLevel && !vocabulary.byteIds.contains(-1)
    dropsFirstSpace = description.prefix != .never
  }

  func encode(_ text: [UInt8], beginsDocument: Bool) -> [Int32] {
    var ids: [Int32] = []
    var known: [ArraySlice<UInt8>: [Int32]] = [:]
    var rest = text[...]
    while !rest.isEmpty {
      let symbol = firstSymbol(rest)
      encode(rest[..<(symbol?.place ?? rest.endIndex)], isFirst: rest.startIndex == 0, &known, &ids)
      guard let symbol else { break }
      ids.append(symbol.id)
      rest = rest[(symbol.place + symbol.length)...]
    }
    return ids
  }

  /// The leftmost added token in a text, of several the longest.
  private func firstSymbol(
    _ text: ArraySlice<UInt8>
  ) -> (place: Int, length: Int, id: Int32)? {
    guard !description.symbols.isEmpty else { return nil }
    for place in text.indices {
      // Longest first.
      for symbol in description.symbols where text[place...].starts(with: symbol.text) {
        return (place, symbol.text.count, symbol.id)
      }
    }
    return nil
  }

  /// Adds the ids of text without added tokens.
  private func encode(
    _ text: ArraySlice<UInt8>, isFirst: Bool, _ known: inout [ArraySlice<UInt8>: [Int32]],
    _ ids: inout [Int32]
  ) {
    guard !text.isEmpty else { return }
    let marked = marked(text, isFirst: isFirst)
    for word in words(marked) {
      if let found = known[word] {
        ids += found
        continue
      }
      let found = encode(word: word)
      if word.count <= Self.longestCached { known[word] = found }
      ids += found
    }
  }

  /// The text with spaces as U+2581, and one before it, where the tokenizer wants that.
  private func marked(_ text: ArraySlice<UInt8>, isFirst: Bool) -> ArraySlice<UInt8> {
    guard vocabulary.marksSpaces else { return text }
    var marked: [UInt8] = []
    for byte in text {
      if byte == UInt8(ascii: " ") { marked += Vocabulary.spaceMark } else { marked.append(byte) }
    }
    let isPrefixed =
      switch description.prefix {
      case .never: false
      case .always: true
      case .unlessMarked: !marked.starts(with: Vocabulary.spaceMark)
      case .firstUnlessMarked: isFirst && !marked.starts(with: Vocabulary.spaceMark)
      }
    return ((isPrefixed ? Vocabulary.spaceMark : []) + marked)[...]
  }

  private func words(_ text: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    description.splits.reduce([text]) { words, split in
      words.flatMap { word in
        var start = word.startIndex
        return split.ends(word).map { end in
          defer { start = end }
          return word[start..<end]
        }
      }
    }
  }

  private func encode(word: ArraySlice<UInt8>) -> [Int32] {
    if description.ignoresMerges, let id = description.ids[Array(word)] { return [id] }
    var symbols: [Int32] = []
    var isBehindUnknown = false
    var start = word.startIndex
    while start < word.endIndex {
      let width = description.isByteLevel ? 1 : Self.width(word[start])
      let character = word[start..<min(start + width, word.endIndex)]
      start = character.endIndex
      let bytes = character.map { vocabulary.byteIds[Int($0)] }
      if let id = description.ids[Array(character)] {
        symbols.append(id)
        isBehindUnknown = false
      } else if description.fallsBackToBytes, !bytes.contains(-1) {
        symbols += bytes
        isBehindUnknown = false
      } else if let unknown = description.unknown {
        if !isBehindUnknown || !description.fusesUnknown { symbols.append(unknown) }
        isBehindUnknown = true
      }
    }
    return description.merges.apply(symbols)
  }

  /// Bytes of the character that begins with a byte.
  private static func width(_ lead: UInt8) -> Int {
    switch lead {
    case 0xc0..<0xe0: 2
    case 0xe0..<0xf0: 3
    case 0xf0...: 4
    default: 1
    }
  }
}
