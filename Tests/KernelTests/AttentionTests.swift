// SPDX-License-Identifier: Apache-2.0
// Attention forward and backward against the definition in Double, in f32 and in bf16.
import CKernels
import Testing

extension KernelTests {
  @Suite struct Attention {
    struct Sizes: CustomStringConvertible {
      var b, t, h, g, d: Int
      /// Tokens of each document; 0: all are of one.
      var document = 0
      var description: String { "b\(b) t\(t) h\(h) g\(g) d\(d) document \(document)" }
      /// The first key that a query sees.
      func first(_ query: Int) -> Int { document > 0 ? query / document * document : 0 }
      /// The first keys of all queries.
      var docs: Ints { Ints((0..<b * t).map { Int32(first($0 % t)) }) }
      /// The arguments, with n queries (nil: all).
      func arguments(
        _ scale: Double, queries n: Int? = nil, bf16: Bool = false
      ) -> attention_args {
        .init(
          batch: Int64(b), positions: Int64(t), queries: Int64(n ?? t), heads: Int64(h),
          groups: Int64(g), width: Int64(d), has_documents: document > 0 ? 1 : 0,
          bf16: bf16 ? 1 : 0, scale: scale)
      }
      var q: Int { b * t * h * d }
      var kv: Int { b * t * g * d }
    }

    struct Reference {
      var y, lse, dq, dk, dv: [Double]

      init(_ s: Sizes, _ scale: Double, q: Floats, k: Floats, v: Floats, dy: Floats) {
        y = .init(repeating: 0, count: s.q)
        lse = .init(repeating: 0, count: s.b * s.h * s.t)
        dq = y
        dk = .init(repeating: 0, count: s.kv)
        dv = dk
        for b in 0..<s.b {
          for h in 0..<s.h {
            for i in 0..<s.t {
              let at = ((b * s.t + i) * s.h + h) * s.d
              func other(_ j: Int) -> Int { ((b * s.t + j) * s.g + h / (s.h / s.g)) * s.d }
              let scores = (s.first(i)...i).map { j in
                scale * (0..<s.d).reduce(0) { $0 + q[at + $1] * k[other(j) + $1] }
              }
              let top = scores.max()!
              let total = scores.reduce(0) { $0 + exp64($1 - top) }
              lse[(b * s.h + h) * s.t + i] = top + log64(total)
              let p = scores.map { exp64($0 - top) / total }
              for (j, p) in zip(s.first(i)...i, p) {
                for c in 0..<s.d { y[at + c] += p * v[other(j) + c] }
              }
              let dp = (s.first(i)...i).map { j in
                (0..<s.d).reduce(0) { $0 + dy[at + $1] * v[other(j) + $1] }
              }
              let delta = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
              for (j, (p, dp)) in zip(s.first(i)...i, zip(p, dp)) {
                let ds = scale * p * (dp - delta)
                for c in 0..<s.d {
                  dv[other(j) + c] += p * dy[at + c]
                  dq[at + c] += ds * k[other(j) + c]
                  dk[other(j) + c] += ds * q[at + c]
                }
              }
            }
          }
        }
      }
    }

    static let sizes = [
      Sizes(b: 1, t: 1, h: 1, g: 1, d: 1), Sizes(b: 2, t: 7, h: 2, g: 1, d: 5),
      Sizes(b: 1, t: 64, h: 2, g: 2, d: 32), Sizes(b: 1, t: 65, h: 4, g: 2, d: 33),
      Sizes(b: 1, t: 130, h: 2, g: 1, d: 64), Sizes(b: 2, t: 97, h: 3, g: 1, d: 16),
      Sizes(b: 1, t: 200, h: 1, g: 1, d: 80), Sizes(b: 1, t: 256, h: 2, g: 2, d: 8),
      Sizes(b: 2, t: 200, h: 2, g: 1, d: 16, document: 33),
      Sizes(b: 1, t: 256, h: 4, g: 2, d: 33, document: 64),
      Sizes(b: 2, t: 131, h: 2, g: 2, d: 24, document: 2),
      Sizes(b: 1, t: 333, h: 2, g: 1, d: 32, document: 150),
    ]

    // Softmax weights carry the error of a score (1e-6) and of exp (1e-7); gradients cancel once.
    @Test(arguments: sizes) func matchesTheDefinition(s: Sizes) {
      let scale = 1 / Double(s.d).squareRoot()
      let q = Floats(noise(s.q, 1, scale: 3))
      let k = Floats(noise(s.kv, 2, scale: 3))
      let v = Floats(noise(s.kv, 3))
      let dy = Floats(noise(s.q, 4))
      let want = Reference(s, scale, q: q, k: k, v: v, dy: dy)
      let docs = s.docs
      forEachRoute { route in
        var first: [[UInt32]] = []
        for threads in [1, 2, 3] {
          let y = Floats(s.q)
          let lse = Floats(s.b * s.h * s.t)
          let dq = Floats(s.q)
          let dk = Floats(s.kv)
          let dv = Floats(s.kv)
          run(
            .attention(
              [y.raw, lse.raw, q.raw, k.raw, v.raw, docs.raw], s.arguments(scale)),
            threads: threads)
          run(
            .attentionBackward(
              [dq.raw, dk.raw, dv.raw, q.raw, k.raw, v.raw, y.raw, lse.raw, dy.raw, docs.raw],
              s.arguments(scale)), threads: threads)
          expectClose(y.values, want.y, 3e-6, "\(route) \(s) y")
          expectClose(lse.values, want.lse, 2e-6, "\(route) \(s) lse")
          expectClose(dq.values, want.dq, 1e-5, "\(route) \(s) dq")
          expectClose(dk.values, want.dk, 1e-5, "\(route) \(s) dk")
          expectClose(dv.values, want.dv, 1e-5, "\(route) \(s) dv")
          let bits = [y, lse, dq, dk, dv].map(\.bits)
          if first.isEmpty { first = bits }
          #expect(first == bits, "\(route) \(s) \(threads) threads")
        }
      }
    }

    @Test func bitsDoNotDependOnTheBatch() {
      let s = Sizes(b: 3, t: 77, h: 2, g: 1, d: 24)
      let one = Sizes(b: 1, t: 77, h: 2, g: 1, d: 24)
      let q = Floats(noise(s.q, 1))
      let k = Floats(noise(s.kv, 2))
      let v = Floats(noise(s.kv, 3))
      forEachRoute { route in
        let y = Floats(s.q)
        let lse = Floats(s.b * s.h * s.t)
        run(.attention([y.raw, lse.raw, q.raw, k.raw, v.raw], s.arguments(0.2)))
        let y1 = Floats(one.q)
        let lse1 = Floats(one.h * one.t)
        let kv = k.raw + one.kv * 4
        let vv = v.raw + one.kv * 4
        run(.attention([y1.raw, lse1.raw, q.raw + one.q * 4, kv, vv], one.arguments(0.2)))
        #expect(y1.bits == Array(y.bits[one.q..<(2 * one.q)]), "\(route)")
      }
    }

    // Scores of several hundred: the running maximum must keep exp in range.
    @Test func largeScoresStayFinite() {
      let s = Sizes(b: 1, t: 150, h: 1, g: 1, d: 16)
      let q = Floats(noise(s.q, 1, scale: 40))
      let k = Floats(noise(s.kv, 2, scale: 40))
      let v = Floats(noise(s.kv, 3))
      let dy = Floats(noise(s.q, 4))
      let want = Reference(s, 0.25, q: q, k: k, v: v, dy: dy)
      forEachISA { isa in
        let y = Floats(s.q)
        let lse = Floats(s.t)
        run(.attention([y.raw, lse.raw, q.raw, k.raw, v.raw], s.arguments(0.25)))
        // A score of 1,000 has an error of 1e-4, and so have the weights.
        expectClose(y.values, want.y, 2e-3, isa)
        expectClose(lse.values, want.lse, 1e-6, isa)
      }
    }

    /// The queries of the last n positions of every sequence.
    func last<T>(_ n: Int, of rows: [T], _ s: Sizes, width: Int) -> [T] {
      let sequence = s.t * width
      var result: [T] = []
      for end in stride(from: sequence, through: rows.count, by: sequence) {
        result += rows[(end - n * width)..<end]
      }
      return result
    }

    static let parts = [
      (Sizes(b: 2, t: 77, h: 4, g: 2, d: 24), 1), (Sizes(b: 2, t: 150, h: 2, g: 1, d: 33), 22),
      (Sizes(b: 1, t: 200, h: 2, g: 2, d: 32), 73), (Sizes(b: 2, t: 256, h: 3, g: 1, d: 7), 128),
      (Sizes(b: 1, t: 130, h: 2, g: 1, d: 64), 130),
    ]

    @Test(arguments: parts) func bitsOfAQueryDoNotDependOnTheirNumber(s: Sizes, n: Int) {
      let q = noise(s.q, 1)
      let some = last(n, of: q, s, width: s.h * s.d)
      let k = noise(s.kv, 2)
      let v = noise(s.kv, 3)
      func check(_ what: String, _ bf16: Bool) {
        func result(_ q: [Float], _ n: Int?) -> (y: [Float], lse: [Float]) {
          let lse = Floats(q.count / s.d)
          let arguments = s.arguments(0.3, queries: n, bf16: bf16)
          if bf16 {
            let (hq, hk, hv, y) = (BFloats(q), BFloats(k), BFloats(v), BFloats(q.count))
            run(.attention([y.raw, lse.raw, hq.raw, hk.raw, hv.raw], arguments))
            return (y.values, lse.values)
          }
          let (fq, fk, fv, y) = (Floats(q), Floats(k), Floats(v), Floats(q.count))
          run(.attention([y.raw, lse.raw, fq.raw, fk.raw, fv.raw], arguments))
          return (y.values, lse.values)
        }
        let whole = result(q, nil)
        let part = result(some, n)
        #expect(part.y == last(n, of: whole.y, s, width: s.h * s.d), "\(what) \(s) n \(n)")
        #expect(part.lse == last(n, of: whole.lse, s, width: 1), "\(what) \(s) n \(n)")
      }
      forEachRoute { check($0, false) }
      forEachISA { check($0, true) }
    }

    static let bf16Sizes =
      sizes + [
        Sizes(b: 2, t: 49, h: 6, g: 2, d: 20), Sizes(b: 1, t: 330, h: 2, g: 1, d: 64),
        Sizes(b: 3, t: 17, h: 1, g: 1, d: 130), Sizes(b: 1, t: 143, h: 8, g: 1, d: 48),
      ]

    // Weights, slopes and results are rounded to eight bits, and y again where it enters a gradient;
    // sums of many lose less. The logarithm of a sum carries the error of exp2 alone: 1e-4 for one
    // weight, which changes sign twice between two powers and so averages out.
    @Test(arguments: bf16Sizes) func bf16MatchesTheDefinition(s: Sizes) {
      let scale = 1 / Double(s.d).squareRoot()
      let q = BFloats(noise(s.q, 1, scale: 3))
      let k = BFloats(noise(s.kv, 2, scale: 3))
      let v = BFloats(noise(s.kv, 3))
      let dy = BFloats(noise(s.q, 4))
      let want = Reference(
        s, scale, q: Floats(q.values), k: Floats(k.values), v: Floats(v.values),
        dy: Floats(dy.values))
      let docs = s.docs
      forEachISA { isa in
        var first: [[UInt16]] = []
        var firstLse: [UInt32] = []
        for threads in [1, 2, 3] {
          let (y, dq, dk, dv) = (BFloats(s.q), BFloats(s.q), BFloats(s.kv), BFloats(s.kv))
          let lse = Floats(s.b * s.h * s.t)
          run(
            .attention(
              [y.raw, lse.raw, q.raw, k.raw, v.raw, docs.raw], s.arguments(scale, bf16: true)),
            threads: threads)
          run(
            .attentionBackward(
              [dq.raw, dk.raw, dv.raw, q.raw, k.raw, v.raw, y.raw, lse.raw, dy.raw, docs.raw],
              s.arguments(scale, bf16: true)), threads: threads)
          expectClose(y.values, want.y, 6e-3, "\(isa) \(s) y")
          expectClose(lse.values, want.lse, 3e-5, "\(isa) \(s) lse")
          expectClose(dq.values, want.dq, 8e-3, "\(isa) \(s) dq")
          expectClose(dk.values, want.dk, 8e-3, "\(isa) \(s) dk")
          expectClose(dv.values, want.dv, 6e-3, "\(isa) \(s) dv")
          let bits = [y, dq, dk, dv].map(\.bits)
          if first.isEmpty { (first, firstLse) = (bits, lse.bits) }
          #expect(first == bits && firstLse == lse.bits, "\(isa) \(s) \(threads) threads")
        }
      }
    }

    /// A document that begins with a block has the bits of a row of its own, whatever stands before it.
    @Test func documentsHaveTheBitsOfRowsOfTheirOwn() {
      let rows = Sizes(b: 4, t: 128, h: 4, g: 2, d: 24)
      let packed = Sizes(b: 1, t: 512, h: 4, g: 2, d: 24, document: 128)
      let (q, k, v) = (noise(rows.q, 1), noise(rows.kv, 2), noise(rows.kv, 3))
      let dy = noise(rows.q, 4)
      func results<Numbers>(
        _ s: Sizes, bf16: Bool, _ make: ([Float]) -> Numbers,
        _ raw: (Numbers) -> UnsafeMutableRawPointer, _ bits: (Numbers) -> [UInt32]
      ) -> [[UInt32]] {
        let (lse, docs) = (Floats(s.b * s.h * s.t), s.docs)
        let (q, k, v, dy) = (make(q), make(k), make(v), make(dy))
        let made = [s.q, s.q, s.kv, s.kv].map { make([Float](repeating: .nan, count: $0)) }
        let arguments = s.arguments(0.3, bf16: bf16)
        let operands = [q, k, v].map(raw)
        run(.attention([raw(made[0]), lse.raw] + operands + [docs.raw], arguments))
        run(
          .attentionBackward(
            made[1...].map(raw) + operands + [raw(made[0]), lse.raw, raw(dy), docs.raw], arguments))
        return withExtendedLifetime((q, k, v, dy, lse, docs)) { made.map(bits) }
      }
      func bits(_ s: Sizes, bf16: Bool) -> [[UInt32]] {
        bf16
          ? results(s, bf16: true, { BFloats($0) }, \.raw, { $0.bits.map(UInt32.init) })
          : results(s, bf16: false, { Floats($0) }, \.raw, \.bits)
      }
      forEachISA { isa in
        for bf16 in [false, true] {
          #expect(bits(rows, bf16: bf16) == bits(packed, bf16: bf16), "\(isa) bf16 \(bf16)")
        }
      }
    }

    @Test func bf16BitsDoNotDependOnTheBatch() {
      // With one sequence the blocks of a head go to several tiles, with 20 to one.
      let s = Sizes(b: 20, t: 200, h: 2, g: 1, d: 24)
      let one = Sizes(b: 1, t: 200, h: 2, g: 1, d: 24)
      let q = noise(s.q, 1)
      let k = noise(s.kv, 2)
      let v = noise(s.kv, 3)
      let dy = noise(s.q, 4)
      forEachISA { isa in
        func results(_ s: Sizes, _ q: [Float], _ k: [Float], _ v: [Float], _ dy: [Float])
          -> [[UInt16]]
        {
          let (q, k, v, dy) = (BFloats(q), BFloats(k), BFloats(v), BFloats(dy))
          let (y, dq, dk, dv) = (BFloats(s.q), BFloats(s.q), BFloats(s.kv), BFloats(s.kv))
          let lse = Floats(s.b * s.h * s.t)
          run(.attention([y.raw, lse.raw, q.raw, k.raw, v.raw], s.arguments(0.2, bf16: true)))
          run(
            .attentionBackward(
              [dq.raw, dk.raw, dv.raw, q.raw, k.raw, v.raw, y.raw, lse.raw, dy.raw],
              s.arguments(0.2, bf16: true)))
          return [y, dq, dk, dv].map(\.bits)
        }
        let all = results(s, q, k, v, dy)
        func third<T>(_ x: [T]) -> [T] { Array(x[(2 * x.count / s.b)..<(3 * x.count / s.b)]) }
        let alone = results(one, third(q), third(k), third(v), third(dy))
        #expect(alone == all.map(third), "\(isa)")
      }
    }

    @Test func bf16LargeScoresStayFinite() {
      let s = Sizes(b: 1, t: 150, h: 1, g: 1, d: 16)
      let q = BFloats(noise(s.q, 1, scale: 40))
      let k = BFloats(noise(s.kv, 2, scale: 40))
      let v = BFloats(noise(s.kv, 3))
      let zero = Floats([Float](repeating: 0, count: s.q))
      let want = Reference(
        s, 0.25, q: Floats(q.values), k: Floats(k.values), v: Floats(v.values), dy: zero)
      forEachISA { isa in
        let y = BFloats(s.q)
        let lse = Floats(s.t)
        run(.attention([y.raw, lse.raw, q.raw, k.raw, v.raw], s.arguments(0.25, bf16: true)))
        expectClose(y.values, want.y, 5e-3, isa)
        expectClose(lse.values, want.lse, 1e-6, isa)
      }
    }
  }
}
