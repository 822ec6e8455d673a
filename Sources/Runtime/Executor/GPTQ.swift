// SPDX-License-Identifier: Apache-2.0
// Codes that make up for each other's errors where the inputs of a matrix say that it matters.

import CKernels
import IR

/// GPTQ (Frantar et al., 2022, algorithm 1, with activation order) for the matrices that read one input.
///
/// With the second moment H [k, k] = Σ x xᵀ of the inputs, up to a factor, rows w of a matrix [n, k] get
/// codes that keep (w - ŵ) H (w - ŵ)ᵀ small: columns are taken by H's diagonal, largest first, and what
/// a column is rounded by, the columns behind it take over. A column that H knows nothing of (H_ii = 0)
/// counts as zeros; 1 stands in its place of the diagonal, and `damping` times the mean of the diagonal
/// is added to all of it.
///
///     let gptq = try GPTQ(hessian: moments, columns: 512, threads: 2)
///     let codes = gptq.quantise(weights, rows: 512, quantizer, threads: 2)
///
/// The factor is made once, for c_q, c_k and c_v alike. All numbers are doubles in one fixed order, so
/// codes depend neither on the instruction set nor on threads. Memory: 2 k² doubles while the factor is
/// made, k² afterwards, 72 k more for each thread that quantises.
public struct GPTQ: Sendable {
  public let columns: Int
  /// Columns as they are quantised.
  public let order: [Int32]
  /// U [columns, stride], upper triangular, with inverse(H) = UᵀU in that order.
  let factor: [Double]
  let dead: [UInt8]

  /// Of a symmetric H [columns, columns] by rows, of which the diagonal and what is above it are read.
  ///
  /// Throws where H is not finite or, in spite of the damping, not positive definite.
  public init(
    hessian: [Double], columns: Int, damping: Double = 0.01, threads: Int
  ) throws(NumericFailure) {
    precondition(hessian.count == columns * columns, "a second moment is square")
    var diagonal = (0..<columns).map { hessian[$0 * columns + $0] }
    dead = diagonal.map { $0 == 0 ? 1 : 0 }
    for column in 0..<columns where diagonal[column] == 0 { diagonal[column] = 1 }
    let added = damping * diagonal.reduce(0, +) / Double(max(columns, 1))
    for column in 0..<columns { diagonal[column] += added }
    guard diagonal.allSatisfy(\.isFinite) else {
      throw NumericFailure("GPTQ: the second moment of the inputs is not finite")
    }
    let order = (0..<columns).sorted { (-diagonal[$0], $0) < (-diagonal[$1], $1) }.map(Int32.init)
    let room = columns * Int(gptq_stride(Int64(columns)))
    var factor = [Double](repeating: 0, count: room)
    var work = factor
    guard
      gptq_factor(&factor, &work, hessian, diagonal, order, Int64(columns), Int32(threads)) != 0
    else {
      throw NumericFailure(
        "GPTQ: the second moment of the inputs is not positive definite with \(shortest(damping)) "
          + "of its mean added; a larger damping may help")
    }
    (self.columns, self.order, self.factor) = (columns, order, factor)
  }

  /// The same of moments in f32.
  public init(
    hessian: [Float], columns: Int, damping: Double = 0.01, threads: Int
  ) throws(NumericFailure) {
    try self.init(
      hessian: hessian.map(Double.init), columns: columns, damping: damping, threads: threads)
  }

  /// The codes of weights [rows, columns], which must be finite.
  ///
  /// Scales are those of the quantiser's clip, of the weights as they are, unless others are given.
  public func quantise(
    _ weights: UnsafeBufferPointer<Float>, rows: Int, _ quantizer: Quantizer,
    scales: RowScales? = nil, threads: Int
  ) -> RowCodes {
    let scales = scales ?? quantizer.scales(of: weights, rows: rows)
    let grids = grids(quantizer, scales, rows: rows)
    let width = columns / grids.count
    return RowCodes(
      codes: codes(
        weights, rows: rows, grids, of: (0..<columns).map { Int32($0 / width) }, threads: threads),
      scales: scales)
  }

  /// The codes of a quantiser for some columns: scale, step and limit of each row.
  struct Grid {
    let quantizer: Quantizer
    let lines: [Float]

    init(_ quantizer: Quantizer, _ scales: RowScales) {
      self.quantizer = quantizer
      let stored = scales.stored
      lines =
        quantizer.codesFromUnrounded
        ? stored + scales.unrounded + scales.clips
        : stored + stored + [Float](repeating: .infinity, count: stored.count)
    }
  }

  /// The grid of a quantiser, or those of its groups of columns.
  private func grids(_ quantizer: Quantizer, _ scales: RowScales, rows: Int) -> [Grid] {
    let count = scales.stored.count / max(rows, 1)
    return (0..<count).map { group in
      var part = RowScales(rows: rows)
      for row in 0..<rows {
        part.stored[row] = scales.stored[row * count + group]
        part.unrounded[row] = scales.unrounded[row * count + group]
        part.clips[row] = scales.clips[row * count + group]
      }
      return Grid(quantizer, part)
    }
  }

  /// The codes by several grids; `place` says which one a column has.
  func codes(
    _ weights: UnsafeBufferPointer<Float>, rows: Int, _ grids: [Grid], of place: [Int32],
    threads: Int
  ) -> [Int8] {
    precondition(weights.count == rows * columns, "weights are [rows, columns]")
    var codes = [Int8](repeating: 0, count: weights.count)
    let threads = max(1, threads)
    var room = [Double](repeating: 0, count: threads * Int(gptq_room(Int64(columns))))
    let lines = grids.flatMap(\.lines)
    lines.withUnsafeBufferPointer { lines in
      let all = grids.enumerated().map { index, grid in
        gptq_grid(
          lines: lines.baseAddress.map { $0 + index * 3 * rows },
          qmin: Int32(grid.quantizer.qmin), qmax: Int32(grid.quantizer.qmax))
      }
      gptq_codes(
        &codes, weights.baseAddress, Int64(rows), Int64(columns), factor, order, dead, place, all,
        &room, Int32(threads))
    }
    return codes
  }
}

extension GPTQ {
  /// What these codes leave of the error of nearest ones, Σ 1 / U_jj² to Σ H_jj, if rounding is like noise:
  /// each column then carries the variance that the columns behind it cannot take over.
  func gain(over hessian: [Float]) -> Double {
    let stride = factor.count / max(columns, 1)
    var (left, all) = (0.0, 0.0)
    for column in 0..<columns {
      let unit = factor[column * stride + column]
      left += 1 / (unit * unit)
      all += Double(hessian[column * columns + column])
    }
    return all > 0 ? min(1, left / all) : 1
  }
}
