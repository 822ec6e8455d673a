// SPDX-License-Identifier: Apache-2.0
// GPTQ as its paper writes it, in Float64: inverse and both factors made one after the other.

import Glibc
import IR

/// GPTQ with activation order (Frantar et al., 2022), for matrices of a few hundred columns.
///
/// H [k, k] is symmetric. Dead columns, which have H_ii = 0, get H_ii = 1 and no weight; then `damping`
/// times the mean of the diagonal is added to the diagonal, and columns are sorted by it.
public struct ReferenceGPTQ: Sendable {
  public typealias Matrix = [[Double]]

  public let order: [Int]
  /// Upper triangular, with inverse(H) = UᵀU in that order; nil where H is not positive definite.
  public let factor: Matrix?
  private let isDead: [Bool]

  public init(hessian: Matrix, damping: Double = 0.01) {
    var h = hessian
    let isDead = h.indices.map { hessian[$0][$0] == 0 }
    self.isDead = isDead
    for i in h.indices where isDead[i] { h[i][i] = 1 }
    let added = damping * h.indices.reduce(0) { $0 + h[$1][$1] } / Double(max(h.count, 1))
    for i in h.indices { h[i][i] += added }
    let order = h.indices.sorted { (-h[$0][$0], $0) < (-h[$1][$1], $1) }
    self.order = order
    factor = Self.lowerFactor(order.map { i in order.map { h[i][$0] } }).flatMap { lower in
      let inverse = Self.inverse(lower)
      // inverse(H) = inverse(L)ᵀ inverse(L), and its own lower factor is Uᵀ.
      return Self.lowerFactor(Self.gram(inverse)).map(Self.transposed)
    }
  }

  /// Σ x xᵀ of rows x.
  public static func gram(_ rows: Matrix) -> Matrix {
    let k = rows.first?.count ?? 0
    return (0..<k).map { i in (0..<k).map { j in rows.reduce(0) { $0 + $1[i] * $1[j] } } }
  }

  /// The codes of rows, with the grid of each column: its quantiser and a scale a row.
  public func codes(
    _ weights: Matrix, grid: (_ column: Int) -> (ReferenceQuantizer, [ReferenceQuantizer.Scale])
  ) -> [[Int]] {
    guard let factor else { return [] }
    var codes = weights.map { $0.map { _ in 0 } }
    for row in weights.indices {
      var w = order.map { isDead[$0] ? 0 : weights[row][$0] }
      for (place, column) in order.enumerated() {
        let (rule, scales) = grid(column)
        let (scale, isUnrounded) = (scales[row], rule.quantizer.codesFromUnrounded)
        let clipped = isUnrounded ? min(max(w[place], -scale.clip), scale.clip) : w[place]
        let code = rule.code(clipped, step: isUnrounded ? scale.unrounded : scale.stored)
        codes[row][column] = code
        let error = (w[place] - Double(code) * scale.stored) / factor[place][place]
        for later in w.indices.dropFirst(place + 1) { w[later] -= error * factor[place][later] }
      }
    }
    return codes
  }

  /// The codes of rows by one quantiser, whose scales are those of the weights as they are.
  public func codes(_ weights: Matrix, _ quantizer: Quantizer) -> [[Int]] {
    let rule = ReferenceQuantizer(quantizer)
    let scales = weights.map { rule.scale(of: $0) }
    return codes(weights) { _ in (rule, scales) }
  }

  // MARK: Factors

  private static func transposed(_ a: Matrix) -> Matrix {
    a.indices.map { j in a.map { $0[j] } }
  }

  /// L, lower triangular with a = L Lᵀ.
  private static func lowerFactor(_ a: Matrix) -> Matrix? {
    var l = a.map { $0.map { _ in 0.0 } }
    for i in a.indices {
      for j in 0...i {
        let rest = a[i][j] - (0..<j).reduce(0) { $0 + l[i][$1] * l[j][$1] }
        if i == j {
          guard rest > 0, rest.isFinite else { return nil }
          l[i][i] = sqrt(rest)
        } else {
          l[i][j] = rest / l[j][j]
        }
      }
    }
    return l
  }

  /// The inverse of a lower triangular matrix.
  private static func inverse(_ l: Matrix) -> Matrix {
    var z = l.map { $0.map { _ in 0.0 } }
    for i in l.indices {
      for j in 0...i {
        let known = (j..<i).reduce(0) { $0 + l[i][$1] * z[$1][j] }
        z[i][j] = ((i == j ? 1 : 0) - known) / l[i][i]
      }
    }
    return z
  }
}
