// SPDX-License-Identifier: Apache-2.0
// Ops over the last axis in the reference interpreter: normalisation, softmax and cross-entropy.

import Glibc

extension Reference {
  // MARK: Normalisation

  /// y = r x, r = 1 / sqrt(mean(x²) + epsilon).
  static func rmsNorm(_ x: Tensor, epsilon: Double) throws -> Tensor {
    var y: [Double] = []
    for row in try rows(of: x) {
      let inverse = inverseRms(row, epsilon)
      y += row.map { inverse * $0 }
    }
    return Tensor(x.sizes, y)
  }

  /// dx = r dy - x r³ mean(dy x).
  static func rmsNormBackward(_ dy: Tensor, _ x: Tensor, epsilon: Double) throws -> Tensor {
    var dx: [Double] = []
    for (slopes, row) in zip(try rows(of: dy), try rows(of: x)) {
      let inverse = inverseRms(row, epsilon)
      let mean = zip(slopes, row).reduce(0) { $0 + $1.0 * $1.1 } / Double(row.count)
      dx += zip(slopes, row).map { dy, x in inverse * dy - x * inverse * inverse * inverse * mean }
    }
    return Tensor(x.sizes, dx)
  }

  private static func inverseRms(_ row: ArraySlice<Double>, _ epsilon: Double) -> Double {
    1 / sqrt(row.reduce(0) { $0 + $1 * $1 } / Double(row.count) + epsilon)
  }

  // MARK: Loss

  /// y = exp(z) / Σ exp(z).
  static func softmax(_ z: Tensor) throws -> Tensor {
    var y: [Double] = []
    for row in try rows(of: z) {
      let total = logSumExp(row)
      y += row.map { exp($0 - total) }
    }
    return Tensor(z.sizes, y)
  }

  /// nll = lse - l[target], lse = log Σ exp(l), with the capped logits l.
  static func crossEntropy(_ z: Tensor, _ targets: Tensor, cap: Double) throws -> [Tensor] {
    let targetIds = try targets.ids(below: z.width)
    var nll: [Double] = []
    var lse: [Double] = []
    for (row, target) in zip(try rows(of: z), targetIds) {
      let logits = row.map { capped($0, cap) }
      let total = logSumExp(logits[...])
      lse.append(total)
      nll.append(total - logits[target])
    }
    return [Tensor(targets.sizes, nll), Tensor(targets.sizes, lse)]
  }

  /// dz = (exp(l - lse) (dnll + dlse) - onehot(target) dnll) (1 - (l/cap)²).
  static func crossEntropyBackward(
    _ z: Tensor, targets: Tensor, lse: Tensor, dnll: Tensor, dlse: Tensor?, cap: Double
  ) throws -> Tensor {
    try lse.check(targets.sizes, "lse")
    try dnll.check(targets.sizes, "dnll")
    try dlse?.check(targets.sizes, "dlse")
    let (totals, slopes, slopesOfTotals) = (try lse.reals, try dnll.reals, try dlse?.reals)
    let targetIds = try targets.ids(below: z.width)
    var dz: [Double] = []
    for (index, row) in try rows(of: z).enumerated() {
      for (column, value) in row.enumerated() {
        let logit = capped(value, cap)
        let slopeOfCap = cap == 0 ? 1 : 1 - logit / cap * (logit / cap)
        let isTarget = column == targetIds[index] ? 1.0 : 0.0
        let slope = slopes[index] + (slopesOfTotals?[index] ?? 0)
        dz.append((exp(logit - totals[index]) * slope - isTarget * slopes[index]) * slopeOfCap)
      }
    }
    return Tensor(z.sizes, dz)
  }

  private static func capped(_ z: Double, _ cap: Double) -> Double {
    cap == 0 ? z : cap * tanh(z / cap)
  }

  /// log Σ exp(z), shifted by the largest so that nothing overflows.
  static func logSumExp(_ z: ArraySlice<Double>) -> Double {
    guard let largest = z.max(), largest.isFinite else { return z.max() ?? -.infinity }
    return largest + log(z.reduce(0) { $0 + exp($1 - largest) })
  }

  /// The rows of a tensor: runs of the last axis.
  static func rows(of x: Tensor) throws -> [ArraySlice<Double>] {
    let (reals, width) = (try x.reals, x.width)
    return (0..<x.rows).map { reals[($0 * width)..<(($0 + 1) * width)] }
  }
}
