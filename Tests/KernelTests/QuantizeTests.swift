// SPDX-License-Identifier: Apache-2.0
// Scales, codes and the rounding of a training step, against the definitions in Double.
import CKernels
import Testing

extension KernelTests {
  @Suite struct Quantiser {
    static func clip(_ row: [Double], _ rule: Int, _ parameter: Double) -> Double {
      let size = row.map(abs).sorted()
      let n = row.count
      switch rule {
      case 1:
        let place = parameter * Double(n - 1)
        let low = Int(place)
        let above = size[min(low + 1, n - 1)]
        return size[low] + (place - Double(low)) * (above - size[low])
      case 2:
        let mean = row.reduce(0, +) / Double(n)
        let squares = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return n < 2 ? 0 : parameter * (squares / Double(n - 1)).squareRoot()
      default: return size.last!
      }
    }

    @Test(
      arguments: [(1, 1), (5, 7), (17, 97), (3, 2049)], [(0, 0.0), (1, 0.9), (1, 0.9999), (2, 3.0)])
    func scalesAndCodes(shape: (Int, Int), rule: (Int, Double)) {
      let (rows, cols) = shape
      var values = noise(rows * cols, 1)
      for c in 0..<cols { values[c] = 0.25 }  // a constant row: no deviation, no division by zero
      let w = Floats(values)
      for (qmin, qmax, floor) in [(-31, 31, 1e-10), (-127, 127, 1.0 / 127), (-32, 31, 1e-12)] {
        let clips = (0..<rows).map { r in
          Self.clip((0..<cols).map { w[r * cols + $0] }, rule.0, rule.1)
        }
        let exact = clips.map { max($0 / Double(qmax), floor) }
        let halves = exact.map { Float(Float16($0)) }
        forEachISA { isa in
          let scale = Floats(rows)
          let full = Floats(rows)
          let limit = Floats(rows)
          let tiled = Floats(rows)
          var arguments = quant_scale_args(
            rows: Int64(rows), columns: Int64(cols), clip: Int32(rule.0), qmax: Int32(qmax),
            rule.1, floor: floor)
          let work = Floats(cols)
          quantise_scales(
            scale.pointer, full.pointer, limit.pointer, w.pointer, &arguments, work.pointer)
          #expect(scale.values == halves, "\(isa) \(shape) rule \(rule)")
          expectClose(full.values, exact, 1e-7, isa)
          expectClose(limit.values, clips, 1e-7, isa)
          run(.quantScale([tiled.raw, w.raw], arguments))
          #expect(tiled.values == halves, "\(isa)")

          var codes = [Int8](repeating: 99, count: rows * cols)
          quantise_codes(
            &codes, w.pointer, scale.pointer, nil, Int64(rows), Int64(cols), Int32(qmin),
            Int32(qmax))
          let back = Floats(rows * cols)
          let fake = Floats(rows * cols)
          let alpha = Floats([1])
          quantise_dequantise(back.pointer, codes, scale.pointer, Int64(rows), Int64(cols))
          run(
            .fakeQuant(
              [fake.raw, w.raw, scale.raw, alpha.raw],
              .init(
                rows: Int64(rows), columns: Int64(cols), qmin: Int32(qmin), qmax: Int32(qmax),
                rounding: 0)
            ))
          #expect(fake.values == back.values, "\(isa): training rounds as export does")
          for i in codes.indices {
            let s = halves[i / cols]
            let code = s == 0 ? 0 : (values[i] / s).rounded(.toNearestOrEven)
            #expect(Float(codes[i]) == min(max(code, Float(qmin)), Float(qmax)), "\(isa) \(i)")
          }
        }
      }
    }

    /// Clips of which each wins somewhere, with codes from the scale before and after rounding.
    @Test(arguments: [7, 97, 512], [0, 1]) func searchLeavesTheLeastError(
      cols: Int, unrounded: Int32
    ) {
      let quantiles = [0.8, 0.95, 1.0, 0.5]
      let (rows, qmax) = (24, 7)
      var values = noise(rows * cols, 5)
      for r in 0..<rows {
        // Heavier tails from row to row.
        for c in 0..<cols { values[r * cols + c] *= r % 3 == 0 ? 1 : Float(1 + c % (r + 2)) }
      }
      for c in 0..<cols { values[c] = 0 }
      let w = Floats(values)
      func error(_ row: [Double], _ limit: Double) -> Double {
        let exact = max(limit / Double(qmax), 1e-10)
        let stored = Double(Float16(exact))
        return row.reduce(0) { sum, x in
          let clipped = unrounded == 1 ? min(max(x, -limit), limit) : x
          let step = unrounded == 1 ? exact : stored
          let code = step > 0 ? (clipped / step).rounded(.toNearestOrEven) : 0
          let d = x - min(max(code, Double(-qmax)), Double(qmax)) * stored
          return sum + d * d
        }
      }
      var wins = Set<Int>()
      let clips = (0..<rows).map { r in
        let row = (0..<cols).map { w[r * cols + $0] }
        let limits = quantiles.map { Self.clip(row, 1, $0) }
        let errors = limits.map { error(row, $0) }
        let best = errors.firstIndex(of: errors.min()!)!
        wins.insert(best)
        return limits[best]
      }
      #expect(wins.count >= 2)
      var bits: [UInt32]?
      forEachISA { isa in
        let limit = Floats(rows)
        let work = Floats(cols)
        var arguments = quant_scale_args(
          rows: Int64(rows), columns: Int64(cols), clip: 3, qmax: Int32(qmax), quantiles[0],
          floor: 1e-10)
        arguments.unrounded = unrounded
        arguments.parameters = 4
        (arguments.parameter_1, arguments.parameter_2, arguments.parameter_3) = (
          quantiles[1], quantiles[2], quantiles[3]
        )
        quantise_scales(nil, nil, limit.pointer, w.pointer, &arguments, work.pointer)
        expectClose(limit.values, clips, 1e-6, isa)
        #expect(bits == nil || bits == limit.bits, "\(isa)")
        bits = limit.bits
      }
    }

    @Test func codesAfterClippingValues() {
      let w = Floats([-3, -1, 0.2, 1, 3])
      let scale = Floats([0.01])
      let clip = Floats([0.5])
      var codes = [Int8](repeating: 0, count: 5)
      quantise_codes(&codes, w.pointer, scale.pointer, clip.pointer, 1, 5, -127, 127)
      #expect(codes == [-50, -50, 20, 50, 50])
    }

    /// Every half, and the midpoints between neighbours, which go to the even one.
    @Test func halfPrecision() {
      for bits in UInt16(0)..<0x7C00 {
        let x = Float16(bitPattern: bits)
        #expect(quantise_half(Double(x)) == bits && quantise_from_half(bits) == Float(x))
        let middle = bits == 0x7BFF ? 65_520 : (Double(x) + Double(x.nextUp)) / 2
        #expect(quantise_half(middle) == Float16(middle).bitPattern)
        #expect(quantise_half(-middle.nextDown) == Float16(-middle.nextDown).bitPattern)
      }
      #expect(quantise_from_half(0xFC00) == -.infinity && quantise_from_half(0x7E00).isNaN)
    }

    // f32: the fraction of w/scale has an error of about 4e-6, which alpha multiplies.
    @Test(arguments: [0.0, 0.01, 1, 4, 16], [1, 2]) func softRounding(alpha: Double, mode: Int) {
      let (rows, cols, qmax) = (9, 67, 31)
      let w = Floats(noise(rows * cols, 1))
      let dy = Floats(noise(rows * cols, 2))
      let scale = Floats((0..<rows).map { 0.02 + 0.003 * Float($0) })
      let a = Floats([Float(alpha)])
      var want: [Double] = []
      var slopes: [Double] = []
      for i in 0..<w.count {
        let s = scale[i / cols]
        let y = w[i] / s
        let whole = y.rounded(.down)
        let r = y - whole - 0.5
        let al = a[0]
        let t = tanh64(al * r)
        let sigma = 1 / (1 + exp64(-al * r))
        let half = tanh64(al / 2)
        let value = mode == 1 ? whole + 0.5 + 0.5 * t / half : whole + sigma
        let slope = mode == 1 ? 0.5 * al * (1 - t * t) / half : al * sigma * (1 - sigma)
        let clamped = abs(value) > Double(qmax)
        want.append(al <= 0 ? w[i] : s * min(max(value, -Double(qmax)), Double(qmax)))
        slopes.append(al <= 0 ? dy[i] : clamped ? 0 : slope * dy[i])
      }
      forEachISA { isa in
        let out = Floats(w.count)
        let dw = Floats(w.count)
        let arguments = fake_quant_args(
          rows: Int64(rows), columns: Int64(cols), qmin: -31, qmax: Int32(qmax),
          rounding: Int32(mode))
        run(.fakeQuant([out.raw, w.raw, scale.raw, a.raw], arguments))
        run(.fakeQuantBackward([dw.raw, dy.raw, w.raw, scale.raw, a.raw], arguments))
        expectClose(out.values, want, 2e-6, "\(isa) alpha \(alpha)")
        expectClose(dw.values, slopes, 1e-5, "\(isa) alpha \(alpha)")
      }
    }
  }
}

extension quant_scale_args {
  /// A symmetric quantiser whose clip takes one number at most.
  fileprivate init(
    rows: Int64, columns: Int64, clip: Int32, qmax: Int32, _ parameter: Double, floor: Double
  ) {
    self.init()
    (self.rows, self.columns, self.clip, self.floor) = (rows, columns, clip, floor)
    (qmin, self.qmax, parameters, parameter_0) = (-qmax, qmax, 1, parameter)
  }
}
