// SPDX-License-Identifier: Apache-2.0
// Optimisers against their definitions, and the norm of the gradient.
import CKernels
import Testing

extension KernelTests {
  @Suite struct Optimizers {
    @Test(arguments: [1, 33, 40_001]) func adamwAndSGD(n: Int) {
      let w = noise(n, 1)
      let m = noise(n, 2)
      let v = noise(n, 3).map(abs)
      let g = Floats(noise(n, 4))
      let lr = Floats([0.05])
      let factor = Floats([0.7])
      let step = Floats([3])
      let (b1, b2, eps, decay) = (0.9, 0.95, 1e-8, 0.1)
      let rate = lr[0]
      let f = factor[0]
      forEachISA { isa in
        let aw = Floats(w)
        let am = Floats(m)
        let av = Floats(v)
        let sw = Floats(w)
        let sm = Floats(m)
        run(
          .adamw(
            [aw.raw, am.raw, av.raw, g.raw, lr.raw, factor.raw, step.raw], n: n, beta1: b1,
            beta2: b2, epsilon: eps, decay: decay))
        run(
          .sgd([sw.raw, sm.raw, g.raw, lr.raw, factor.raw], n: n, momentum: 0.9, decay: decay))
        var want = [[Double]](repeating: [], count: 5)
        for i in 0..<n {
          let slope = g[i] * f
          let m1 = b1 * Double(m[i]) + (1 - b1) * slope
          let v1 = b2 * Double(v[i]) + (1 - b2) * slope * slope
          let mh = m1 / (1 - b1 * b1 * b1)
          let vh = v1 / (1 - b2 * b2 * b2)
          want[0].append((1 - rate * decay) * Double(w[i]) - rate * mh / (vh.squareRoot() + eps))
          want[1].append(m1)
          want[2].append(v1)
          let s1 = 0.9 * Double(m[i]) + slope
          want[3].append((1 - rate * decay) * Double(w[i]) - rate * s1)
          want[4].append(s1)
        }
        for (got, want) in zip([aw, am, av, sw, sm], want) {
          expectClose(got.values, want, 1e-6, "\(isa) n \(n)")
        }
      }
    }

    @Test func normAndClipping() {
      let a = Floats(noise(10_007, 1))
      let b = Floats(noise(10_007, 2))
      let exact = (0..<a.count).reduce(0.0) { $0 + a[$1] * b[$1] }
      forEachISA { isa in
        let dot = Floats(1)
        let factor = Floats(1)
        let norm = Floats(1)
        let parts = Floats([9, 16])
        run(.dot([dot.raw, a.raw, b.raw], n: a.count))
        #expect(abs(dot[0] - exact) < 1e-6 * abs(exact) + 1e-9, "\(isa)")
        for (limit, want) in [(0.0, 1.0), (2.5, 0.5), (100.0, 1.0)] {
          run(.clipFactor([factor.raw, norm.raw, parts.raw], n: 2, limit: limit))
          #expect(norm[0] == 5 && abs(factor[0] - want) < 1e-6, "\(isa)")
        }
      }
    }

    struct Matrix {
      var rows, cols: Int
      var v: [Double]
      subscript(i: Int, j: Int) -> Double { v[i * cols + j] }
      var turned: Matrix {
        Matrix(rows: cols, cols: rows, v: (0..<v.count).map { v[$0 % rows * cols + $0 / rows] })
      }
      static func * (a: Matrix, b: Matrix) -> Matrix {
        var out = Matrix(rows: a.rows, cols: b.cols, v: .init(repeating: 0, count: a.rows * b.cols))
        for i in 0..<a.rows {
          for k in 0..<a.cols {
            let x = a[i, k]
            for j in 0..<b.cols { out.v[i * b.cols + j] += x * b[k, j] }
          }
        }
        return out
      }
    }

    // Five steps multiply rounding errors by the first coefficient each: 3e-5 of an update whose
    // entries are about 1/sqrt(cols).
    @Test(arguments: [(1, 1), (7, 33), (33, 7), (64, 64), (65, 130), (130, 97)], [false, true])
    func muonOrthogonalises(shape: (Int, Int), normalise: Bool) {
      let (rows, cols) = shape
      let n = rows * cols
      let steps = 5
      let w = noise(n, 1)
      let m = noise(n, 2, scale: 0.1)
      let g = Floats(noise(n, 3))
      let lr = Floats([0.5])
      let factor = Floats([0.5])
      let mu = Floats([0.9])
      let decay = 0.1
      let coefficients = Floats((0..<steps).flatMap { _ in [Float(3.4445), -4.775, 2.0315] })
      let (a, b, c) = (coefficients[0], coefficients[1], coefficients[2])
      var x = Matrix(rows: rows, cols: cols, v: [])
      var moments: [Double] = []
      for i in 0..<n {
        let moment = mu[0] * Double(m[i]) + factor[0] * g[i]
        moments.append(moment)
        x.v.append(factor[0] * g[i] + mu[0] * moment)
      }
      if normalise {
        for r in 0..<rows {
          let norm = (0..<cols).reduce(0.0) { $0 + x[r, $1] * x[r, $1] }.squareRoot()
          for c in 0..<cols { x.v[r * cols + c] /= max(norm, 1e-7) }
        }
      }
      let norm = x.v.reduce(0) { $0 + $1 * $1 }.squareRoot() + 1e-7
      x.v = x.v.map { $0 / norm }
      if rows > cols { x = x.turned }
      for _ in 0..<steps {
        let gram = x * x.turned
        let square = gram * gram
        var mixed = gram
        for i in mixed.v.indices { mixed.v[i] = b * gram.v[i] + c * square.v[i] }
        let next = mixed * x
        for i in x.v.indices { x.v[i] = a * x.v[i] + next.v[i] }
      }
      if rows > cols { x = x.turned }
      let size = max(1, Double(rows) / Double(cols)).squareRoot()
      let want = (0..<n).map { (1 - 0.5 * decay) * Double(w[$0]) - 0.5 * size * x.v[$0] }
      forEachRoute { route in
        let gw = Floats(w)
        let gm = Floats(m)
        run(
          .muon(
            [gw.raw, gm.raw, g.raw, lr.raw, factor.raw, mu.raw, coefficients.raw], rows: rows,
            cols: cols, steps: steps, normalise: normalise, decay: decay))
        expectClose(gm.values, moments, 1e-6, "\(route) \(shape)")
        expectClose(gw.values, want, 3e-5, "\(route) \(shape)")
      }
    }
  }
}
