// SPDX-License-Identifier: Apache-2.0
// The coders of the artifact's groups: each group is stored by the one that makes it smallest.

/// What is in a group, as far as the graph says: nothing of it is stored.
public struct GroupShape: Equatable, Sendable {
  /// Bytes of the content.
  public let bytes: Int
  /// What the bytes are, one a code; empty where they are other numbers.
  public let matrices: [CodeMatrix]

  /// Numbers that are no codes.
  public init(bytes: Int) { (self.bytes, matrices) = (bytes, []) }

  public init(matrices: [CodeMatrix]) {
    bytes = matrices.reduce(0) { $0 + $1.count }
    self.matrices = matrices
  }
}

/// One class of tensors as it is stored.
public struct StoredGroup: Sendable, Equatable {
  /// How the content became the frame. The number is what a file says.
  public enum Coder: UInt8, Sendable, CaseIterable {
    case zstd = 0
    case xz = 1
    /// The matrices by columns, then zstd or xz.
    case zstdByColumns = 2
    case xzByColumns = 3
    case range = 4

    /// As `dump` shows it.
    public var name: String {
      switch self {
      case .zstd: "zstd"
      case .xz: "xz"
      case .zstdByColumns: "zstd by columns"
      case .xzByColumns: "xz by columns"
      case .range: "range coder"
      }
    }
  }

  public let name: String
  public let coder: Coder
  public let frame: [UInt8]

  /// Content larger than this is given to the slow compressors only where a fast one comes near the
  /// range coder: they take minutes, and win where rows repeat, which a fast one sees too.
  public static let largestForAll = 1 << 20
  private static let quickLevel: Int32 = 3

  /// A group whose frame is there.
  public init(name: String, coder: Coder, frame: [UInt8]) {
    (self.name, self.coder, self.frame) = (name, coder, frame)
  }

  /// Stores content by the coder that makes it smallest; of equals by the first one.
  public init(
    name: String, content: [UInt8], matrices: [CodeMatrix], level: Int32 = Zstd.ultra
  ) throws(FormatError) {
    guard matrices.isEmpty || content.count == GroupShape(matrices: matrices).bytes else {
      throw FormatError(.usage, "group \(name) does not hold its matrices")
    }
    self.name = name
    let ranged = try RangeCoder.encode(content, matrices)
    if let ranged, content.count > StoredGroup.largestForAll,
      try Zstd.compress(content, level: StoredGroup.quickLevel).count > ranged.count
    {
      (coder, frame) = (.range, ranged)
      return
    }
    var best: (coder: Coder, frame: [UInt8]) = (.zstd, try Zstd.compress(content, level: level))
    func offer(_ coder: Coder, _ frame: [UInt8]) {
      if frame.count < best.frame.count { best = (coder, frame) }
    }
    offer(.xz, try Xz.compress(content))
    if !matrices.isEmpty {
      let columns = transposed(content, matrices)
      offer(.zstdByColumns, try Zstd.compress(columns, level: level))
      offer(.xzByColumns, try Xz.compress(columns))
    }
    if let ranged { offer(.range, ranged) }
    (coder, frame) = best
  }

  /// The content. `shape` is what the graph says of it; anything else is refused. `bits` are of each
  /// matrix what the frame spends on it, where its coder can say.
  func content(_ shape: GroupShape) throws(FormatError) -> (bytes: [UInt8], bits: [Double]?) {
    switch coder {
    case .zstd: return (try Zstd.decompress(frame, expectedSize: shape.bytes), nil)
    case .xz: return (try Xz.decompress(frame, expectedSize: shape.bytes), nil)
    case .zstdByColumns:
      return (try rows(of: try Zstd.decompress(frame, expectedSize: shape.bytes), shape), nil)
    case .xzByColumns:
      return (try rows(of: try Xz.decompress(frame, expectedSize: shape.bytes), shape), nil)
    case .range:
      let (codes, size) = try RangeCoder.decode(frame, shape.matrices)
      return (codes, size.bits)
    }
  }

  private func rows(of columns: [UInt8], _ shape: GroupShape) throws(FormatError) -> [UInt8] {
    guard !shape.matrices.isEmpty else {
      throw FormatError(.corrupt, "the group holds no matrices that could stand by columns")
    }
    return transposed(
      columns,
      shape.matrices.map { CodeMatrix(rows: $0.columns, columns: $0.rows, codes: $0.codes) })
  }
}

/// The matrices, whose rows follow each other in `bytes`, each by its columns.
private func transposed(_ bytes: [UInt8], _ matrices: [CodeMatrix]) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: bytes.count) { result, count in
    bytes.withUnsafeBufferPointer { bytes in
      var start = 0
      for matrix in matrices {
        for row in 0..<matrix.rows {
          for column in 0..<matrix.columns {
            result[start + column * matrix.rows + row] =
              bytes[start + row * matrix.columns + column]
          }
        }
        start += matrix.count
      }
    }
    count = bytes.count
  }
}
