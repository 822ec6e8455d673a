// SPDX-License-Identifier: Apache-2.0
// Packed products and weight gradients against plain loops, and what bits may depend on.
import CKernels
import Testing

extension KernelTests {
  @Suite struct Matmul {
    /// y[m, n] = x[m, k] wᵀ (or x w), from any address.
    func product(
      m: Int, n: Int, k: Int, transposed: Bool, shift: Int, threads: Int = 2
    ) -> (got: [Float], want: [Double], bits: [UInt32]) {
      let x = Floats(noise(m * k, 1), shift: shift % 3)
      let w = Floats(noise(n * k, 2), shift: shift % 5)
      let y = Floats([Float](repeating: .nan, count: m * n), shift: shift)
      // The pack always describes w: [n, k], or [k, n] when it is used as it lies.
      let wn = transposed ? k : n
      let wk = transposed ? n : k
      let packed = packRoom(n: wn, k: wk, transposed: transposed)
      runCalls(
        [
          .pack([packed.raw, w.raw], n: wn, k: wk, transposed: transposed),
          .matmul([y.raw, x.raw, packed.raw], m: m, n: n, k: k).afterAll,
        ], threads: threads)
      var want = [Double](repeating: 0, count: m * n)
      for i in 0..<m {
        for j in 0..<n {
          for c in 0..<k {
            want[i * n + j] += x[i * k + c] * (transposed ? w[c * n + j] : w[j * k + c])
          }
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
          for shift in [0, 3] {
            let r = product(m: m, n: n, k: k, transposed: transposed, shift: shift)
            expectClose(
              r.got, r.want, 1e-5,
              "\(route) \(m)x\(n)x\(k) turned \(transposed) shift \(shift)")
          }
        }
      }
    }

    @Test func bitsDoNotDependOnThreads() {
      forEachRoute { route in
        let one = product(m: 300, n: 200, k: 97, transposed: false, shift: 1, threads: 1)
        for threads in [2, 3, 5] {
          let more = product(m: 300, n: 200, k: 97, transposed: false, shift: 1, threads: threads)
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
            let packed = packRoom(n: n, k: k)
            runCalls([
              .pack([packed.raw, w.raw], n: n, k: k),
              .matmul([y.raw, x.raw, packed.raw], m: count, n: n, k: k).afterAll,
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
        let packed = packRoom(n: n, k: k)
        run(.pack([packed.raw, w.raw], n: n, k: k))
        func rows(_ tile: Int, _ threads: Int) -> [UInt32] {
          let y = Floats(m * n)
          run(
            .matmul([y.raw, x.raw, packed.raw], m: m, n: n, k: k, tileRows: tile),
            threads: threads)
          return y.bits
        }
        let free = rows(0, 1)
        for tile in [1, 6, 50, 64, 96, 100, 1000] {
          #expect(free == rows(tile, 3), "\(route) \(m)x\(n)x\(k) tile \(tile)")
        }
      }
    }

    /// Every number, whatever the tiles and threads.
    @Test(arguments: [(1, 1), (2, 16), (7, 17), (64, 33), (193, 64), (97, 128), (300, 1000)])
    func tokensArePacked(m: Int, n: Int) {
      let numbers = noise(m * n, 1)
      let x = Floats(numbers, shift: 1)
      let step = (m | 1) * 16
      forEachISA { isa in
        for tileRows in [0, 12, 48, 102, 1000] {
          for threads in [1, 3] {
            let got = tokenPanels(x.raw, m: m, n: n, tileRows: tileRows, threads: threads)
            #expect(got.count == (n + 15) / 16 * step)
            var wrong = 0
            for token in 0..<m {
              for column in 0..<((n + 15) / 16 * 16) {
                let want = column < n ? numbers[token * n + column] : 0
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
      let dy = Floats(noise(m * n, 7))
      let x = Floats(noise(m * k, 8), shift: 1)
      var sums = [Double](repeating: 0, count: n * k)
      for t in 0..<m {
        for i in 0..<n {
          let a = dy[t * n + i]
          for j in 0..<k { sums[i * k + j] += a * x[t * k + j] }
        }
      }
      forEachISA { isa in
        let left = tokenPanels(dy.raw, m: m, n: n)
        let right = tokenPanels(x.raw, m: m, n: k)
        var bits: [UInt32]?
        for threads in [1, 2, 3] {
          let dw = Floats(n * k)
          run(.matmulWeight([dw.raw, left.raw, right.raw], m: m, n: n, k: k), threads: threads)
          expectClose(dw.values, sums, 1e-5, "\(isa) \(m)x\(n)x\(k)")
          #expect(bits == nil || bits! == dw.bits, "\(isa) \(threads) threads")
          bits = dw.bits
        }
      }
    }
  }
}
