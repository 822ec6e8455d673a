// SPDX-License-Identifier: Apache-2.0
// What codes leave of a matrix, in a few directions: LQER's factors and their codes.

import CKernels

/// A low-rank part A B of what quantisation left of a matrix (LQER, Zhang et al., 2024; pull request #1797
/// of Parameter Golf), its factors in a few bits: W ≈ Ŵ + A B.
///
/// E = W - Ŵ [rows, columns] has the singular values S; A = U S [rows, rank] and B = Vᵀ [rank, columns],
/// of the largest ones, without weights. All in double and in one order: the bits repeat, with any number
/// of threads on every instruction set.
public struct LowRankCorrection: Hashable, Sendable {
  /// How a factor is stored.
  public enum Grouping: Hashable, Sendable {
    /// One scale for the whole factor, largest |a| over half of the codes' range; both ends are codes.
    case whole
    /// The same of each so many numbers, row by row; the last group has the rest.
    case groups(Int)
    /// One scale a row of the factor, largest |a| over the largest code; codes are symmetric.
    case rows
  }

  /// A factor [rows, columns] in codes: a number is its code times its group's scale.
  public struct Factor: Hashable, Sendable {
    public let (rows, columns): (Int, Int)
    /// Numbers of a group, one scale each.
    public let group: Int
    public let codes: [Int8]
    /// Bits of half precision.
    public let scales: [UInt16]

    /// Codes of numbers [rows, columns]. A step is the largest magnitude of the group, 1e-10 at least,
    /// over 2^(bits-1) - 1/2, or over 2^(bits-1) - 1 for `rows`; codes come from the step in half
    /// precision, nearest, ties to even.
    public init(_ numbers: [Double], rows: Int, columns: Int, bits: Int, _ grouping: Grouping) {
      (self.rows, self.columns) = (rows, columns)
      let half = 1 << (bits - 1)
      let isSymmetric = grouping == .rows
      switch grouping {
      case .whole: group = max(numbers.count, 1)
      case .groups(let size): group = size
      case .rows: group = max(columns, 1)
      }
      var codes = [Int8](repeating: 0, count: numbers.count)
      var scales: [UInt16] = []
      for start in stride(from: 0, to: numbers.count, by: group) {
        let places = start..<min(numbers.count, start + group)
        let largest = places.reduce(1e-10) { max($0, numbers[$1].magnitude) }
        let bits = quantise_half(largest / (Double(half) - (isSymmetric ? 1 : 0.5)))
        let scale = Double(quantise_from_half(bits))
        scales.append(bits)
        for place in places where scale > 0 {
          let code = (numbers[place] / scale).rounded(.toNearestOrEven)
          let least = Double(isSymmetric ? 1 - half : -half)
          codes[place] = Int8(min(max(code, least), Double(half - 1)))
        }
      }
      (self.codes, self.scales) = (codes, scales)
    }

    /// What the codes stand for, [rows, columns].
    public var values: [Float] {
      let scales = scales.map { quantise_from_half($0) }
      return codes.enumerated().map { Float($1) * scales[$0 / group] }
    }
  }

  public let a: Factor
  public let b: Factor

  init(a: Factor, b: Factor) { (self.a, self.b) = (a, b) }

  /// The correction of an error [rows, columns] as #1797 stores it: A in two bits with one scale, B in
  /// four with one for each 64 numbers.
  public init(
    error: [Double], rows: Int, columns: Int, rank: Int = 4,
    a: (bits: Int, grouping: Grouping) = (2, .whole),
    b: (bits: Int, grouping: Grouping) = (4, .groups(64)), threads: Int
  ) {
    let part = SingularPart(error, rows: rows, columns: columns, rank: rank, threads: threads)
    self.a = Factor(part.left, rows: rows, columns: part.rank, bits: a.bits, a.grouping)
    self.b = Factor(part.right, rows: part.rank, columns: columns, bits: b.bits, b.grouping)
  }

  /// Adds A B to weights [rows, columns].
  public func add(to weights: inout [Float]) {
    weights.withUnsafeMutableBufferPointer { add(to: $0) }
  }

  /// The same in place.
  func add(to weights: UnsafeMutableBufferPointer<Float>) {
    let (left, right) = (a.values, b.values)
    for row in 0..<a.rows {
      for k in 0..<a.columns {
        let factor = left[row * a.columns + k]
        for column in 0..<b.columns {
          weights[row * b.columns + column] += factor * right[k * b.columns + column]
        }
      }
    }
  }

  /// The places of the largest errors by Frobenius norm, at most `count`, of equal ones the first: only
  /// these tensors get a correction.
  public static func worst(_ errors: [[Double]], count: Int = 3) -> [Int] {
    let norms = errors.map { $0.reduce(0) { $0 + $1 * $1 } }
    return Array(norms.indices.sorted { (-norms[$0], $0) < (-norms[$1], $1) }.prefix(count))
  }
}

extension LowRankCorrection.Factor {
  /// A factor that was stored.
  init(rows: Int, columns: Int, group: Int, codes: [Int8], scales: [UInt16]) {
    (self.rows, self.columns, self.group) = (rows, columns, group)
    (self.codes, self.scales) = (codes, scales)
  }
}

/// The part of a matrix E [rows, columns] that belongs to its largest singular values: U S and Vᵀ.
///
/// Eigenvectors of EᵀE, or of EEᵀ where that is smaller, by iteration of a subspace that is somewhat
/// larger than the rank, with Rayleigh and Ritz's step in each turn (Golub and Van Loan, Matrix
/// Computations, 8.2). The largest component of each row of Vᵀ is positive.
package struct SingularPart {
  package let rank: Int
  /// U S [rows, rank].
  package private(set) var left: [Double]
  /// Vᵀ [rank, columns].
  package private(set) var right: [Double]

  package init(_ error: [Double], rows: Int, columns: Int, rank: Int, threads: Int) {
    precondition(error.count == rows * columns, "an error is [rows, columns]")
    let isTall = rows >= columns
    let (long, short) = isTall ? (rows, columns) : (columns, rows)
    self.rank = min(rank, short)
    let e = Panel(rows: long, columns: short) {
      isTall ? error[$0 * columns + $1] : error[$1 * columns + $0]
    }
    // Short singular vectors in the columns, and the long ones times S.
    let vectors = e.times(e, threads).leadingVectors(rank, threads)
    let images = e.transposed.times(vectors, threads)
    left = [Double](repeating: 0, count: rows * self.rank)
    right = [Double](repeating: 0, count: self.rank * columns)
    for k in 0..<self.rank {
      let norm = (0..<long).reduce(0) { $0 + images[$1, k] * images[$1, k] }.squareRoot()
      // U S and V, whichever of the two is long.
      let u = (0..<rows).map { isTall ? images[$0, k] : vectors[$0, k] * norm }
      let v = (0..<columns).map { column in
        isTall ? vectors[column, k] : norm > 0 ? images[column, k] / norm : 0
      }
      let largest = v.indices.max { (v[$0].magnitude, -$0) < (v[$1].magnitude, -$1) }
      let sign: Double = largest.map { v[$0] < 0 ? -1 : 1 } ?? 1
      for row in 0..<rows { left[row * self.rank + k] = sign * u[row] }
      for column in 0..<columns { right[k * columns + column] = sign * v[column] }
    }
  }
}

/// A matrix of doubles as the kernels of GPTQ take it: rows padded with zeros.
private struct Panel {
  let (rows, columns): (Int, Int)
  private let stride: Int
  private var values: [Double]

  init(rows: Int, columns: Int, _ value: (Int, Int) -> Double = { _, _ in 0 }) {
    (self.rows, self.columns) = (rows, columns)
    stride = Int(gptq_stride(Int64(columns)))
    values = [Double](repeating: 0, count: rows * stride)
    for row in 0..<rows {
      for column in 0..<columns { values[row * stride + column] = value(row, column) }
    }
  }

  subscript(row: Int, column: Int) -> Double {
    get { values[row * stride + column] }
    set { values[row * stride + column] = newValue }
  }

  var transposed: Panel { Panel(rows: columns, columns: rows) { self[$1, $0] } }

  /// The product of this one's transpose with another.
  func times(_ other: Panel, _ threads: Int) -> Panel {
    var product = Panel(rows: columns, columns: other.columns)
    gptq_product(
      &product.values, values, other.values, Int64(rows), Int64(columns), Int64(other.columns),
      Int32(max(1, threads)))
    return product
  }

  /// Eigenvectors of the largest eigenvalues of a symmetric matrix, in columns, more than asked for where
  /// there are.
  func leadingVectors(_ rank: Int, _ threads: Int) -> Panel {
    let width = min(columns, rank + 12)
    var state: UInt64 = 0
    var basis = Panel(rows: rows, columns: width) { _, _ in
      // SplitMix64: any start serves that is orthogonal to no eigenvector.
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return Double((z ^ (z >> 31)) >> 11) / 0x1p52 - 1
    }
    basis.orthonormalise()
    var last = -1.0
    for _ in 0..<1000 {
      let image = times(basis, threads)
      let ritz = basis.times(image, threads)
      var small = SymmetricMatrix(width)
      for i in 0..<width {
        for j in 0..<width { small.values[i * width + j] = (ritz[i, j] + ritz[j, i]) / 2 }
      }
      let vectors = small.diagonalise()
      let values = (0..<width).map { small.values[$0 * width + $0] }
      let order = (0..<width).sorted { (-values[$0], $0) < (-values[$1], $1) }
      let turn = Panel(rows: width, columns: width) { vectors[order[$1] * width + $0] }
      let sum = order.prefix(rank).reduce(0) { $0 + values[$1] }
      let isSettled = abs(sum - last) <= 1e-15 * abs(sum)
      last = sum
      basis = (isSettled ? basis : image).transposed.times(turn, threads)
      if isSettled { break }
      basis.orthonormalise()
    }
    return basis
  }

  /// Columns of length 1 that are orthogonal to those before them (Gram and Schmidt, twice); a column that
  /// depends on them becomes zero.
  private mutating func orthonormalise() {
    for column in 0..<columns {
      let before = norm(column)
      for _ in 0..<2 {
        for other in 0..<column {
          let along = (0..<rows).reduce(0) { $0 + self[$1, column] * self[$1, other] }
          for row in 0..<rows { self[row, column] -= along * self[row, other] }
        }
      }
      let length = norm(column)
      let factor = length > 1e-13 * before ? 1 / length : 0
      for row in 0..<rows { self[row, column] *= factor }
    }
  }

  private func norm(_ column: Int) -> Double {
    (0..<rows).reduce(0) { $0 + self[$1, column] * self[$1, column] }.squareRoot()
  }
}
