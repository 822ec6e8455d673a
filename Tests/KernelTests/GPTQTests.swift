// SPDX-License-Identifier: Apache-2.0
// Factor, codes and products of GPTQ against plain loops, to the bit: on every ISA, with any threads.
import CKernels
import Testing

extension KernelTests {
  @Suite struct GPTQ {
    /// A second moment of a few more inputs than columns; column `dead` of them is zero.
    static func moment(_ k: Int, dead: Int?) -> [Double] {
      let x = noise((k + 5) * k, UInt64(k)).map(Double.init)
      var h = [Double](repeating: 0, count: k * k)
      for p in 0..<(k + 5) {
        for i in 0..<k where i != dead {
          for j in 0..<k where j != dead { h[i * k + j] += x[p * k + i] * x[p * k + j] }
        }
      }
      return h
    }

    /// The factor by the rows of the reversed matrix: vᵀv = g, z = inverse(vᵀ), and z turned around.
    static func factor(_ h: [Double], _ diagonal: [Double], _ order: [Int32]) -> [[Double]] {
      let k = order.count
      let from = order.reversed().map { Int($0) }
      var v = [[Double]](repeating: [Double](repeating: 0, count: k), count: k)
      for i in 0..<k {
        for j in i..<k {
          let (a, b) = (min(from[i], from[j]), max(from[i], from[j]))
          var rest = i == j ? diagonal[a] : h[a * k + b]
          for p in 0..<i { rest -= v[p][i] * v[p][j] }
          v[i][j] = i == j ? rest.squareRoot() : rest / v[i][i]
        }
      }
      var z = [[Double]](repeating: [Double](repeating: 0, count: k), count: k)
      for j in 0..<k {
        for i in j..<k {
          var rest = i == j ? 1.0 : 0
          for p in j..<i { rest -= v[p][i] * z[p][j] }
          z[i][j] = rest / v[i][i]
        }
      }
      return (0..<k).map { i in (0..<k).map { z[k - 1 - i][k - 1 - $0] } }
    }

    struct Grid {
      var lines: [Float]
      var (qmin, qmax): (Int, Int)
    }

    static func codes(
      _ w: [Float], _ u: [[Double]], _ order: [Int32], _ dead: [UInt8], _ second: [Int32],
      _ grids: [Grid]
    ) -> [Int8] {
      let k = order.count
      let rows = w.count / k
      var codes = [Int8](repeating: 0, count: w.count)
      for row in 0..<rows {
        var rest = order.map { dead[Int($0)] != 0 ? 0 : Double(w[row * k + Int($0)]) }
        for (place, column) in order.enumerated() {
          let grid = grids[Int(second[Int(column)])]
          let (scale, step, limit) = (
            Double(grid.lines[row]), Double(grid.lines[rows + row]),
            Double(grid.lines[2 * rows + row])
          )
          let clipped = min(max(rest[place], -limit), limit)
          let code = step > 0 ? (clipped / step).rounded(.toNearestOrEven) : 0
          let kept = min(max(code, Double(grid.qmin)), Double(grid.qmax))
          codes[row * k + Int(column)] = Int8(kept)
          let error = (rest[place] - kept * scale) / u[place][place]
          for later in (place + 1)..<max(k, place + 1) { rest[later] -= error * u[place][later] }
        }
      }
      return codes
    }

    @Test(arguments: [(1, 1), (1, 7), (3, 16), (65, 127), (16, 129), (130, 200), (7, 300)])
    func equalsPlainLoopsToTheBit(rows: Int, k: Int) {
      let deadColumn = k > 20 ? 11 : nil
      let h = Self.moment(k, dead: deadColumn)
      var diagonal = (0..<k).map { h[$0 * k + $0] }
      var dead = [UInt8](repeating: 0, count: k)
      if let deadColumn { (dead[deadColumn], diagonal[deadColumn]) = (1, 1) }
      for i in 0..<k { diagonal[i] += 0.5 }
      let order = (0..<k).sorted { (-diagonal[$0], $0) < (-diagonal[$1], $1) }.map(Int32.init)
      let u = Self.factor(h, diagonal, order)
      let w = noise(rows * k, 3)
      let scales = (0..<rows).map { $0 == 2 ? 0 : 0.05 + 0.001 * Float($0) }
      let grids = [
        Grid(
          lines: scales + scales + [Float](repeating: .infinity, count: rows), qmin: -7, qmax: 7),
        Grid(
          lines: scales + scales.map { $0 * 0.99 } + scales.map { $0 * 12 }, qmin: -16, qmax: 15),
      ]
      let second = (0..<k).map { Int32($0 % 3 == 1 ? 1 : 0) }
      let one = Self.codes(w, u, order, dead, second.map { _ in 0 }, grids)
      let two = Self.codes(w, u, order, dead, second, grids)
      let stride = Int(gptq_stride(Int64(k)))
      forEachISA { isa in
        for threads in 1...3 {
          var factor = [Double](repeating: .nan, count: k * stride)
          var work = factor
          let isMade = gptq_factor(&factor, &work, h, diagonal, order, Int64(k), Int32(threads))
          #expect(isMade == 1)
          let isEqual = (0..<k).allSatisfy { i in
            (0..<k).allSatisfy { factor[i * stride + $0] == u[i][$0] }
          }
          #expect(isEqual, "factor of \(k), \(isa), \(threads) threads")
          var room = [Double](repeating: .nan, count: threads * Int(gptq_room(Int64(k))))
          grids[0].lines.withUnsafeBufferPointer { first in
            grids[1].lines.withUnsafeBufferPointer { other in
              let pair = [(first, grids[0]), (other, grids[1])].map {
                gptq_grid(lines: $0.baseAddress, qmin: Int32($1.qmin), qmax: Int32($1.qmax))
              }
              for (mask, want) in [([Int32]?.none, one), (second, two)] {
                var codes = [Int8](repeating: 99, count: rows * k)
                if let mask {
                  gptq_codes(
                    &codes, w, Int64(rows), Int64(k), factor, order, dead, mask, pair, &room,
                    Int32(threads))
                } else {
                  gptq_codes(
                    &codes, w, Int64(rows), Int64(k), factor, order, dead, nil, pair, &room,
                    Int32(threads))
                }
                #expect(codes == want, "\(rows) by \(k), \(isa), \(threads) threads")
              }
            }
          }
        }
      }
    }

    @Test func refusesWhatIsNotPositiveDefinite() {
      for wrong in [-1.0, .nan, .infinity] {
        var factor = [Double](repeating: 0, count: 3 * Int(gptq_stride(3)))
        var work = factor
        let h: [Double] = [0, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(gptq_factor(&factor, &work, h, [1, wrong, 1], [0, 1, 2], 3, 2) == 0)
      }
    }

    @Test(arguments: [(1, 1, 1), (5, 17, 3), (300, 130, 140)])
    func productEqualsPlainSums(depth: Int, m: Int, n: Int) {
      let (lda, ldb) = (Int(gptq_stride(Int64(m))), Int(gptq_stride(Int64(n))))
      func matrix(_ columns: Int, _ stride: Int, _ seed: UInt64) -> [Double] {
        let values = noise(depth * columns, seed)
        return (0..<depth * stride).map {
          $0 % stride < columns ? Double(values[$0 / stride * columns + $0 % stride]) : 0
        }
      }
      let a = matrix(m, lda, 9)
      let b = matrix(n, ldb, 10)
      var want = [Double](repeating: 0, count: m * ldb)
      for p in 0..<depth {
        for i in 0..<m {
          for j in 0..<n { want[i * ldb + j] += a[p * lda + i] * b[p * ldb + j] }
        }
      }
      forEachISA { isa in
        for threads in 1...3 {
          var out = [Double](repeating: .nan, count: m * ldb)
          gptq_product(&out, a, b, Int64(depth), Int64(m), Int64(n), Int32(threads))
          #expect(out == want, "\(isa), \(threads) threads")
        }
      }
    }
  }
}
