// SPDX-License-Identifier: Apache-2.0
// Matrix products and table look-ups of the reference interpreter. Weights are [out, in].

extension Reference {
  /// y[r, o] = Σ_i x[r, i] w[o, i].
  static func linear(_ x: Tensor, _ w: Tensor) throws -> Tensor {
    let (rows, inputs, outputs) = (x.rows, x.width, w.sizes[0])
    var y = [Double](repeating: 0, count: rows * outputs)
    try read(x, w) { x, w in
      y.withUnsafeMutableBufferPointer { y in
        for row in 0..<rows {
          for output in 0..<outputs {
            var sum = 0.0
            for input in 0..<inputs { sum += x[row * inputs + input] * w[output * inputs + input] }
            y[row * outputs + output] = sum
          }
        }
      }
    }
    return Tensor(x.sizes.dropLast() + [outputs], y)
  }

  /// dx[r, i] = Σ_o dy[r, o] w[o, i].
  static func linearBackwardInput(_ dy: Tensor, _ w: Tensor) throws -> Tensor {
    let (rows, outputs, inputs) = (dy.rows, w.sizes[0], w.sizes[1])
    try dy.check(dy.sizes.dropLast() + [outputs], "dy")
    var dx = [Double](repeating: 0, count: rows * inputs)
    try read(dy, w) { dy, w in
      dx.withUnsafeMutableBufferPointer { dx in
        for row in 0..<rows {
          for output in 0..<outputs {
            let slope = dy[row * outputs + output]
            for input in 0..<inputs {
              dx[row * inputs + input] += slope * w[output * inputs + input]
            }
          }
        }
      }
    }
    return Tensor(dy.sizes.dropLast() + [inputs], dx)
  }

  /// dw[o, i] = Σ_r dy[r, o] x[r, i].
  static func linearBackwardWeight(_ dy: Tensor, _ x: Tensor) throws -> Tensor {
    let (rows, outputs, inputs) = (dy.rows, dy.width, x.width)
    var dw = [Double](repeating: 0, count: outputs * inputs)
    try read(dy, x) { dy, x in
      dw.withUnsafeMutableBufferPointer { dw in
        for row in 0..<rows {
          for output in 0..<outputs {
            let slope = dy[row * outputs + output]
            for input in 0..<inputs {
              dw[output * inputs + input] += slope * x[row * inputs + input]
            }
          }
        }
      }
    }
    return Tensor([outputs, inputs], dw)
  }

  /// y[…, :] = table[ids[…], :].
  static func embed(_ table: Tensor, _ ids: Tensor) throws -> Tensor {
    let (entries, width) = (try table.reals, table.width)
    var y: [Double] = []
    for id in try ids.ids(below: table.sizes[0]) { y += entries[(id * width)..<((id + 1) * width)] }
    return Tensor(ids.sizes + [width], y)
  }

  /// dtable[v, :] = Σ of dy[…, :] where ids = v.
  static func embedBackward(_ dy: Tensor, _ ids: Tensor, vocab: Int) throws -> Tensor {
    let (slopes, width) = (try dy.reals, dy.width)
    try dy.check(ids.sizes + [width], "dy")
    var table = [Double](repeating: 0, count: vocab * width)
    for (row, id) in try ids.ids(below: vocab).enumerated() {
      for column in 0..<width { table[id * width + column] += slopes[row * width + column] }
    }
    return Tensor([vocab, width], table)
  }

  /// Calls `body` with the elements of two tensors.
  static func read<T>(
    _ a: Tensor, _ b: Tensor,
    _ body: (UnsafeBufferPointer<Double>, UnsafeBufferPointer<Double>) throws -> T
  ) throws -> T {
    let (first, second) = (try a.reals, try b.reals)
    return try first.withUnsafeBufferPointer { first in
      try second.withUnsafeBufferPointer { second in try body(first, second) }
    }
  }
}
