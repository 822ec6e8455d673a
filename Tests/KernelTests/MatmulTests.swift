// SPDX-License-Identifier: Apache-2.0
// Packed products and weight gradients against plain loops, and what bits may depend on.
import CKernels
import Testing

extension KernelTests {
  @Suite struct Matmul {
    /// y[m, n] = x[m, k] wᵀ (or x w) with leading dimensions larger than the rows.
    func product(
      m: Int, n: Int, k: Int, transposed: Bool, accumulate: Bool, pad: Int, threads: Int = 2,
      x: Floats? = nil, w: Floats? = nil
    ) -> (got: [Float], want: [Double], bits: [UInt32]) {
      let ldx = k + pad
      let ldy = n + pad
      let x = x ?? Floats(noise(m * ldx, 1), shift: pad % 3)
      let w = w ?? Floats(noise(n * k, 2), shift: pad % 5)
      let y = Floats(noise(m * ldy, 3))
      let before = y.values
      // The pack always describes w: [n, k], or [k, n] when it is used as it lies.
      let wn = transposed ? k : n
      let wk = transposed ? n : k
      let bytes = Int(kernel_packed_bytes(Int64(wn), Int64(wk), transposed ? 1 : 0))
      let packed = Floats(bytes / 4)
      runCalls(
        [
          makeCall(KERNEL_PACK, [packed.raw, w.raw], [wn, wk, transposed ? 1 : 0]),
          makeCall(
            KERNEL_MATMUL, [y.raw, x.raw, packed.raw], [m, n, k, ldy, ldx, accumulate ? 1 : 0],
            barrier: true),
        ], threads: threads)
      var want = before.map(Double.init)
      for i in 0..<m {
        for j in 0..<n {
          var sum = accumulate ? want[i * ldy + j] : 0
          for c in 0..<k { sum += x[i * ldx + c] * (transposed ? w[c * n + j] : w[j * k + c]) }
          want[i * ldy + j] = sum
        }
      }
      return (y.values, want, y.bits)
    }

    static let shapes = [
      (1, 1, 1), (1, 64, 128), (7, 33, 17), (65, 97, 67), (130, 64, 33), (128, 128, 256),
      (200, 300, 65), (33, 7, 300), (64, 20, 64), (67, 130, 513),
    ]

    // f32 sums of up to 513 products of numbers below 1: 1e-5 of the largest is 20 times the usual
    // rounding error.
    @Test(arguments: shapes) func productsMatchPlainLoops(m: Int, n: Int, k: Int) {
      forEachRoute { route in
        for transposed in [false, true] {
          for accumulate in [false, true] {
            for pad in [0, 3] {
              let r = product(
                m: m, n: n, k: k, transposed: transposed, accumulate: accumulate, pad: pad)
              expectClose(
                r.got, r.want, 1e-5,
                "\(route) \(m)x\(n)x\(k) turned \(transposed) added \(accumulate) pad \(pad)")
            }
          }
        }
      }
    }

    @Test func bitsDoNotDependOnThreads() {
      forEachRoute { route in
        let one = product(
          m: 300, n: 200, k: 97, transposed: false, accumulate: false, pad: 1, threads: 1)
        for threads in [2, 3, 5] {
          let more = product(
            m: 300, n: 200, k: 97, transposed: false, accumulate: false, pad: 1, threads: threads)
          #expect(one.bits == more.bits, "\(route) \(threads) threads")
        }
      }
    }

    /// The same row computed alone, at every place of a tile, and among 2,100 others.
    @Test func bitsOfARowDoNotDependOnTheOtherRows() {
      forEachRoute { route in
        for (n, k) in [(100, 131), (20, 64), (320, 257)] {
          let w = Floats(noise(n * k, 5))
          let all = Floats(noise(2100 * k, 6))
          func rows(_ first: Int, _ count: Int) -> [UInt32] {
            let x = Floats(Array(all.values[(first * k)..<((first + count) * k)]))
            let y = Floats(count * n)
            let packed = Floats(Int(kernel_packed_bytes(Int64(n), Int64(k), 0)) / 4)
            runCalls([
              makeCall(KERNEL_PACK, [packed.raw, w.raw], [n, k, 0]),
              makeCall(
                KERNEL_MATMUL, [y.raw, x.raw, packed.raw], [count, n, k, n, k, 0], barrier: true),
            ])
            return y.bits
          }
          let whole = rows(0, 2100)
          for (first, count) in [
            (0, 1), (77, 1), (5, 7), (64, 64), (3, 65), (130, 129), (2047, 53),
          ] {
            let same = rows(first, count) == Array(whole[(first * n)..<((first + count) * n)])
            #expect(
              same,
              "\(route) n \(n) k \(k), rows \(first) to \(first + count)")
          }
        }
      }
    }

    @Test(arguments: shapes) func bitsDoNotDependOnTheRowsOfATile(m: Int, n: Int, k: Int) {
      let x = Floats(noise(m * k, 1))
      let w = Floats(noise(n * k, 2))
      forEachRoute { route in
        let packed = Floats(Int(kernel_packed_bytes(Int64(n), Int64(k), 0)) / 4)
        run(KERNEL_PACK, [packed.raw, w.raw], [n, k, 0])
        func rows(_ tile: Int, _ accumulate: Int, _ threads: Int) -> [UInt32] {
          let y = Floats(noise(m * n, 3))
          run(
            KERNEL_MATMUL, [y.raw, x.raw, packed.raw],
            [m, n, k, n, k, accumulate, 0, 0, tile], threads: threads)
          return y.bits
        }
        for accumulate in [0, 1] {
          let free = rows(0, accumulate, 1)
          for tile in [1, 6, 50, 64, 96, 100, 1000] {
            #expect(free == rows(tile, accumulate, 3), "\(route) \(m)x\(n)x\(k) tile \(tile)")
          }
        }
      }
    }

    /// Every number, whatever the tiles and threads, NaN beside the rows.
    @Test(arguments: [(1, 1), (2, 16), (7, 17), (64, 33), (193, 64), (97, 128), (300, 1000)])
    func tokensArePacked(m: Int, n: Int) {
      let ldx = n + 3
      let numbers = noise(m * ldx, 1).enumerated().map { $0 % ldx < n ? $1 : Float.nan }
      let x = Floats(numbers, shift: 1)
      let step = (m | 1) * 16
      forEachISA { isa in
        for tileRows in [0, 12, 48, 102, 1000] {
          for threads in [1, 3] {
            let got = tokenPanels(
              x.raw, m: m, n: n, ldx: ldx, tileRows: tileRows, threads: threads)
            #expect(got.count == (n + 15) / 16 * step)
            var wrong = 0
            for token in 0..<m {
              for column in 0..<((n + 15) / 16 * 16) {
                let want = column < n ? numbers[token * ldx + column] : 0
                if got[column / 16 * step + token * 16 + column % 16] != Double(want) { wrong += 1 }
              }
            }
            #expect(wrong == 0, "\(isa) \(m)x\(n) tile \(tileRows)")
          }
        }
      }
    }

    @Test(arguments: [
      (1, 1, 1), (7, 17, 33), (65, 67, 97), (300, 130, 64), (257, 256, 128), (513, 65, 300),
      (600, 520, 515),
    ]) func weightGradientsMatchPlainLoops(m: Int, n: Int, k: Int) {
      let lddy = n + 2
      let ldx = k + 5
      let dy = Floats(noise(m * lddy, 7))
      let x = Floats(noise(m * ldx, 8), shift: 1)
      let before = noise(n * k, 9)
      var sums = [Double](repeating: 0, count: n * k)
      for t in 0..<m {
        for i in 0..<n {
          let a = dy[t * lddy + i]
          for j in 0..<k { sums[i * k + j] += a * x[t * ldx + j] }
        }
      }
      forEachISA { isa in
        let left = tokenPanels(dy.raw, m: m, n: n, ldx: lddy)
        let right = tokenPanels(x.raw, m: m, n: k, ldx: ldx)
        for accumulate in [false, true] {
          var bits: [UInt32]?
          for threads in [1, 2, 3] {
            let dw = Floats(before)
            run(
              KERNEL_MATMUL_WEIGHT, [dw.raw, left.raw, right.raw],
              [m, n, k, accumulate ? 1 : 0, 0], threads: threads)
            let want = zip(sums, before).map { accumulate ? $0 + Double($1) : $0 }
            expectClose(dw.values, want, 1e-5, "\(isa) \(m)x\(n)x\(k) added \(accumulate)")
            #expect(bits == nil || bits! == dw.bits, "\(isa) \(threads) threads")
            bits = dw.bits
          }
        }
      }
    }
  }
}
