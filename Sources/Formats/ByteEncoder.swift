// SPDX-License-Identifier: Apache-2.0
// The tokenizer that knows nothing: a token for each byte.

/// 260 ids: four special ones, then the bytes. Its file is the JSON document by which the published
/// byte-level data sets describe themselves.
struct ByteEncoder: TextEncoder {
  /// The only document of this kind: other numbers are refused.
  static let document: JSONValue = [
    "tokenizer_type": "pure_byte", "vocab_size": .int(firstByte + 256),
    "config": [
      "pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3, "byte_offset": .int(firstByte),
      "byte_count": 256,
    ],
  ]

  private static let firstByte = 4

  let vocabulary: Vocabulary
  let bos: Int32 = 1
  let isExact = true
  let dropsFirstSpace = false

  init() {
    let special: [Vocabulary.Piece] = [
      .init(text: Array("<pad>".utf8), type: .control),
      .init(text: Array("<s>".utf8), type: .control),
      .init(text: Array("</s>".utf8), type: .control),
      .init(text: Array("<unk>".utf8), type: .unknown),
    ]
    // No text makes the unknown token; what another program wrote decodes to a replacement.
    vocabulary = Vocabulary(
      special + (0...255).map { Vocabulary.bytePiece($0) },
      unknownSurface: Array("\u{fffd}".utf8), marksSpaces: false)
  }

  /// Reads the document of a file.
  init(_ document: JSONValue, file: String?) throws(FormatError) {
    guard document == ByteEncoder.document else {
      throw FormatError(
        .corrupt, file: file, field: "tokenizer_type",
        "found \(document["tokenizer_type"]?.text ?? "nothing"); graphc reads a SentencePiece model, a "
          + "tokenizer.json of byte-pair encoding, and of pure_byte "
          + "\(ByteEncoder.document.text)")
    }
    self.init()
  }

  func encode(_ text: [UInt8], beginsDocument: Bool) -> [Int32] {
    text.map { Int32($0) + Int32(ByteEncoder.firstByte) }
  }
}
