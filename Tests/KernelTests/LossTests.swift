// SPDX-License-Identifier: Apache-2.0
// Cross-entropy, embedding, rotary embedding, slices.
import CKernels
import Testing

extension KernelTests {
  @Suite struct LossAndLayout {
    // nll of a few nats: 5e-6 absolute is ten times below what training comparisons ask for.
    @Test(arguments: [(1, 1), (3, 7), (5, 67), (9, 97), (33, 1024), (4, 8191)], [0.0, 3.0, 30.0])
    func crossEntropyAndItsGradient(shape: (Int, Int), cap: Double) {
      let (rows, vocab) = shape
      let z = Floats(noise(rows * vocab, 1, scale: 12))
      let dnll = Floats(noise(rows, 2))
      let dlse = Floats(noise(rows, 3))
      let targets = Ints((0..<rows).map { Int32(($0 * 7919 + 3) % vocab) })
      var wantNll: [Double] = []
      var wantDz: [Double] = []
      // With the gradient of the log of the sum.
      var wantBoth: [Double] = []
      for r in 0..<rows {
        let y = (0..<vocab).map {
          cap > 0 ? cap * tanh64(z[r * vocab + $0] / cap) : z[r * vocab + $0]
        }
        let top = y.max()!
        let lse = top + log64(y.reduce(0) { $0 + exp64($1 - top) })
        wantNll.append(lse - y[Int(targets[r])])
        for c in 0..<vocab {
          let slope = cap > 0 ? 1 - (y[c] / cap) * (y[c] / cap) : 1
          let p = exp64(y[c] - lse) - (Int(targets[r]) == c ? 1 : 0)
          wantDz.append(dnll[r] * p * slope)
          wantBoth.append((dnll[r] * p + dlse[r] * exp64(y[c] - lse)) * slope)
        }
      }
      forEachISA { isa in
        for threads in [1, 3] {
          let nll = Floats(rows)
          let lse = Floats(rows)
          let dz = Floats(rows * vocab)
          run(
            .crossEntropy(
              [nll.raw, lse.raw, z.raw, targets.raw], rows: rows, vocab: vocab, cap: cap),
            threads: threads)
          run(
            .crossEntropyBackward(
              [dz.raw, z.raw, targets.raw, lse.raw, dnll.raw], rows: rows, vocab: vocab, cap: cap),
            threads: threads)
          for r in 0..<rows { #expect(abs(nll[r] - wantNll[r]) < 5e-6, "\(isa) row \(r)") }
          if vocab == 1 {
            #expect(abs(dz[0]) < 1e-6, "\(isa): one word is always right")
          } else {
            expectClose(dz.values, wantDz, 5e-6, "\(isa) \(shape) cap \(cap)")
          }
          let both = Floats(rows * vocab)
          run(
            .crossEntropyBackward(
              [both.raw, z.raw, targets.raw, lse.raw, dnll.raw, dlse.raw], rows: rows,
              vocab: vocab, cap: cap, hasDlse: true),
            threads: threads)
          expectClose(both.values, wantBoth, 5e-6, "\(isa) \(shape) cap \(cap), with dlse")
          let stored = BFloats(rows * vocab)
          run(
            .crossEntropyBackward(
              [stored.raw, z.raw, targets.raw, lse.raw, dnll.raw], rows: rows, vocab: vocab,
              cap: cap, tileRows: 2, dzIsBF16: true),
            threads: threads)
          #expect(stored.bits == dz.values.map(bfloat16), "\(isa) \(shape) cap \(cap)")
          // In place, and with NaN visible.
          let same = Floats(z.values)
          run(
            .crossEntropyBackward(
              [same.raw, same.raw, targets.raw, lse.raw, dnll.raw], rows: rows, vocab: vocab,
              cap: cap))
          #expect(same.bits == dz.bits, "\(isa)")
          same.pointer[vocab / 2] = .nan
          run(
            .crossEntropy(
              [nll.raw, lse.raw, same.raw, targets.raw], rows: rows, vocab: vocab, cap: cap))
          #expect(nll.values[0].isNaN, "\(isa): a NaN logit must not disappear")
        }
      }
    }

    @Test(arguments: [(1, 1, 1), (70, 7, 5), (500, 97, 33), (300, 130, 64)])
    func embeddingAndItsGradient(rows: Int, width: Int, vocab: Int) {
      let table = Floats(noise(vocab * width, 1))
      let dy = Floats(noise(rows * width, 2))
      let ids = Ints((0..<rows).map { Int32($0 * $0 % vocab) })
      var want = [Float](repeating: 0, count: vocab * width)
      for r in 0..<rows {
        for c in 0..<width { want[Int(ids[r]) * width + c] += dy.values[r * width + c] }
      }
      forEachISA { isa in
        let out = Floats(rows * width)
        let dtable = Floats(vocab * width)
        run(
          .embed([out.raw, table.raw, ids.raw], rows: rows, width: width, vocab: vocab), threads: 3)
        run(
          .embedBackward([dtable.raw, dy.raw, ids.raw], rows: rows, width: width, vocab: vocab),
          threads: 3)
        let t = table.values
        #expect(
          out.values == (0..<(rows * width)).map { t[Int(ids[$0 / width]) * width + $0 % width] },
          "\(isa)")
        // Tokens are added in order, so even the bits are known.
        #expect(dtable.values == want, "\(isa)")
      }
    }

    // cos and sin of the exact angle, stored as f32.
    @Test(arguments: [
      (0.0, 0.0, 1.0), (16.0, 0.0, 1.0), (0.0, 0.25, 8.0),
    ]) func ropeTables(train: Double, from: Double, factor: Double) {
      let (positions, dims) = (37, 14)
      let half = dims / 2
      var base = 10_000.0
      if train > 0 { base *= pow64(Double(positions) / train, Double(dims) / Double(dims - 2)) }
      var want: [Double] = []
      for p in 0..<positions {
        let angles = (0..<half).map { i -> Double in
          let place = 2 * Double(i) / Double(dims)
          var f = pow64(base, -place)
          if factor != 1 { f /= min(max((place - from) / (1 - from), 0), 1) * (factor - 1) + 1 }
          return Double(p) * f
        }
        want += angles.map(cos64) + angles.map(sin64)
      }
      forEachISA { isa in
        let table = Floats(positions * dims)
        run(
          .ropeTable(
            [table.raw], positions: positions, dims: dims, base: 10_000, train: train,
            rampFrom: from, rampFactor: factor))
        expectClose(table.values, want, 1e-7, isa)
      }
    }

    @Test func slicesAndTheirGradients() {
      let (outer, extent, inner, start, count) = (19, 11, 7, 3, 5)
      let x = Floats(noise(outer * extent * inner, 1))
      let v = x.values
      forEachISA { isa in
        let y = Floats(outer * count * inner)
        let back = Floats(x.count)
        let part = slice_args(
          outer: Int64(outer), extent: Int64(extent), inner: Int64(inner), start: Int64(start),
          count: Int64(count), tile_rows: 0, bf16: 0)
        run(.slice([y.raw, x.raw], part))
        run(.unslice([back.raw, y.raw], part))
        for i in 0..<x.count {
          let (o, e) = (i / (extent * inner), i / inner % extent)
          let inside = e >= start && e < start + count
          #expect(back.values[i] == (inside ? v[i] : 0))
          if inside { #expect(y.values[(o * count + e - start) * inner + i % inner] == v[i]) }
        }
      }
    }
  }
}
