// SPDX-License-Identifier: Apache-2.0
// Eigenvalues and eigenvectors of small symmetric matrices.

/// A symmetric matrix [size, size].
package struct SymmetricMatrix {
  package let size: Int
  package var values: [Double]

  package init(_ size: Int) {
    self.size = size
    values = [Double](repeating: 0, count: size * size)
  }

  /// Rotates until it is diagonal; returns the eigenvectors, a row each (Golub and Van Loan, Matrix
  /// Computations, 8.5).
  package mutating func diagonalise() -> [Double] {
    let n = size
    var vectors = [Double](repeating: 0, count: n * n)
    for i in 0..<n { vectors[i * n + i] = 1 }
    let trace = (0..<n).reduce(0) { $0 + values[$1 * n + $1] }
    values.withUnsafeMutableBufferPointer { g in
      vectors.withUnsafeMutableBufferPointer { v in
        for _ in 0..<30 {
          var isDiagonal = true
          for p in 0..<n {
            for q in (p + 1)..<max(n, p + 1) where abs(g[p * n + q]) > 1e-14 * trace / Double(n) {
              isDiagonal = false
              let theta = (g[q * n + q] - g[p * n + p]) / (2 * g[p * n + q])
              let t = (theta < 0 ? -1 : 1) / (abs(theta) + (theta * theta + 1).squareRoot())
              let c = 1 / (t * t + 1).squareRoot()
              Self.turn(g, p * n, q * n, 1, n, c, t * c)
              Self.turn(g, p, q, n, n, c, t * c)
              Self.turn(v, p * n, q * n, 1, n, c, t * c)
            }
          }
          if isDiagonal { break }
        }
      }
    }
    return vectors
  }

  /// (x, y) to (c x - s y, s x + c y), elements `step` apart.
  private static func turn(
    _ m: UnsafeMutableBufferPointer<Double>, _ first: Int, _ second: Int, _ step: Int, _ n: Int,
    _ c: Double, _ s: Double
  ) {
    for i in 0..<n {
      let (x, y) = (m[first + i * step], m[second + i * step])
      m[first + i * step] = c * x - s * y
      m[second + i * step] = s * x + c * y
    }
  }
}
