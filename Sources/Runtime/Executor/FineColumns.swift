// SPDX-License-Identifier: Apache-2.0
// A few columns of a matrix on a finer grid: those whose inputs and weights are the largest.

import IR

/// Columns that keep more bits than the rest of their matrix (AWQ-lite, pull request #1908 of Parameter
/// Golf; after Lin et al., 2023).
public struct FineColumns: Hashable, Sendable {
  public let columns: Range<Int>
  /// Σ over the columns of rms_j times the mean of |W_ij| over rows.
  public let score: Double

  init(columns: Range<Int>) { (self.columns, score) = (columns, 0) }

  /// The group of `width` adjacent columns with the highest score, of equal ones the first; groups begin
  /// at multiples of the width, and a narrower rest takes no part. Nil where there is no whole group.
  ///
  /// Weights are [rows, columns]; `rms` has the root mean square of each column's inputs.
  public init?(
    of weights: UnsafeBufferPointer<Float>, rows: Int, rms: [Double], width: Int = 64
  ) {
    precondition(weights.count == rows * rms.count, "weights are [rows, columns]")
    var best: (columns: Range<Int>, score: Double)?
    for start in stride(from: 0, through: rms.count - width, by: width) {
      var score = 0.0
      for column in start..<start + width {
        let sum = (0..<rows).reduce(0) { $0 + Double(weights[$1 * rms.count + column].magnitude) }
        score += rms[column] * sum / Double(max(rows, 1))
      }
      if score > best?.score ?? -.infinity { best = (start..<start + width, score) }
    }
    guard let best else { return nil }
    (columns, score) = (best.columns, best.score)
  }

  /// The root mean squares of inputs whose second moment has the diagonal: Σ x² over `count` inputs, or
  /// that over a number, with the count over the same number.
  public static func rms(diagonal: [Double], count: Double) -> [Double] {
    diagonal.map { ($0 / count).squareRoot() }
  }
}

/// A matrix in codes of which some columns have a grid of their own.
public struct MixedCodes: Hashable, Sendable {
  /// All codes, and the scales of the columns that are not fine.
  public let codes: RowCodes
  public let fine: FineColumns
  public let fineScales: RowScales

  /// The codes of weights [rows, columns] by one quantiser, those of the fine columns by another: scales
  /// of both are of whole rows. Solved ones come from one sweep, which passes errors on from each to the other.
  init(
    _ weights: UnsafeBufferPointer<Float>, rows: Int, _ coarse: (Quantizer, RowScales),
    _ finer: (Quantizer, RowScales), _ fine: FineColumns, _ solver: CodeSolver?
  ) {
    (self.fine, fineScales) = (fine, finer.1)
    let columns = weights.count / max(rows, 1)
    if coarse.0.isSolved, let gptq = solver?.gptq {
      let codes = gptq.codes(
        weights, rows: rows, [GPTQ.Grid(coarse.0, coarse.1), GPTQ.Grid(finer.0, finer.1)],
        of: (0..<columns).map { fine.columns.contains($0) ? 1 : 0 }, threads: solver?.threads ?? 1)
      self.codes = RowCodes(codes: codes, scales: coarse.1)
      return
    }
    var codes = RowCodes(rounding: weights, coarse.1, coarse.0)
    let others = RowCodes(rounding: weights, finer.1, finer.0)
    for row in 0..<rows {
      for place in fine.columns.map({ row * columns + $0 }) {
        codes.codes[place] = others.codes[place]
      }
    }
    self.codes = codes
  }

  /// As an artifact stores them.
  var streams: [StoredElements] { codes.streams + [.halves(fineScales.halves)] }

  /// What the codes stand for, [rows, columns].
  public var values: [Float] {
    var values = codes.values
    let columns = values.count / max(fineScales.stored.count, 1)
    for (row, scale) in fineScales.stored.enumerated() {
      for place in fine.columns.map({ row * columns + $0 }) {
        values[place] = Float(codes.codes[place]) * scale
      }
    }
    return values
  }
}

extension GPTQ {
  /// The codes of weights [rows, columns] by one quantiser, those of the fine columns by another.
  public func quantise(
    _ weights: UnsafeBufferPointer<Float>, rows: Int, _ quantizer: Quantizer, fine: FineColumns,
    _ finer: Quantizer, threads: Int
  ) -> MixedCodes {
    var quantizer = quantizer
    quantizer.isSolved = true
    return MixedCodes(
      weights, rows: rows, (quantizer, quantizer.scales(of: weights, rows: rows)),
      (finer, finer.scales(of: weights, rows: rows)), fine,
      CodeSolver(gptq: self, diagonal: [], threads: threads))
  }
}
