// SPDX-License-Identifier: Apache-2.0
// Matrices of codes as a stream of our range coder, which is C (CRangeCoder).

import CRangeCoder

/// The size of a matrix of quantised weights [rows, columns] and the range of its codes.
public struct CodeMatrix: Hashable, Sendable {
  public let rows: Int
  public let columns: Int
  public let codes: ClosedRange<Int>

  public init(rows: Int, columns: Int, codes: ClosedRange<Int>) {
    (self.rows, self.columns, self.codes) = (rows, columns, codes)
  }

  public var count: Int { rows * columns }
}

/// An adaptive range coder for codes of one class of tensors. Equal codes give equal bytes on every
/// machine. Matrices of a stream follow each other, one byte a code, and share statistics.
public enum RangeCoder {
  /// What a stream takes, and what of it each matrix takes.
  public struct Size: Equatable, Sendable {
    public let bytes: Int
    /// In bits; together they are the stream, but for the 8 bytes of its end.
    public let bits: [Double]
  }

  /// The matrices are such that they can be coded: others go to other coders.
  static func takes(_ matrices: [CodeMatrix]) -> Bool {
    !matrices.isEmpty
      && matrices.allSatisfy {
        $0.rows >= 0 && $0.rows < Int(Int32.max) && $0.columns >= 1
          && $0.columns <= RANGE_CODER_COLUMNS
          && $0.codes.lowerBound >= -128 && $0.codes.contains(0) && $0.codes.upperBound <= 127
      }
  }

  /// The stream of these codes, one byte each; nil when it would be longer than they are, and when
  /// they are none that it can hold: out of range, or of matrices with more than 65,536 columns.
  public static func encode(
    _ codes: [UInt8], _ matrices: [CodeMatrix]
  ) throws(FormatError) -> [UInt8]? {
    guard takes(matrices), damage(codes, matrices) == nil else { return nil }
    var size: Int64 = 0
    let stream = [UInt8](unsafeUninitializedCapacity: codes.count + 8) { buffer, count in
      size = withCodes(codes, matrices) {
        codes_encode(buffer.baseAddress, Int64(buffer.count), $0, $1, Int64(matrices.count), nil)
      }
      count = max(0, Int(size))
    }
    if size == RANGE_CODER_TOO_LARGE { return nil }
    try check(size)
    return stream
  }

  /// The codes of a stream, which must hold these matrices and nothing else, and its size.
  public static func decode(
    _ stream: [UInt8], _ matrices: [CodeMatrix]
  ) throws(FormatError) -> (codes: [UInt8], size: Size) {
    guard takes(matrices) else {
      throw FormatError(.corrupt, "the range coder does not take matrices of these sizes")
    }
    let count = matrices.reduce(0) { $0 + $1.count }
    var costs = [Int64](repeating: 0, count: matrices.count)
    var status: Int64 = 0
    let codes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      // Codes that a damaged stream does not reach are zeros too.
      buffer.initialize(repeating: 0)
      status = stream.withUnsafeBufferPointer { bytes in
        buffer.withMemoryRebound(to: Int8.self) {
          codes_decode(
            $0.baseAddress, matrices.map(\.asC), Int64(matrices.count), bytes.baseAddress,
            Int64(bytes.count), &costs)
        }
      }
      initialized = count
    }
    try check(status)
    return (codes, Size(bytes: stream.count, bits: costs.map { Double($0) / 256 }))
  }

  /// The bytes that `encode` would give, counted without it: in one pass over the codes.
  ///
  /// Within a few bytes for codes of whole matrices: it is the coder itself that learns and counts.
  /// Throws where `encode` cannot hold the codes.
  public static func predictedBytes(
    _ codes: [UInt8], _ matrices: [CodeMatrix]
  ) throws(FormatError) -> Size {
    guard takes(matrices) else {
      throw FormatError(.usage, "the range coder does not take matrices of these sizes")
    }
    if let damage = damage(codes, matrices) { throw FormatError(.usage, damage) }
    var costs = [Int64](repeating: 0, count: matrices.count)
    let bytes = withCodes(codes, matrices) { codes_cost($0, $1, Int64(matrices.count), &costs) }
    try check(bytes)
    return Size(bytes: Int(bytes), bits: costs.map { Double($0) / 256 })
  }

  private static func withCodes(
    _ codes: [UInt8], _ matrices: [CodeMatrix],
    _ body: (UnsafePointer<Int8>?, [code_matrix]) -> Int64
  ) -> Int64 {
    codes.withUnsafeBufferPointer { buffer in
      buffer.withMemoryRebound(to: Int8.self) { body($0.baseAddress, matrices.map(\.asC)) }
    }
  }

  /// What is wrong with codes of these matrices, if anything.
  private static func damage(_ codes: [UInt8], _ matrices: [CodeMatrix]) -> String? {
    guard codes.count == matrices.reduce(0, { $0 + $1.count }) else {
      return "\(codes.count) codes are not those of the matrices"
    }
    var start = 0
    for matrix in matrices {
      let (least, most) = (Int8(matrix.codes.lowerBound), Int8(matrix.codes.upperBound))
      let isIn = codes[start..<start + matrix.count].allSatisfy {
        let code = Int8(bitPattern: $0)
        return code >= least && code <= most
      }
      guard isIn else { return "a code is not in \(matrix.codes)" }
      start += matrix.count
    }
    return nil
  }

  private static func check(_ status: Int64) throws(FormatError) {
    switch Int(min(status, 0)) {
    case RANGE_CODER_NO_MEMORY: throw FormatError(.io, "no memory for the range coder")
    case 0: break
    default: throw FormatError(.corrupt, field: "range coder", "the stream is damaged")
    }
  }
}

extension CodeMatrix {
  fileprivate var asC: code_matrix {
    code_matrix(
      rows: Int64(rows), columns: Int64(columns), qmin: Int32(codes.lowerBound),
      qmax: Int32(codes.upperBound))
  }
}
