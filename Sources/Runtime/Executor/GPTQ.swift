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
    return RowCodes(
      codes: codes(weights, [(quantizer, scales)], second: nil, threads: threads), scales: scales)
  }

  /// The codes by one grid, or by two of which the second has the marked columns.
  func codes(
    _ weights: UnsafeBufferPointer<Float>, _ grids: [(Quantizer, RowScales)], second: [UInt8]?,
    threads: Int
  ) -> [Int8] {
    let rows = grids[0].1.stored.count
    precondition(weights.count == rows * columns, "weights are [rows, columns]")
    var codes = [Int8](repeating: 0, count: weights.count)
    let threads = max(1, threads)
    var room = [Double](repeating: 0, count: threads * Int(gptq_room(Int64(columns))))
    let (first, last) = (grids[0], grids[grids.count - 1])
    first.1.lines(of: first.0).withUnsafeBufferPointer { firstLines in
      last.1.lines(of: last.0).withUnsafeBufferPointer { lastLines in
        func grid(_ quantizer: Quantizer, _ lines: UnsafeBufferPointer<Float>) -> gptq_grid {
          gptq_grid(
            lines: lines.baseAddress, qmin: Int32(quantizer.qmin), qmax: Int32(quantizer.qmax))
        }
        gptq_codes(
          &codes, weights.baseAddress, Int64(rows), Int64(columns), factor, order, dead, second,
          grid(first.0, firstLines), grid(last.0, lastLines), &room, Int32(threads))
      }
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

extension RowScales {
  /// Scale, step and limit of each row, as the kernel takes them.
  fileprivate func lines(of quantizer: Quantizer) -> [Float] {
    quantizer.codesFromUnrounded
      ? stored + unrounded + clips
      : stored + stored + [Float](repeating: .infinity, count: stored.count)
  }
}
