// SPDX-License-Identifier: Apache-2.0
// A SentencePiece model: its pieces, and the library that encodes with them.

import CSentencePiece

/// A loaded SentencePiece model.
///
/// SentencePiece writes a space as U+2581 inside pieces, so it cannot tell a space from a U+2581 of
/// the text. An *exact* model (byte pieces, no normalisation, as `Tokenizer.train` makes them) is used
/// around that: a U+2581 of the text is encoded as its three byte pieces, and a space right after
/// the begin-of-document token as one, because byte tables do not count a piece's space there.
final class SentencePieceModel: TextEncoder, @unchecked Sendable {
  let vocabulary: Vocabulary
  let bos: Int32
  let isExact: Bool
  /// Like the library, a model that normalises white space drops one space before the first word.
  let dropsFirstSpace: Bool
  /// Whether the case operators are pieces of their own.
  let hasCaseOperators: Bool
  /// The library only reads it after loading, which it documents as safe for threads.
  private let processor: OpaquePointer

  /// Loads a serialised model. `file` only serves errors.
  init(_ model: [UInt8], file: String?) throws(FormatError) {
    let table = try PieceTable(model, file: file)
    var message = graphc_sp_message()
    guard let processor = graphc_sp_load(model, model.count, &message) else {
      throw FormatError(
        .corrupt, file: file,
        "not a usable SentencePiece model: \(SentencePieceModel.words(message))")
    }
    let vocabSize = Int(graphc_sp_vocab_size(processor))
    let bos = graphc_sp_bos_id(processor)
    guard vocabSize == table.pieces.count, bos >= 0 else {
      graphc_sp_free(processor)
      throw FormatError(
        .corrupt, file: file,
        bos < 0
          ? "the tokenizer has no begin-of-document piece, which graphc needs"
          : "the library sees \(vocabSize) pieces, the file holds \(table.pieces.count)")
    }
    (self.processor, self.bos) = (processor, bos)
    vocabulary = Vocabulary(
      table.pieces, unknownSurface: table.unknownSurface, marksSpaces: true)
    isExact =
      !vocabulary.byteIds.contains(-1) && !table.hasCharacterMap && !table.addsDummyPrefix
      && !table.removesExtraWhitespace && table.escapesWhitespace
    dropsFirstSpace = table.addsDummyPrefix || table.removesExtraWhitespace
    let symbols = Set(table.pieces.lazy.filter { $0.type == .userDefined }.map(\.text))
    hasCaseOperators = CaseOperators.characters.allSatisfy { symbols.contains($0) }
  }

  deinit { graphc_sp_free(processor) }

  func encode(_ text: [UInt8], beginsDocument: Bool) throws(FormatError) -> [Int32] {
    var encoding = Encoding()
    try encode(text, beginsDocument, &encoding)
    return encoding.ids
  }

  /// Ids, and one more byte offset in the text than ids: token i stands for the text from boundary i
  /// to boundary i + 1. A character in several byte pieces belongs to the last.
  func encodeWithBoundaries(
    _ text: [UInt8], beginsDocument: Bool
  ) throws(FormatError) -> (ids: [Int32], boundaries: [Int]) {
    var encoding = Encoding(boundaries: [])
    try encode(text, beginsDocument, &encoding)
    let boundaries = encoding.boundaries ?? []
    return (encoding.ids, boundaries.isEmpty ? [0] : boundaries)
  }

  static func words(_ message: graphc_sp_message) -> String {
    withUnsafeBytes(of: message.text) { raw in
      String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// Tokens so far.
  private struct Encoding {
    var ids: [Int32] = []
    /// nil: not wanted.
    var boundaries: [Int]?

    /// Adds the byte pieces of one character, whose bytes stand at `place`.
    mutating func append(bytePieces: [Int32], at place: Range<Int>) {
      ids += bytePieces
      if boundaries?.isEmpty == true { boundaries = [place.lowerBound] }
      boundaries? +=
        Array(repeating: place.lowerBound, count: bytePieces.count - 1) + [place.upperBound]
    }
  }

  private func encode(
    _ text: [UInt8], _ beginsDocument: Bool, _ encoding: inout Encoding
  ) throws(FormatError) {
    guard isExact else { return try encodeSegment(text[...], &encoding) }
    var rest = text[...]
    if beginsDocument, rest.first == UInt8(ascii: " ") {
      encoding.append(bytePieces: [vocabulary.byteIds[0x20]], at: 0..<1)
      rest = rest.dropFirst()
    }
    while let mark = Vocabulary.firstSpaceMark(rest) {
      try encodeSegment(rest[..<mark], &encoding)
      encoding.append(
        bytePieces: Vocabulary.spaceMark.map { vocabulary.byteIds[Int($0)] }, at: mark..<mark + 3)
      rest = rest[(mark + 3)...]
    }
    try encodeSegment(rest, &encoding)
  }

  private func encodeSegment(
    _ text: ArraySlice<UInt8>, _ encoding: inout Encoding
  ) throws(FormatError) {
    guard !text.isEmpty else { return }
    var message = graphc_sp_message()
    var ids: UnsafeMutablePointer<Int32>?
    var boundaries: UnsafeMutablePointer<Int>?
    var count = 0
    let isWanted = encoding.boundaries != nil
    let isDone = text.withUnsafeBufferPointer { text in
      withUnsafeMutablePointer(to: &boundaries) {
        graphc_sp_encode(
          processor, text.baseAddress, text.count, &ids, isWanted ? $0 : nil, &count, &message)
      }
    }
    guard isDone == 1, let ids else {
      throw FormatError(.corrupt, "cannot encode text: \(SentencePieceModel.words(message))")
    }
    defer {
      graphc_sp_release(ids)
      graphc_sp_release(boundaries)
    }
    encoding.ids += UnsafeBufferPointer(start: ids, count: count)
    guard let boundaries else { return }
    let places = UnsafeBufferPointer(start: boundaries, count: count + 1)
    let isFirst = encoding.boundaries?.isEmpty == true
    encoding.boundaries? += places.dropFirst(isFirst ? 0 : 1).map { text.startIndex + $0 }
  }
}
