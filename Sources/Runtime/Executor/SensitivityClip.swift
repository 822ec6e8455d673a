// SPDX-License-Identifier: Apache-2.0
// Clips that are wider for rows which act on larger inputs.

/// The factors of SDClip's k by what a row means to its outputs (pull request #1412 of Parameter Golf):
/// k_i = k (1 + λ (r_i - 1)).
///
/// r_i is the row's importance, the mean over columns of |W_ij| H_jj / mean(diag H), over the mean of all
/// rows. W is [rows, columns], `diagonal` that of H before damping, in any unit. λ is .175 there; 0 gives
/// 1 for every row, as do weights or moments that are all zero. Factors of `Quantizer.scales`.
public func sensitivityFactors(
  of weights: UnsafeBufferPointer<Float>, rows: Int, diagonal: [Double], lambda: Double = 0.175
) -> [Double] {
  let columns = diagonal.count
  precondition(weights.count == rows * columns, "weights are [rows, columns]")
  // Means over columns, and of the diagonal, are the same factor in every row.
  let importances = (0..<rows).map { row in
    (0..<columns).reduce(0) {
      $0 + Double(weights[row * columns + $1].magnitude) * diagonal[$1]
    }
  }
  let mean = importances.reduce(0, +) / Double(max(rows, 1))
  guard mean > 0 else { return importances.map { _ in 1 } }
  return importances.map { 1 + lambda * ($0 / mean - 1) }
}
