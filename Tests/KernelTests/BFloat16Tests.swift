// SPDX-License-Identifier: Apache-2.0
// Products in bfloat16 against plain double loops over rounded operands, and what bits depend on.
import CKernels
import Testing

private func rounded(_ x: Floats) -> [Double] {
  x.values.map { Double(Float(bitPattern: UInt32(bfloat16($0)) << 16)) }
}

extension KernelTests {
  @Suite struct BFloat16 {
    /// Packs w[n, k] and returns all of the pack, by columns of the operand: [columns][depth].
    func packed(_ w: Floats, n: Int, k: Int, transposed: Bool, threads: Int = 2) -> [[UInt16]] {
      let room = packRoom(n: n, k: k, transposed: transposed, bf16: true)
      run(
        .pack([room.raw, w.raw], n: n, k: k, transposed: transposed, bf16: true), threads: threads)
      let columns = transposed ? k : n
      let depth = transposed ? n : k
      let width = columns <= 32 ? 32 : 64
      let padded = (columns + width - 1) / width * width
      let even = (depth + 1) / 2 * 2
      #expect(room.count * 4 == padded * even * 2)
      let numbers = room.raw.assumingMemoryBound(to: UInt16.self)
      return (0..<padded).map { j in
        (0..<even).map { d in
          numbers[j / width * width * even + d / 2 * width * 2 + j % width * 2 + d % 2]
        }
      }
    }

    @Test(arguments: [(1, 1), (7, 17), (33, 65), (64, 64), (97, 67), (130, 515)])
    func packsRoundAndPad(n: Int, k: Int) {
      var values = noise(n * k, 4)
      // Ties both ways, a carry into the exponent, both zeros, denormals, overflow, infinity, NaN.
      let special: [UInt32] = [
        0x3f80_8000, 0x3f81_8000, 0x3fff_ffff, 0x8000_0000, 0x0000_0001, 0x807f_ffff, 0x0080_0000,
        0x7f7f_ffff, 0xff80_0000, 0x7f80_0001, 0xffc0_1234, 0x3f80_8001, 0x3f80_7fff,
      ]
      for (i, bits) in special.enumerated() where i < values.count {
        values[values.count - 1 - i] = Float(bitPattern: bits)
      }
      let w = Floats(values, shift: 1)
      forEachISA { isa in
        for transposed in [false, true] {
          let got = packed(w, n: n, k: k, transposed: transposed)
          let columns = transposed ? k : n
          let depth = transposed ? n : k
          var wrong = 0
          for (j, column) in got.enumerated() {
            for (d, number) in column.enumerated() {
              let inside = j < columns && d < depth
              let place = transposed ? d * k + j : j * k + d
              let want = inside ? bfloat16(w.pointer[place]) : 0
              if number != want { wrong += 1 }
            }
          }
          #expect(wrong == 0, "\(isa) \(n)x\(k) turned \(transposed)")
        }
      }
    }

    /// y[m, n] = x[m, k] wᵀ (or x w), from any address.
    func product(m: Int, n: Int, k: Int, transposed: Bool, shift: Int, threads: Int = 2) -> Floats {
      let x = Floats(noise(m * k, 1), shift: shift % 3)
      let w = Floats(noise(n * k, 2), shift: shift % 5)
      let y = Floats([Float](repeating: .nan, count: m * n), shift: shift)
      let wn = transposed ? k : n
      let wk = transposed ? n : k
      let room = packRoom(n: wn, k: wk, transposed: transposed, bf16: true)
      runCalls(
        [
          .pack([room.raw, w.raw], n: wn, k: wk, transposed: transposed, bf16: true),
          .matmul([y.raw, x.raw, room.raw], m: m, n: n, k: k, bf16: true).afterAll,
        ], threads: threads)
      return y
    }

    // Products of two bf16 are exact in f32, so only the sums round: as in the f32 tests.
    @Test(arguments: [
      (1, 1, 1), (1, 64, 128), (7, 33, 17), (65, 97, 67), (130, 64, 33), (128, 128, 256),
      (200, 300, 65), (33, 7, 300), (64, 20, 64), (67, 130, 513), (17, 65, 1), (2051, 33, 7),
    ]) func productsMatchPlainLoops(m: Int, n: Int, k: Int) {
      let x = rounded(Floats(noise(m * k, 1)))
      let w = rounded(Floats(noise(n * k, 2)))
      for transposed in [false, true] {
        var want = [Double](repeating: 0, count: m * n)
        for i in 0..<m {
          for j in 0..<n {
            for c in 0..<k {
              want[i * n + j] += x[i * k + c] * (transposed ? w[c * n + j] : w[j * k + c])
            }
          }
        }
        for shift in [0, 3] {
          var plain: [UInt32]?
          forEachISA { isa in
            let y = product(m: m, n: n, k: k, transposed: transposed, shift: shift)
            let what = "\(isa) \(m)x\(n)x\(k) turned \(transposed) shift \(shift)"
            expectClose(y.values, want, 1e-5, what)
            if isa != "avx512bf16" {
              #expect(plain == nil || plain! == y.bits, "\(what): other bits than portable")
              plain = y.bits
            }
          }
        }
      }
    }

    /// x and y in f32 or bf16, tiles of a fixed height: the bits are those of rounded f32 operands
    /// with tiles of the kernel's choice. The last row of an odd depth ends within a word, and what
    /// follows it in memory (NaN) must not come in.
    @Test(arguments: [
      (1, 1, 1), (7, 33, 17), (65, 97, 67), (130, 64, 34), (200, 300, 65), (67, 20, 514),
      (301, 128, 256),
    ]) func operandsInMemoryAsBFloat16(m: Int, n: Int, k: Int) {
      let numbers = noise(m * k, 1)
      let x = Floats(numbers)
      let w = Floats(noise(n * k, 2))
      let room = packRoom(n: n, k: k, bf16: true)
      for shift in [0, 1, 2] {
        let stored = BFloats(numbers + [.nan, .nan], shift: shift)
        forEachISA { isa in
          run(.pack([room.raw, w.raw], n: n, k: k, bf16: true))
          let plain = Floats(m * n)
          run(.matmul([plain.raw, x.raw, room.raw], m: m, n: n, k: k, bf16: true))
          for tileRows in [0, 1, 6, 64, 96, 1000] {
            for threads in [1, 3] {
              for (xIsBF16, yIsBF16) in [
                (false, false), (true, false), (false, true), (true, true),
              ] {
                let what =
                  "\(isa) \(m)x\(n)x\(k) shift \(shift) tile \(tileRows) \(xIsBF16) \(yIsBF16)"
                func product(_ y: UnsafeMutableRawPointer) {
                  run(
                    .matmul(
                      [y, xIsBF16 ? stored.raw : x.raw, room.raw], m: m, n: n, k: k,
                      tileRows: tileRows, bf16: true, xIsBF16: xIsBF16, yIsBF16: yIsBF16),
                    threads: threads)
                }
                if yIsBF16 {
                  let y = BFloats(m * n)
                  product(y.raw)
                  #expect(y.bits == plain.values.map(bfloat16), "\(what)")
                } else {
                  let y = Floats(m * n)
                  product(y.raw)
                  #expect(y.bits == plain.bits, "\(what)")
                }
              }
            }
          }
        }
      }
    }

    @Test func bitsDoNotDependOnThreads() {
      forEachISA { isa in
        for (n, k) in [(200, 97), (32, 513), (1030, 64)] {
          func bits(_ threads: Int) -> [UInt32] {
            product(m: 300, n: n, k: k, transposed: false, shift: 1, threads: threads).bits
          }
          let one = bits(1)
          for threads in [2, 3, 5] { #expect(one == bits(threads), "\(isa) \(threads) threads") }
        }
      }
    }

    /// The same row computed alone, at every place of a tile, and among 2,100 others.
    @Test func bitsOfARowDoNotDependOnTheOtherRows() {
      forEachISA { isa in
        for (n, k) in [(100, 131), (20, 64), (320, 257), (40, 601)] {
          let w = Floats(noise(n * k, 5))
          let all = Floats(noise(2100 * k, 6))
          let room = packRoom(n: n, k: k, bf16: true)
          run(.pack([room.raw, w.raw], n: n, k: k, bf16: true))
          func rows(_ first: Int, _ count: Int) -> [UInt32] {
            let x = Floats(Array(all.values[(first * k)..<((first + count) * k)]))
            let y = Floats(count * n)
            run(.matmul([y.raw, x.raw, room.raw], m: count, n: n, k: k, bf16: true))
            return y.bits
          }
          let whole = rows(0, 2100)
          for (first, count) in [
            (0, 1), (77, 1), (5, 7), (64, 64), (3, 65), (130, 129), (2047, 53),
          ] {
            let same = rows(first, count) == Array(whole[(first * n)..<((first + count) * n)])
            #expect(same, "\(isa) n \(n) k \(k), rows \(first) to \(first + count)")
          }
        }
      }
    }

    /// Every word, from f32 and from bf16, whatever the tiles and threads.
    @Test(arguments: [
      (1, 1), (2, 16), (7, 17), (64, 33), (193, 64), (200, 70), (97, 128), (300, 1000),
    ]) func tokensArePackedInPairs(m: Int, n: Int) {
      let numbers = noise(m * n, 1)
      let x = Floats(numbers, shift: 1)
      let stored = BFloats(numbers + [.nan, .nan], shift: 1)
      let pairs = (m + 1) / 2
      let step = (pairs | 1) * 16
      let panels = (n + 15) / 16
      func number(_ token: Int, _ column: Int) -> UInt32 {
        token < m && column < n ? UInt32(bfloat16(numbers[token * n + column])) : 0
      }
      forEachISA { isa in
        for tileRows in [0, 12, 24, 48, 96, 1000] {
          for threads in [1, 3] {
            for isStored in [false, true] {
              let got = tokenPanels(
                isStored ? stored.raw : x.raw, m: m, n: n, bf16: true, xIsBF16: isStored,
                tileRows: tileRows, threads: threads)
              #expect(got.count == panels * step)
              var wrong = 0
              for panel in 0..<panels {
                for pair in 0..<pairs {
                  for column in 0..<16 {
                    let c = panel * 16 + column
                    let want = number(2 * pair, c) | number(2 * pair + 1, c) << 16
                    let word = got.pointer[panel * step + pair * 16 + column].bitPattern
                    if word != want { wrong += 1 }
                  }
                }
              }
              #expect(wrong == 0, "\(isa) \(m)x\(n) tile \(tileRows) stored \(isStored)")
            }
          }
        }
      }
    }

    @Test(arguments: [
      (1, 1, 1), (7, 17, 33), (65, 67, 97), (300, 130, 64), (257, 256, 128), (513, 65, 300),
      (601, 520, 515), (1030, 64, 128), (255, 16, 1000),
    ]) func weightGradientsMatchPlainLoops(m: Int, n: Int, k: Int) {
      let dy = Floats(noise(m * n, 7))
      let x = Floats(noise(m * k, 8), shift: 1)
      let a = rounded(dy)
      let b = rounded(x)
      var sums = [Double](repeating: 0, count: n * k)
      for t in 0..<m {
        for i in 0..<n {
          for j in 0..<k { sums[i * k + j] += a[t * n + i] * b[t * k + j] }
        }
      }
      var plain: [UInt32]?
      forEachISA { isa in
        let left = tokenPanels(dy.raw, m: m, n: n, bf16: true)
        let right = tokenPanels(x.raw, m: m, n: k, bf16: true)
        var bits: [UInt32]?
        for threads in [1, 2, 3] {
          let dw = Floats(n * k)
          run(
            .matmulWeight([dw.raw, left.raw, right.raw], m: m, n: n, k: k, bf16: true),
            threads: threads)
          expectClose(dw.values, sums, 1e-5, "\(isa) \(m)x\(n)x\(k)")
          #expect(bits == nil || bits! == dw.bits, "\(isa) \(threads) threads")
          bits = dw.bits
        }
        if isa != "avx512bf16" {
          #expect(plain == nil || plain! == bits!, "\(isa) \(m)x\(n)x\(k): other bits")
          plain = bits
        }
      }
    }

    // Operands have eight bits, and the steps of the iteration multiply their errors: singular
    // values of about 1 move by up to 0.03. One number alone shows all of that; entries of a matrix
    // less. Where two steps are taken at once (sides of 256 or more, one and a half times as long as
    // wide), twice as much is lost.
    @Test(
      arguments: [
        (1, 1), (7, 33), (33, 7), (64, 64), (65, 130), (130, 97), (192, 320), (200, 400),
        (500, 256),
      ])
    func muonStaysNearItsF32Form(shape: (Int, Int)) {
      let (rows, cols) = shape
      let w = noise(rows * cols, 1)
      let m = noise(rows * cols, 2, scale: 0.1)
      let g = Floats(noise(rows * cols, 3))
      let lr = Floats([0.5])
      let factor = Floats([0.5])
      let mu = Floats([0.9])
      let coefficients = Floats((0..<5).flatMap { _ in [Float(3.4445), -4.775, 2.0315] })
      let size = max(1, Float(rows) / Float(cols)).squareRoot()
      let limit = (shape == (1, 1) ? 0.04 : min(rows, cols) >= 200 ? 0.05 : 0.02) * 0.5 * size
      func update(bf16: Bool, _ threads: Int = 2) -> (w: Floats, m: Floats) {
        let gw = Floats(w)
        let gm = Floats(m)
        run(
          .muon(
            [gw.raw, gm.raw, g.raw, lr.raw, factor.raw, mu.raw, coefficients.raw], rows: rows,
            cols: cols, steps: 5, bf16: bf16, decay: 0.1),
          threads: threads)
        return (gw, gm)
      }
      forEachISA { isa in
        let want = update(bf16: false)
        let got = update(bf16: true)
        let worst = zip(got.w.values, want.w.values).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
        #expect(worst <= limit, "\(isa) \(shape): \(worst)")
        #expect(worst > 0, "\(isa) \(shape): no difference, so it was not computed in bf16")
        #expect(got.m.bits == want.m.bits, "\(isa) \(shape)")
        #expect(got.w.bits == update(bf16: true, 3).w.bits, "\(isa) \(shape)")
      }
    }
  }
}
