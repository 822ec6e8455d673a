// SPDX-License-Identifier: Apache-2.0
// The pieces and the normaliser's settings of a SentencePiece model, read from its protocol buffer.

/// The part of a SentencePiece model that byte accounting and decoding need.
///
/// The library does not tell user-defined pieces apart, and it aborts or accepts some files that
/// are cut off. So the file is read here first: every length is checked, and the vocabulary, the
/// trainer's and the normaliser's settings must all be present.
struct PieceTable: Sendable {
  private(set) var pieces: [Vocabulary.Piece] = []
  /// What an unknown token decodes to.
  private(set) var unknownSurface = Array(" \u{2047} ".utf8)
  private(set) var addsDummyPrefix = true
  private(set) var removesExtraWhitespace = true
  private(set) var escapesWhitespace = true
  private(set) var hasCharacterMap = false

  init(_ model: [UInt8], file: String?) throws(FormatError) {
    var message = WireReader(model[...], file: file)
    var hasTrainer = false
    var hasNormaliser = false
    while let field = try message.next("model") {
      switch field.number {
      case 1:
        pieces.append(try PieceTable.piece(field.body, index: pieces.count, file: file))
        guard pieces.count <= Vocabulary.mostPieces else {
          throw message.error("pieces", "more than 65536 pieces do not fit 16-bit tokens")
        }
      case 2:
        hasTrainer = true
        var trainer = WireReader(field.body, file: file)
        while let field = try trainer.next("trainer settings") {
          if field.number == 44 { unknownSurface = Array(field.body) }
        }
      case 3:
        hasNormaliser = true
        try readNormaliser(field.body, file: file)
      default: break
      }
    }
    guard hasTrainer, hasNormaliser, !pieces.isEmpty else {
      throw FormatError(
        .corrupt, file: file, offset: model.count,
        "found \(pieces.count) pieces and \(hasNormaliser ? "all" : "not all") settings; "
          + "the file is cut off or not a SentencePiece model")
    }
  }

  private static func piece(
    _ body: ArraySlice<UInt8>, index: Int, file: String?
  ) throws(FormatError) -> Vocabulary.Piece {
    var message = WireReader(body, file: file)
    var text: [UInt8] = []
    var type = PieceType.normal
    while let field = try message.next("piece \(index)") {
      if field.number == 1 { text = Array(field.body) }
      guard field.number == 3 else { continue }
      guard let known = PieceType(rawValue: Int(truncatingIfNeeded: field.value)) else {
        throw message.error("piece \(index)", "unknown type \(field.value)")
      }
      type = known
    }
    guard !text.isEmpty, firstInvalidUTF8(text) == nil else {
      throw message.error("piece \(index)", "its text is empty or not UTF-8")
    }
    if type == .byte && Vocabulary.byteValue(text) == nil {
      throw message.error("piece \(index)", "a byte piece is spelled <0x00> to <0xFF>")
    }
    return Vocabulary.Piece(text: text, type: type)
  }

  private mutating func readNormaliser(_ body: ArraySlice<UInt8>, file: String?) throws(FormatError)
  {
    var message = WireReader(body, file: file)
    while let field = try message.next("normaliser settings") {
      switch field.number {
      case 2:
        hasCharacterMap = !field.body.isEmpty
        if let damage = CharacterMap.damage(field.body) {
          throw message.error("normalisation table", damage)
        }
      case 3: addsDummyPrefix = field.value != 0
      case 4: removesExtraWhitespace = field.value != 0
      case 5: escapesWhitespace = field.value != 0
      default: break
      }
    }
  }
}

/// Reads the fields of one protocol-buffer message, checking every length.
struct WireReader {
  struct Field {
    let number: Int
    /// Value of a number field, else 0.
    let value: UInt64
    /// Bytes of a field with a length, else empty.
    let body: ArraySlice<UInt8>
  }

  private let bytes: ArraySlice<UInt8>
  private let file: String?
  private var offset: Int

  init(_ bytes: ArraySlice<UInt8>, file: String?) {
    (self.bytes, self.file) = (bytes, file)
    offset = bytes.startIndex
  }

  /// The next field, or nil at the end of the message.
  mutating func next(_ message: String) throws(FormatError) -> Field? {
    guard offset < bytes.endIndex else { return nil }
    let key = try varint(message)
    guard key >> 3 > 0, key >> 3 < 1 << 29 else { throw error(message, "a bad field number") }
    var value: UInt64 = 0
    var body: ArraySlice<UInt8> = []
    switch key & 7 {
    case 0: value = try varint(message)
    case 1: _ = try take(8, message)
    case 2:
      let length = try varint(message)
      body = try take(Int(clamping: length), message)
    case 5: _ = try take(4, message)
    default: throw error(message, "unknown wire type \(key & 7)")
    }
    return Field(number: Int(key >> 3), value: value, body: body)
  }

  func error(_ field: String, _ reason: String) -> FormatError {
    FormatError(
      .corrupt, file: file, field: field, offset: offset,
      "\(reason); the file is damaged or not a SentencePiece model")
  }

  private mutating func take(_ count: Int, _ field: String) throws(FormatError) -> ArraySlice<UInt8>
  {
    guard count <= bytes.endIndex - offset else {
      throw error(field, "needs \(count) bytes, but only \(bytes.endIndex - offset) are left")
    }
    defer { offset += count }
    return bytes[offset..<offset + count]
  }

  private mutating func varint(_ field: String) throws(FormatError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      guard offset < bytes.endIndex else { throw error(field, "a number is cut off") }
      let byte = bytes[offset]
      offset += 1
      value |= UInt64(byte & 0x7f) << UInt64(shift)
      if byte < 0x80 { return value }
    }
    throw error(field, "a number is longer than 64 bits")
  }
}
