// SPDX-License-Identifier: Apache-2.0
// What the ids of a tokenizer stand for, whatever format it came in.

/// What a piece of a tokenizer stands for.
public enum PieceType: Int, Sendable {
  case normal = 1
  case unknown = 2
  case control = 3
  case userDefined = 4
  case unused = 5
  case byte = 6
}

/// The pieces of a tokenizer by id, and the bytes that each decodes to, one behind the other.
struct Vocabulary: Sendable {
  struct Piece: Sendable {
    /// As its format spells it; byte pieces are spelled <0x00> to <0xFF>.
    let text: [UInt8]
    let type: PieceType
  }

  /// Most pieces: tokens have 16 bits.
  static let mostPieces = 65536
  /// U+2581, which stands for a space in pieces of tokenizers that mark spaces.
  static let spaceMark: [UInt8] = [0xe2, 0x96, 0x81]

  let pieces: [Piece]
  /// Whether a U+2581 in a piece is a space.
  let marksSpaces: Bool
  /// Ids of the byte pieces by their byte; -1 for a byte without one.
  let byteIds: [Int32]
  /// Text pieces that begin with a marked space.
  private let beginsWithMark: [Bool]
  private let bytes: [UInt8]
  private let starts: [Int]

  /// `unknownSurface` is what an unknown token decodes to.
  init(_ pieces: [Piece], unknownSurface: [UInt8], marksSpaces: Bool) {
    var bytes: [UInt8] = []
    var starts = [0]
    var byteIds = [Int32](repeating: -1, count: 256)
    for (id, piece) in pieces.enumerated() {
      switch piece.type {
      case .control: break
      case .unknown: bytes += unknownSurface
      case .byte:
        let byte = Vocabulary.byteValue(piece.text) ?? 0
        bytes.append(byte)
        byteIds[Int(byte)] = Int32(id)
      case .normal, .userDefined, .unused:
        var rest = piece.text[...]
        while marksSpaces, let mark = Vocabulary.firstSpaceMark(rest) {
          bytes += rest[..<mark]
          bytes.append(UInt8(ascii: " "))
          rest = rest[(mark + 3)...]
        }
        bytes += rest
      }
      starts.append(bytes.count)
    }
    (self.pieces, self.marksSpaces, self.byteIds) = (pieces, marksSpaces, byteIds)
    (self.bytes, self.starts) = (bytes, starts)
    beginsWithMark = pieces.map { piece in
      switch piece.type {
      case .normal, .userDefined, .unused:
        marksSpaces && piece.text.starts(with: Vocabulary.spaceMark)
      case .control, .unknown, .byte: false
      }
    }
  }

  /// The byte of a piece spelled like <0x0A>.
  static func byteValue(_ text: [UInt8]) -> UInt8? {
    guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: text[3..<5], as: UTF8.self), radix: 16)
  }

  /// The piece of a byte.
  static func bytePiece(_ byte: UInt8) -> Piece {
    Piece(text: Array("<0x\([byte].hex.uppercased())>".utf8), type: .byte)
  }

  /// Index of the first U+2581.
  static func firstSpaceMark(_ text: ArraySlice<UInt8>) -> Int? {
    var index = text.startIndex
    while index + 2 < text.endIndex {
      if text[index] == 0xe2 && text[index + 1] == 0x96 && text[index + 2] == 0x81 { return index }
      index += 1
    }
    return nil
  }

  /// The bytes that one token decodes to.
  func surface(_ id: Int) -> ArraySlice<UInt8> { bytes[starts[id]..<starts[id + 1]] }

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
