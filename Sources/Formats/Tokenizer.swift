// SPDX-License-Identifier: Apache-2.0
// A tokenizer: text to ids and back. Training is in TokenizerTraining.swift.

/// A loaded tokenizer of any format. It never changes, so threads may share it.
///
/// - A SentencePiece model, as `train` makes them. One whose pieces hold the case operators sees and
///   gives text through `CaseOperators`; texts and bytes of this type are always the original ones.
/// - A tokenizer.json of byte-pair encoding, as Hugging Face's tokenizers write it.
/// - The 256 bytes, in a small JSON document (`bytes`).
public final class Tokenizer: Sendable {
  /// The file of the tokenizer, byte for byte.
  public let model: [UInt8]
  /// SHA-256 of `model`.
  public let sha256: String
  /// Id that begins every document.
  public let bos: Int32
  /// Whether decoding gives back every text: byte pieces for all bytes and no normalisation.
  public let isExact: Bool
  /// Whether text is transformed by `CaseOperators` first. What such tokens stand for does not follow
  /// from the byte table: `encodeDocumentWithBytes` says it.
  public var hasCaseOperators: Bool { caseModel != nil }
  /// Name of the file in a data folder.
  public let fileName: String

  let vocabulary: Vocabulary
  private let encoder: any TextEncoder
  /// The encoder, where it has the case operators.
  private let caseModel: SentencePieceModel?

  static let fileNames = [sentencePieceName, jsonName]
  private static let sentencePieceName = "tokenizer.model"
  private static let jsonName = "tokenizer.json"

  /// Loads a tokenizer's file.
  public convenience init(path: String) throws(FormatError) {
    try self.init(model: try readFile(path, limit: 1 << 28), file: path)
  }

  /// Loads a tokenizer from the bytes of its file. `file` only serves errors.
  public convenience init(model: [UInt8], file: String? = nil) throws(FormatError) {
    // The protocol buffer of a SentencePiece model cannot begin with a brace.
    guard model.first(where: { !(0x09...0x20).contains($0) }) == UInt8(ascii: "{") else {
      let encoder = try SentencePieceModel(model, file: file)
      self.init(
        model, encoder, fileName: Tokenizer.sentencePieceName,
        caseModel: encoder.hasCaseOperators ? encoder : nil)
      return
    }
    let document = try JSONValue.parse(model, file: file)
    let encoder: any TextEncoder =
      if document["tokenizer_type"] != nil {
        try ByteEncoder(document, file: file)
      } else {
        try BytePairEncoder(document, file: file)
      }
    self.init(model, encoder, fileName: Tokenizer.jsonName)
  }

  init(
    _ model: [UInt8], _ encoder: any TextEncoder, fileName: String,
    caseModel: SentencePieceModel? = nil
  ) {
    (self.model, self.encoder, self.fileName) = (model, encoder, fileName)
    self.caseModel = caseModel
    (vocabulary, bos, isExact) = (encoder.vocabulary, encoder.bos, encoder.isExact)
    sha256 = SHA256.hex(model)
  }

  /// The tokenizer of 260 ids: pad 0, begin of document 1, end 2, unknown 3, then byte b as b + 4.
  public static let bytes = Tokenizer(
    Array((ByteEncoder.document.prettyText + "\n").utf8), ByteEncoder(), fileName: jsonName)

  /// Number of ids.
  public var vocabSize: Int { vocabulary.pieces.count }

  /// Bytes of a piece as its format spells it. Where `marksSpaces`, a space is U+2581 here.
  public func piece(_ id: Int) -> [UInt8] { vocabulary.pieces[id].text }

  /// What a piece stands for.
  public func type(_ id: Int) -> PieceType { vocabulary.pieces[id].type }

  /// Whether a U+2581 in a piece is a space.
  public var marksSpaces: Bool { vocabulary.marksSpaces }

  /// Ids of a text, without a begin-of-document token.
  public func encode(_ text: String) throws(FormatError) -> [Int32] { try encode(Array(text.utf8)) }

  /// Ids of UTF-8 bytes, without a begin-of-document token.
  public func encode(_ text: [UInt8]) throws(FormatError) -> [Int32] {
    try encoder.encode(transformed(text), beginsDocument: false)
  }

  /// Ids of a document: the begin-of-document token, then the text. Text that spells a control piece
  /// never becomes one.
  public func encodeDocument(_ text: [UInt8]) throws(FormatError) -> [Int32] {
    [bos] + (try encoder.encode(transformed(text), beginsDocument: true))
  }

  /// Ids of a document, and the bytes of the original text that each stands for, by a tokenizer that
  /// has case operators: none for these and for the begin of the document. Those of a character in
  /// several byte pieces are at its last one. White space that normalisation drops at the ends of a
  /// document is counted at no token.
  public func encodeDocumentWithBytes(
    _ text: [UInt8]
  ) throws(FormatError) -> (ids: [Int32], bytes: [UInt16]) {
    guard let caseModel else { preconditionFailure("this tokenizer has no case operators") }
    let transformed = CaseOperators.transform(text)
    let (ids, boundaries) = try caseModel.encodeWithBoundaries(transformed, beginsDocument: true)
    var counter = CaseOperators.ByteCounter()
    // Original bytes before each byte of the transformed text.
    var before = [0]
    before.reserveCapacity(transformed.count + 1)
    for byte in transformed { before.append(before[before.count - 1] + counter.count(byte)) }
    var bytes: [UInt16] = [0]
    for (start, end) in zip(boundaries, boundaries.dropFirst()) {
      guard let count = UInt16(exactly: before[end] - before[start]) else {
        throw FormatError(
          .corrupt, offset: start,
          "one token stands for \(before[end] - before[start]) bytes of text, most of them white "
            + "space; the byte sidecar counts up to \(UInt16.max): shorten it")
      }
      bytes.append(count)
    }
    return ([bos] + ids, bytes)
  }

  /// What `encodeDocumentWithBytes` counts, found in the tokens of a document alone; nil where they do
  /// not tell, because the tokenizer is not exact or has no case operators.
  public func originalBytes(ofDocument tokens: [UInt16]) -> [UInt16]? {
    guard isExact, hasCaseOperators else { return nil }
    var counter = CaseOperators.ByteCounter()
    return tokens.map { token in
      let bytes = vocabulary.surface(Int(token)).reduce(0) { $0 + counter.count($1) }
      return UInt16(clamping: bytes)
    }
  }

  /// Bytes that ids stand for: byte pieces their byte, control pieces nothing. Ids outside the
  /// vocabulary are an error of the caller.
  ///
  /// Exact tokenizers drop nothing, so any part of a stream can be decoded by itself; with case
  /// operators only from the begin of a document, as an operator may stand before the part.
  public func decode(_ ids: some Sequence<some BinaryInteger>) -> [UInt8] {
    let text = vocabulary.joined(
      ids.map { Int($0) }, dropsFirstSpace: encoder.dropsFirstSpace)
    return hasCaseOperators ? CaseOperators.inverse(text) : text
  }

  private func transformed(_ text: [UInt8]) -> [UInt8] {
    hasCaseOperators ? CaseOperators.transform(text) : text
  }
}

/// What a format of tokenizers does; `Tokenizer` adds what all of them share.
protocol TextEncoder: Sendable {
  var vocabulary: Vocabulary { get }
  /// Id that begins every document.
  var bos: Int32 { get }
  /// Whether the surfaces of the ids are the text, for every text.
  var isExact: Bool { get }
  /// Whether decoding drops one space before the first word.
  var dropsFirstSpace: Bool { get }

  /// Ids of UTF-8 text, without a begin-of-document token; `beginsDocument`: it stands right before.
  func encode(_ text: [UInt8], beginsDocument: Bool) throws(FormatError) -> [Int32]
}
