// SPDX-License-Identifier: Apache-2.0
// Updates of weights in the reference interpreter. Schedules are not here: `lr`, `momentum` and the
// step number are operands.

import Glibc
import IR

extension Reference {
  /// factor = min(1, limit / (norm + 1e-6)) with the norm over all gradients; limit 0: 1.
  static func clipFactor(_ gradients: [Tensor], limit: Double) throws -> [Tensor] {
    var sum = 0.0
    for gradient in gradients { for value in try gradient.reals { sum += value * value } }
    let norm = sqrt(sum)
    let factor = limit == 0 ? 1 : min(1, limit / (norm + 1e-6))
    return [.scalar(factor), .scalar(norm)]
  }

  /// Operands w, g, m, v, lr, factor, step (from 1); results w, m, v.
  static func adamwUpdate(_ x: [Tensor], _ node: Node) throws -> [Tensor] {
    let (beta1, beta2) = (node.double(.beta1), node.double(.beta2))
    let (epsilon, decay) = (node.double(.epsilon), node.double(.decay))
    let (lr, factor, step) = (try x[4].scalar, try x[5].scalar, try x[6].scalar)
    var (w, m, v) = (try x[0].reals, try x[2].reals, try x[3].reals)
    let correction1 = 1 - pow(beta1, step)
    let correction2 = 1 - pow(beta2, step)
    for (index, gradient) in try x[1].reals.enumerated() {
      let g = factor * gradient
      m[index] = beta1 * m[index] + (1 - beta1) * g
      v[index] = beta2 * v[index] + (1 - beta2) * g * g
      let direction = m[index] / correction1 / (sqrt(v[index] / correction2) + epsilon)
      w[index] = (1 - lr * decay) * w[index] - lr * direction
    }
    return [Tensor(x[0].sizes, w), Tensor(x[0].sizes, m), Tensor(x[0].sizes, v)]
  }

  /// Operands w, g, m, lr, factor; results w, m.
  static func sgdUpdate(_ x: [Tensor], _ node: Node) throws -> [Tensor] {
    let (momentum, decay) = (node.double(.momentum), node.double(.decay))
    let (lr, factor) = (try x[3].scalar, try x[4].scalar)
    var (w, m) = (try x[0].reals, try x[2].reals)
    for (index, gradient) in try x[1].reals.enumerated() {
      m[index] = momentum * m[index] + factor * gradient
      let step = node.bool(.nesterov) ? factor * gradient + momentum * m[index] : m[index]
      w[index] = (1 - lr * decay) * w[index] - lr * step
    }
    return [Tensor(x[0].sizes, w), Tensor(x[0].sizes, m)]
  }

  /// Operands w, g, m, lr, factor, momentum, taper; results w, m.
  static func muonUpdate(_ x: [Tensor], _ node: Node) throws -> [Tensor] {
    guard x[0].sizes.count == 2 else {
      throw InterpreterError("w must be a matrix, found \(x[0].sizes)")
    }
    let (rows, columns) = (x[0].sizes[0], x[0].sizes[1])
    let (lr, factor, momentum) = (try x[3].scalar, try x[4].scalar, try x[5].scalar)
    let g = try x[1].reals.map { factor * $0 }
    let m = zip(try x[2].reals, g).map { momentum * $0 + $1 }
    var update = Matrix(rows, columns, zip(g, m).map { $0 + momentum * $1 })
    if node.bool(.rowNormalise) { update.normaliseRows() }
    let direction = try update.orthogonalised(
      NewtonSchulz.coefficients(node.word(.iteration), steps: node.int(.steps)))
    let decay = try node.double(.decay) * x[6].scalar

    let stretch = sqrt(max(1, Double(rows) / Double(columns)))
    let w = zip(try x[0].reals, direction.values).map { w, direction in
      (1 - lr * decay) * w - lr * stretch * direction
    }
    return [Tensor(x[0].sizes, w), Tensor(x[0].sizes, m)]
  }

  /// A matrix in the middle of a Muon update.
  private struct Matrix {
    let rows, columns: Int
    var values: [Double]

    init(_ rows: Int, _ columns: Int, _ values: [Double]) {
      (self.rows, self.columns, self.values) = (rows, columns, values)
    }

    var transposed: Matrix {
      Matrix(columns, rows, (0..<(rows * columns)).map { values[$0 % rows * columns + $0 / rows] })
    }

    /// Divides each row by its norm, at least 1e-7.
    mutating func normaliseRows() {
      for row in 0..<rows {
        let range = (row * columns)..<((row + 1) * columns)
        let norm = sqrt(values[range].reduce(0) { $0 + $1 * $1 })
        for index in range { values[index] /= max(norm, 1e-7) }
      }
    }

    /// Newton-Schulz: X = aX + (bA + cA²)X with A = X Xᵀ, on the side where A is smaller.
    func orthogonalised(_ coefficients: [[Double]]) throws -> Matrix {
      if rows > columns { return try transposed.orthogonalised(coefficients).transposed }
      let norm = sqrt(values.reduce(0) { $0 + $1 * $1 })
      var x = Matrix(rows, columns, values.map { $0 / (norm + 1e-7) })
      for step in coefficients {
        let gram = try x.times(x.transposed)
        let square = try gram.times(gram)
        let mixture = zip(gram.values, square.values).map { step[1] * $0 + step[2] * $1 }
        let turned = try Matrix(rows, rows, mixture).times(x)
        x.values = zip(x.values, turned.values).map { step[0] * $0 + $1 }
      }
      return x
    }

    private var tensor: Tensor { Tensor([rows, columns], values) }

    func times(_ other: Matrix) throws -> Matrix {
      let product = try Reference.linearBackwardInput(tensor, other.tensor)
      return Matrix(rows, other.columns, try product.reals)
    }
  }
}
