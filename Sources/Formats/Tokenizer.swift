// SPDX-License-Identifier: Apache-2.0
// A SentencePiece tokenizer: text to ids and back. Training is in TokenizerTraining.swift.

import CSentencePiece

/// A loaded tokenizer. It never changes, so threads may share it.
///
/// SentencePiece writes a space as U+2581 inside pieces, so it cannot tell a space from a U+2581 of
/// the text. An *exact* tokenizer (byte pieces, no normalisation, as `train` makes them) is used
/// around that: a U+2581 of the text is encoded as its three byte pieces, and a space right after
/// the begin-of-document token as one, because byte tables do not count a piece's space there.
public final class Tokenizer: @unchecked Sendable {
  /// The serialised model, exactly as in its file.
  public let model: [UInt8]
  /// SHA-256 of `model`.
  public let sha256: String
  /// Number of ids.
  public let vocabSize: Int
  /// Id that begins every document.
  public let bos: Int32
  /// Whether decoding gives back every text: byte pieces for all bytes and no normalisation.
  public let isExact: Bool

  private let table: PieceTable
  private let byteIds: [Int32]
  private let surfaces: Surfaces
  /// The library only reads it after loading, which it documents as safe for threads.
  private let processor: OpaquePointer

  /// Loads a model file.
  public convenience init(path: String) throws(FormatError) {
    try self.init(model: try readFile(path, limit: 1 << 28), file: path)
  }

  /// Loads a serialised model. `file` only serves errors.
  public init(model: [UInt8], file: String? = nil) throws(FormatError) {
    table = try PieceTable(model, file: file)
    var message = graphc_sp_message()
    guard let processor = graphc_sp_load(model, model.count, &message) else {
      throw FormatError(
        .corrupt, file: file, "not a usable SentencePiece model: \(Tokenizer.words(message))")
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
    (self.processor, self.model, self.vocabSize, self.bos) = (processor, model, vocabSize, bos)
    sha256 = SHA256.hex(model)
    var byteIds = [Int32](repeating: -1, count: 256)
    for (id, piece) in table.pieces.enumerated() where piece.type == .byte {
      if let byte = PieceTable.byteValue(piece.text) { byteIds[Int(byte)] = Int32(id) }
    }
    self.byteIds = byteIds
    surfaces = Surfaces(table)
    isExact =
      !byteIds.contains(-1) && !table.hasCharacterMap && !table.addsDummyPrefix
      && !table.removesExtraWhitespace && table.escapesWhitespace
  }

  deinit { graphc_sp_free(processor) }

  /// UTF-8 bytes of a piece; a space is U+2581 here.
  public func piece(_ id: Int) -> [UInt8] { table.pieces[id].text }

  /// What a piece stands for.
  public func type(_ id: Int) -> PieceType { table.pieces[id].type }

  /// Ids of a text, without a begin-of-document token.
  public func encode(_ text: String) throws(FormatError) -> [Int32] { try encode(Array(text.utf8)) }

  /// Ids of UTF-8 bytes, without a begin-of-document token.
  public func encode(_ text: [UInt8]) throws(FormatError) -> [Int32] {
    guard isExact else { return try encodeSegment(text[...]) }
    var ids: [Int32] = []
    var rest = text[...]
    while let mark = Tokenizer.firstSpaceMark(rest) {
      ids += try encodeSegment(rest[..<mark])
      ids += Tokenizer.spaceMark.map { byteIds[Int($0)] }
      rest = rest[(mark + 3)...]
    }
    return ids + (try encodeSegment(rest))
  }

  /// Ids of a document: the begin-of-document token, then the text.
  public func encodeDocument(_ text: [UInt8]) throws(FormatError) -> [Int32] {
    if isExact, text.first == UInt8(ascii: " ") {
      return [bos, byteIds[0x20]] + (try encode(Array(text.dropFirst())))
    }
    return [bos] + (try encode(text))
  }

  /// Bytes that ids stand for: byte pieces their byte, control pieces nothing. Ids outside the
  /// vocabulary are an error of the caller.
  ///
  /// Like the library, a tokenizer that normalises white space drops one space before the first
  /// word; exact tokenizers drop nothing, so any part of a stream can be decoded by itself.
  public func decode(_ ids: some Sequence<some BinaryInteger>) -> [UInt8] {
    let drops = table.addsDummyPrefix || table.removesExtraWhitespace
    return surfaces.joined(ids.map { Int($0) }, dropsFirstSpace: drops)
  }

  static let spaceMark: [UInt8] = [0xe2, 0x96, 0x81]

  static func words(_ message: graphc_sp_message) -> String {
    withUnsafeBytes(of: message.text) { raw in
      String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// Index of the first U+2581.
  fileprivate static func firstSpaceMark(_ text: ArraySlice<UInt8>) -> Int? {
    var index = text.startIndex
    while index + 2 < text.endIndex {
      if text[index] == 0xe2 && text[index + 1] == 0x96 && text[index + 2] == 0x81 { return index }
      index += 1
    }
    return nil
  }

  private func encodeSegment(_ text: ArraySlice<UInt8>) throws(FormatError) -> [Int32] {
    guard !text.isEmpty else { return [] }
    var message = graphc_sp_message()
    var ids: UnsafeMutablePointer<Int32>?
    var count = 0
    let isDone = text.withUnsafeBufferPointer {
      graphc_sp_encode(processor, $0.baseAddress, $0.count, &ids, &count, &message)
    }
    guard isDone == 1, let ids else {
      throw FormatError(.corrupt, "cannot encode text: \(Tokenizer.words(message))")
    }
    defer { graphc_sp_release(ids) }
    return Array(UnsafeBufferPointer(start: ids, count: count))
  }
}

/// The bytes that each token decodes to, one behind the other.
private struct Surfaces: Sendable {
  /// Text pieces that begin with U+2581, which decodes to a space.
  let beginsWithMark: [Bool]
  private let bytes: [UInt8]
  private let starts: [Int]

  init(_ table: PieceTable) {
    var bytes: [UInt8] = []
    var starts = [0]
    for piece in table.pieces {
      switch piece.type {
      case .control: break
      case .unknown: bytes += table.unknownSurface
      case .byte: bytes.append(PieceTable.byteValue(piece.text) ?? 0)
      case .normal, .userDefined, .unused:
        var rest = piece.text[...]
        while let mark = Tokenizer.firstSpaceMark(rest) {
          bytes += rest[..<mark]
          bytes.append(UInt8(ascii: " "))
          rest = rest[(mark + 3)...]
        }
        bytes += rest
      }
      starts.append(bytes.count)
    }
    (self.bytes, self.starts) = (bytes, starts)
    beginsWithMark = table.pieces.map { piece in
      switch piece.type {
      case .normal, .userDefined, .unused: piece.text.starts(with: Tokenizer.spaceMark)
      case .control, .unknown, .byte: false
      }
    }
  }

  /// What the tokens decode to together. `dropsFirstSpace`: without the space of a text piece that
  /// nothing stands before.
  func joined(_ ids: [Int], dropsFirstSpace: Bool) -> [UInt8] {
    let count = ids.reduce(0) { $0 + starts[$1 + 1] - starts[$1] }
    var place = 0
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      bytes.withUnsafeBufferPointer { bytes in
        for id in ids {
          var start = starts[id]
          if place == 0, dropsFirstSpace, beginsWithMark[id] { start += 1 }
          for index in start..<starts[id + 1] {
            buffer[place] = bytes[index]
            place += 1
          }
        }
      }
      filled = place
    }
  }
}
