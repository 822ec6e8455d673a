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
