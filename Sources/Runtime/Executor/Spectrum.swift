// SPDX-License-Identifier: Apache-2.0
// A matrix with another spectrum: the same singular vectors, singular values that fall as a harmonic row.

/// Gives a matrix [rows, columns] singular values S_k = S_1 / sqrt(k), largest first.
///
/// The eigenvectors V of AᵀA and their eigenvalues by Jacobi's rotations, then A V diag(f) Vᵀ with
/// f_k = S_1 / (S_k sqrt(k)). In Double and in one order, so the bits repeat.
func giveHarmonicSpectrum(_ values: UnsafeMutableBufferPointer<Float>, rows: Int, columns: Int) {
  let a = values.map(Double.init)
  var gram = SymmetricMatrix(columns)
  for row in 0..<rows {
    for i in 0..<columns {
      let x = a[row * columns + i]
      for j in 0..<columns { gram.values[i * columns + j] += x * a[row * columns + j] }
    }
  }
  let vectors = gram.diagonalise()
  let eigenvalues = (0..<columns).map { max(gram.values[$0 * columns + $0], 0) }
  let order = (0..<columns).sorted { (-eigenvalues[$0], $0) < (-eigenvalues[$1], $1) }
  var factors = [Double](repeating: 0, count: columns)
  for (place, k) in order.enumerated() where eigenvalues[k] > 0 {
    factors[k] = (eigenvalues[order[0]] / eigenvalues[k] / Double(place + 1)).squareRoot()
  }
  for row in 0..<rows {
    var result = [Double](repeating: 0, count: columns)
    for k in 0..<columns {
      var along = 0.0
      for j in 0..<columns { along += a[row * columns + j] * vectors[k * columns + j] }
      along *= factors[k]
      for j in 0..<columns { result[j] += along * vectors[k * columns + j] }
    }
    for j in 0..<columns { values[row * columns + j] = Float(result[j]) }
  }
}

private struct SymmetricMatrix {
  let size: Int
  var values: [Double]

  init(_ size: Int) {
    self.size = size
    values = [Double](repeating: 0, count: size * size)
  }

  /// Rotates until it is diagonal; returns the eigenvectors, a row each (Golub and Van Loan, Matrix
  /// Computations, 8.5).
  mutating func diagonalise() -> [Double] {
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
