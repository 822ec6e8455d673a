// SPDX-License-Identifier: Apache-2.0
// How many bytes of text each token stands for: the denominator of bits per byte.

/// Byte counts by token id, as the published evaluation defines them.
///
/// - `baseBytes`: 0 for control, unknown and unused ids, 1 for byte pieces, else the UTF-8 length
///   of the piece without one leading U+2581.
/// - `leadingSpace`: the piece begins with U+2581. Where a tokenizer does not write spaces so, a
///   U+2581 is a character like any other.
/// - `boundary`: control, unknown and unused ids. A space after one of these is not counted.
public struct ByteTable: Sendable, Equatable {
  public let baseBytes: [Int16]
  public let leadingSpace: [Bool]
  public let boundary: [Bool]

  public init(_ tokenizer: Tokenizer) {
    var baseBytes: [Int16] = []
    var leadingSpace: [Bool] = []
    var boundary: [Bool] = []
    for id in 0..<tokenizer.vocabSize {
      let piece = tokenizer.piece(id)
      let hasSpace = tokenizer.marksSpaces && piece.starts(with: Vocabulary.spaceMark)
      switch tokenizer.type(id) {
      case .control, .unknown, .unused:
        baseBytes.append(0)
        leadingSpace.append(false)
        boundary.append(true)
      case .byte:
        baseBytes.append(1)
        leadingSpace.append(false)
        boundary.append(false)
      case .normal, .userDefined:
        baseBytes.append(Int16(clamping: piece.count - (hasSpace ? 3 : 0)))
        leadingSpace.append(hasSpace)
        boundary.append(false)
      }
    }
    (self.baseBytes, self.leadingSpace, self.boundary) = (baseBytes, leadingSpace, boundary)
  }

  /// Number of ids.
  public var vocab: Int { baseBytes.count }

  /// Bytes that `target` stands for when it follows `previous`.
  public func bytes(target: Int, previous: Int) -> Int {
    Int(baseBytes[target]) + (leadingSpace[target] && !boundary[previous] ? 1 : 0)
  }

  /// Bytes of all targets of a stretch of tokens: of each token but the first, after the one
  /// before it.
  public func bytes(of tokens: [UInt16]) -> Int {
    var total = 0
    var previous: UInt16?
    for token in tokens {
      if let previous { total += bytes(target: Int(token), previous: Int(previous)) }
      previous = token
    }
    return total
  }

  /// SHA-256 of the three tables: 16-bit little-endian counts, one byte for each flag.
  public var sha256: Hashes {
    var counts: [UInt8] = []
    for count in baseBytes { counts.append(littleEndian: count) }
    return Hashes(
      baseBytes: SHA256.hex(counts), leadingSpace: SHA256.hex(leadingSpace.map { $0 ? 1 : 0 }),
      boundary: SHA256.hex(boundary.map { $0 ? 1 : 0 }))
  }

  /// SHA-256 of each table.
  public struct Hashes: Sendable, Equatable {
    public let baseBytes: String
    public let leadingSpace: String
    public let boundary: String
  }
}
