// SPDX-License-Identifier: Apache-2.0
// Row programs: every instruction with every shape of operand, sums over tiles, aliasing.
import CKernels
import Testing

/// A program under construction; registers are numbered in the order they are added.
struct Program {
  var value = row_program()

  mutating func register(
    _ shape: row_shape, _ buffer: Int = -1, period: Int = 0, isBF16: Bool = false,
    positions: Int = 0, dims: Int = 0
  ) -> Int32 {
    let index = value.registers
    withUnsafeMutableBytes(of: &value.reg) {
      $0.bindMemory(to: row_register.self)[Int(index)] = row_register(
        shape: Int32(shape.rawValue), buffer: Int32(buffer), period: Int32(period),
        bf16: isBF16 ? 1 : 0, positions: Int32(positions), dims: Int32(dims))
    }
    value.registers += 1
    return index
  }

  mutating func add(
    _ op: row_op, _ dst: Int32, _ a: Int32, _ b: Int32 = 0, _ immediate: Float = 0, c: Int32 = 0
  ) {
    let index = Int(value.instructions)
    withUnsafeMutableBytes(of: &value.code) {
      $0.bindMemory(to: row_instruction.self)[index] = row_instruction(
        op: Int32(op.rawValue), dst: dst, a: a, b: b, c: c, immediate: immediate)
    }
    value.instructions += 1
  }

  /// Small tiles, so that small matrices have several.
  static func rowsPerTile(_ width: Int) -> Int { max(1, 64 / width) }

  func run(_ buffers: [UnsafeMutableRawPointer?], rows: Int, width: Int, threads: Int = 2) {
    withUnsafePointer(to: value) {
      runCalls(
        [.rows(buffers, rows: rows, width: width, tileRows: Self.rowsPerTile(width), program: $0)],
        threads: threads)
    }
  }
}

extension KernelTests {
  @Suite struct RowPrograms {
    static let sizes = [
      (1, 1), (3, 7), (70, 1), (65, 16), (300, 33), (130, 64), (5, 1000), (40, 513),
    ]

    static var binary: [(row_op, (Double, Double) -> Double)] {
      [
        (ROW_ADD, { $0 + $1 }), (ROW_SUB, { $0 - $1 }), (ROW_MUL, { $0 * $1 }),
        (ROW_LEAKY_RELU_BACKWARD, { $1 > 0 ? $0 : 0.5 * $0 }),
        (ROW_SOFTCAP_BACKWARD, { $0 * (1 - ($1 / 0.5) * ($1 / 0.5)) }),
        (ROW_SQUARED_LEAKY_RELU_BACKWARD, { $0 * $1 * ($1 > 0 ? 2 : 0.5) }),
        // The third operand is the second one here.
        (ROW_MULTIPLY_ADD, { $0 * $1 + $1 }),
      ]
    }
    static var unary: [(row_op, (Double) -> Double)] {
      [
        (ROW_COPY, { $0 }), (ROW_SCALE, { $0 * 0.5 }), (ROW_OFFSET, { $0 + 0.5 }),
        (ROW_SQUARE, { $0 * $0 }), (ROW_SIGMOID, { 1 / (1 + exp64(-$0)) }),
        (ROW_TANH, { tanh64($0) }), (ROW_LEAKY_RELU, { $0 > 0 ? $0 : 0.5 * $0 }),
        (ROW_SOFTCAP, { 0.5 * tanh64($0 / 0.5) }),
        (ROW_SQUARED_LEAKY_RELU, { $0 > 0 ? $0 * $0 : 0.25 * $0 * $0 }),
      ]
    }

    // The operations round a few times each: 2e-6 of the largest value is a dozen half ulps.
    @Test(arguments: sizes) func elementwiseOperationsBroadcast(rows: Int, width: Int) {
      let period = 5
      let operands: [(row_shape, Floats)] = [
        (ROW_FULL, Floats(noise(rows * width, 1))), (ROW_VECTOR, Floats(noise(width, 2))),
        (ROW_SCALAR, Floats(noise(rows, 3))), (ROW_PERIODIC, Floats(noise(period, 4))),
        (ROW_CONSTANT, Floats(noise(1, 5))),
      ]
      func at(_ operand: (row_shape, Floats), _ r: Int, _ c: Int) -> Double {
        switch operand.0 {
        case ROW_FULL: operand.1[r * width + c]
        case ROW_VECTOR: operand.1[c]
        case ROW_SCALAR: operand.1[r]
        case ROW_PERIODIC: operand.1[r % period]
        default: operand.1[0]
        }
      }
      func check(
        _ op: row_op, _ a: (row_shape, Floats), _ b: (row_shape, Floats), _ isa: String,
        _ f: (Double, Double) -> Double
      ) {
        let out = Floats(rows * width)
        var program = Program()
        let d = program.register(ROW_FULL, 0)
        let x = program.register(a.0, 1, period: period)
        let y = program.register(b.0, 2, period: period)
        let t = program.register(ROW_FULL)
        program.add(op, t, x, y, 0.5, c: y)
        program.add(ROW_COPY, d, t)
        program.run([out.raw, a.1.raw, b.1.raw], rows: rows, width: width)
        let want = (0..<(rows * width)).map { i in
          f(at(a, i / width, i % width), at(b, i / width, i % width))
        }
        expectClose(out.values, want, 2e-6, "\(isa) op \(op.rawValue), \(a.0), \(b.0)")
      }
      forEachISA { isa in
        for a in operands {
          for (op, f) in Self.unary { check(op, a, a, isa) { x, _ in f(x) } }
          for b in operands {
            for (op, f) in Self.binary { check(op, a, b, isa, f) }
          }
        }
      }
    }

    @Test(arguments: sizes) func rowReductionsAndPartialSums(rows: Int, width: Int) {
      let period = 3
      let x = Floats(noise(rows * width, 1))
      let y = Floats(noise(rows * width, 2))
      let step = Program.rowsPerTile(width)
      let tiles = (rows + step - 1) / step
      forEachISA { isa in
        var first: [[UInt32]] = []
        for threads in [1, 2, 3] {
          let dot = Floats(rows)
          let columns = Floats(tiles * width)
          let products = Floats(tiles * width)
          let all = Floats(tiles)
          let periodic = Floats(tiles * period)
          let sums = [Floats(width), Floats(1), Floats(period), Floats(width)]
          var p = Program()
          let rx = p.register(ROW_FULL, 0)
          let ry = p.register(ROW_FULL, 1)
          let rd = p.register(ROW_SCALAR, 2)
          let rc = p.register(ROW_FULL, 3)
          let ra = p.register(ROW_CONSTANT, 4)
          let rp = p.register(ROW_PERIODIC, 5, period: period)
          let rq = p.register(ROW_VECTOR, 6)
          p.add(ROW_DOT, rd, rx, ry)
          p.add(ROW_SUM_COLUMNS_PRODUCT, rq, rx, ry)
          p.add(ROW_SUM_COLUMNS, rc, rx)
          p.add(ROW_SUM_ALL, ra, ry)
          p.add(ROW_SUM_PERIODIC, rp, rd)
          p.run(
            [x.raw, y.raw, dot.raw, columns.raw, all.raw, periodic.raw, products.raw], rows: rows,
            width: width, threads: threads)
          for (sum, part) in zip(sums, [columns, all, periodic, products]) {
            run(
              .sumPartials([sum.raw, part.raw], n: sum.count, parts: tiles), threads: threads)
          }
          let dots = (0..<rows).map { r in
            (0..<width).reduce(0) { $0 + x[r * width + $1] * y[r * width + $1] }
          }
          var column = [Double](repeating: 0, count: width)
          var product = [Double](repeating: 0, count: width)
          var total = 0.0
          var byPeriod = [Double](repeating: 0, count: period)
          for r in 0..<rows {
            byPeriod[r % period] += dots[r]
            for c in 0..<width {
              column[c] += x[r * width + c]
              product[c] += x[r * width + c] * y[r * width + c]
              total += y[r * width + c]
            }
          }
          // Sums of terms of both signs: errors are relative to the terms, not to the result.
          expectClose(dot.values, dots, 1e-5, "\(isa) dot")
          expectClose(sums[0].values, column, 1e-5, "\(isa) columns")
          expectClose(sums[2].values, byPeriod, 1e-4, "\(isa) periodic")
          expectClose(sums[3].values, product, 1e-5, "\(isa) columns of products")
          #expect(abs(sums[1][0] - total) < 1e-6 * Double(rows * width), "\(isa) all")
          let bits = [dot.bits] + sums.map(\.bits)
          if first.isEmpty { first = bits }
          #expect(first == bits, "\(isa) \(threads) threads")
        }
      }
    }

    @Test func scalarsAndVectorsAsDestinations() {
      let rows = 50
      let width = 33
      let s = Floats(noise(rows, 1))
      let p = Floats(noise(4, 2))
      let c = Floats(noise(1, 3))
      let v = Floats(noise(width, 4))
      forEachISA { isa in
        let outS = Floats(rows)
        let outV = Floats(width)
        var program = Program()
        let rs = program.register(ROW_SCALAR, 0)
        let rp = program.register(ROW_PERIODIC, 1, period: 4)
        let rc = program.register(ROW_CONSTANT, 2)
        let rv = program.register(ROW_VECTOR, 3)
        let ds = program.register(ROW_SCALAR, 4)
        let dv = program.register(ROW_VECTOR, 5)
        let t = program.register(ROW_SCALAR)
        let k = program.register(ROW_CONSTANT)
        program.add(ROW_SQUARE, k, rc)
        program.add(ROW_MUL, t, rs, rp)
        program.add(ROW_ADD, ds, t, k)
        program.add(ROW_MUL, dv, rv, k)
        program.run([s.raw, p.raw, c.raw, v.raw, outS.raw, outV.raw], rows: rows, width: width)
        expectClose(outS.values, (0..<rows).map { s[$0] * p[$0 % 4] + c[0] * c[0] }, 1e-6, isa)
        expectClose(outV.values, (0..<width).map { v[$0] * c[0] * c[0] }, 1e-6, isa)
      }
    }

    /// A norm with gain written over its input, and the same rows alone: equal bits.
    @Test func outputsMayBeInputsAndRowsAreIndependent() {
      let rows = 517
      let width = 97
      let x = noise(rows * width, 1)
      let gain = Floats(noise(width, 2))
      var p = Program()
      let rx = p.register(ROW_FULL, 0)
      let rg = p.register(ROW_VECTOR, 1)
      let ro = p.register(ROW_FULL, 2)
      let t = p.register(ROW_FULL)
      p.add(ROW_RMS_NORM, t, rx, 0, 1e-6)
      p.add(ROW_MUL, ro, t, rg)
      forEachISA { isa in
        let separate = Floats(rows * width)
        let input = Floats(x)
        let same = Floats(x)
        p.run([input.raw, gain.raw, separate.raw], rows: rows, width: width, threads: 3)
        p.run([same.raw, gain.raw, same.raw], rows: rows, width: width, threads: 1)
        #expect(separate.bits == same.bits, "\(isa)")
        let alone = Floats(Array(x[(100 * width)..<(101 * width)]))
        p.run([alone.raw, gain.raw, alone.raw], rows: 1, width: width)
        #expect(alone.bits == Array(same.bits[(100 * width)..<(101 * width)]), "\(isa)")
      }
    }

    /// rows x width of heads: 2 batches of 7 positions of 5 heads, at widths with code of their own too.
    static let heads = [1, 7, 16, 32, 33, 64, 128, 200, 513]

    @Test(arguments: heads) func normsAndTheirGradients(width: Int) {
      let rows = 70
      let epsilon = Double(Float(1e-3))
      let (x, dy) = (Floats(noise(rows * width, 1)), Floats(noise(rows * width, 2)))
      let more = Floats(noise(rows * width, 3))
      var norm: [Double] = []
      var gradient: [Double] = []
      for r in 0..<rows {
        let row = (r * width)..<((r + 1) * width)
        let squares = row.reduce(0) { $0 + x[$1] * x[$1] }
        let dot = row.reduce(0) { $0 + x[$1] * dy[$1] }
        let inverse = 1 / (squares / Double(width) + epsilon).squareRoot()
        norm += row.map { x[$0] * inverse }
        let factor = inverse * inverse * inverse * dot / Double(width)
        gradient += row.map { inverse * dy[$0] - x[$0] * factor }
      }
      var p = Program()
      let rx = p.register(ROW_FULL, 0)
      let rdy = p.register(ROW_FULL, 1)
      let rmore = p.register(ROW_FULL, 2)
      let results = (3..<6).map { p.register(ROW_FULL, $0) }
      p.add(ROW_RMS_NORM, results[0], rx, 0, 1e-3)
      p.add(ROW_RMS_NORM_BACKWARD, results[1], rdy, rx, 1e-3)
      p.add(ROW_RMS_NORM_BACKWARD_ADD, results[2], rdy, rx, 1e-3, c: rmore)
      forEachISA { isa in
        var first: [[UInt32]] = []
        for threads in 1...3 {
          let out = (0..<3).map { _ in Floats(rows * width) }
          p.run(
            [x.raw, dy.raw, more.raw] + out.map(\.raw), rows: rows, width: width,
            threads: threads)
          expectClose(out[0].values, norm, 2e-6, "\(isa) norm")
          expectClose(out[1].values, gradient, 5e-6, "\(isa) gradient")
          let added = gradient.indices.map { gradient[$0] + more[$0] }
          expectClose(out[2].values, added, 5e-6, "\(isa) gradient and more")
          if first.isEmpty { first = out.map(\.bits) }
          #expect(first == out.map(\.bits), "\(isa) \(threads) threads")
        }
      }
    }

    @Test(arguments: [(20, 14), (16, 16), (32, 32), (64, 64), (64, 16), (96, 66), (128, 128)])
    func ropeTurnsHalvesAndBack(width: Int, dims: Int) {
      let (batch, positions, heads, half) = (2, 7, 5, dims / 2)
      let rows = batch * positions * heads
      let x = Floats(noise(rows * width, 1))
      let table = Floats(noise(positions * dims, 2))
      func turned(_ x: [Double], _ sign: Double) -> [Double] {
        var out = x
        for r in 0..<rows {
          let p = r / heads % positions
          for i in 0..<half {
            let (u, w) = (x[r * width + i], x[r * width + half + i])
            let (c, s) = (table[p * dims + i], sign * table[p * dims + half + i])
            out[r * width + i] = u * c + w * s
            out[r * width + half + i] = w * c - u * s
          }
        }
        return out
      }
      let input = x.values.map(Double.init)
      var p = Program()
      let rx = p.register(ROW_FULL, 0)
      let rt = p.register(ROW_TABLE, 1, period: heads, positions: positions, dims: dims)
      let results = [2, 3].map { p.register(ROW_FULL, $0) }
      let t = p.register(ROW_FULL)
      p.add(ROW_ROPE, results[0], rx, rt)
      p.add(ROW_COPY, t, rx)
      p.add(ROW_ROPE_INVERSE, t, t, rt)
      p.add(ROW_COPY, results[1], t)
      forEachISA { isa in
        for threads in 1...3 {
          let out = [Floats(rows * width), Floats(rows * width)]
          p.run(
            [x.raw, table.raw] + out.map(\.raw), rows: rows, width: width, threads: threads)
          expectClose(out[0].values, turned(input, 1), 3e-7, "\(isa) turned")
          expectClose(out[1].values, turned(input, -1), 3e-7, "\(isa) turned back")
        }
      }
    }

    /// What is read from bf16 is exact, what is written is the f32 result rounded.
    @Test(arguments: heads) func buffersMayHoldBFloats(width: Int) {
      let (rows, positions, heads) = (70, 7, 5)
      let dims = max(width / 2 * 2, 2)
      let table = Floats(noise(positions * max(dims, 2), 4))
      let operations: [(row_op, row_shape)] = [
        (ROW_COPY, ROW_FULL), (ROW_ADD, ROW_FULL), (ROW_MUL, ROW_SCALAR),
        (ROW_MULTIPLY_ADD, ROW_VECTOR), (ROW_SQUARED_LEAKY_RELU, ROW_FULL),
        (ROW_SQUARED_LEAKY_RELU_BACKWARD, ROW_FULL), (ROW_RMS_NORM, ROW_FULL),
        (ROW_RMS_NORM_BACKWARD, ROW_FULL), (ROW_RMS_NORM_BACKWARD_ADD, ROW_FULL),
        (ROW_ROPE, ROW_TABLE), (ROW_ROPE_INVERSE, ROW_TABLE),
      ].filter { $0.1 != ROW_TABLE || width > 1 }
      for (op, shape) in operations {
        let x = BFloats(noise(rows * width, 1))
        let isFull = shape == ROW_FULL
        let second =
          shape == ROW_TABLE ? table : Floats(isFull ? x.values : noise(max(rows, width), 2))
        func program(bf16: Bool) -> Program {
          var p = Program()
          let a = p.register(ROW_FULL, 0, isBF16: bf16)
          let b = p.register(
            shape, 1, period: heads, isBF16: bf16 && isFull, positions: positions, dims: dims)
          let d = p.register(ROW_FULL, 2, isBF16: bf16)
          p.add(op, d, a, b, 0.5, c: a)
          return p
        }
        forEachISA { isa in
          let wide = Floats(x.values)
          let out = Floats(rows * width)
          let stored = BFloats(rows * width)
          program(bf16: false).run([wide.raw, second.raw, out.raw], rows: rows, width: width)
          program(bf16: true).run(
            [x.raw, isFull ? x.raw : second.raw, stored.raw], rows: rows, width: width)
          #expect(stored.bits == out.values.map(bfloat16), "\(isa) op \(op.rawValue)")
        }
      }
    }

    @Test(arguments: heads) func sumsReadBFloats(width: Int) {
      let rows = 70
      let (x, y) = (BFloats(noise(rows * width, 1)), BFloats(noise(rows * width, 2)))
      let tiles = (rows + Program.rowsPerTile(width) - 1) / Program.rowsPerTile(width)
      func sums(bf16: Bool) -> [[UInt32]] {
        let (a, b) = (Floats(x.values), Floats(y.values))
        let out = [Floats(tiles * width), Floats(tiles * width), Floats(tiles), Floats(rows)]
        var p = Program()
        let ra = p.register(ROW_FULL, 0, isBF16: bf16)
        let rb = p.register(ROW_FULL, 1, isBF16: bf16)
        p.add(ROW_SUM_COLUMNS, p.register(ROW_VECTOR, 2), ra)
        p.add(ROW_SUM_COLUMNS_PRODUCT, p.register(ROW_VECTOR, 3), ra, rb)
        p.add(ROW_SUM_ALL, p.register(ROW_CONSTANT, 4), ra)
        p.add(ROW_DOT, p.register(ROW_SCALAR, 5), ra, rb)
        p.run(
          (bf16 ? [x.raw, y.raw] : [a.raw, b.raw]) + out.map(\.raw), rows: rows, width: width)
        return out.map(\.bits)
      }
      forEachISA { isa in #expect(sums(bf16: true) == sums(bf16: false), "\(isa)") }
    }

    // The shared exp, tanh and logistic function over their whole range.
    @Test func transcendentalsAreAccurate() {
      let x = (0..<40_000).map { Float($0 - 20_000) * 0.0004 * 10 } + noise(4096, 3, scale: 1e-3)
      forEachISA { isa in
        let tanh = Floats(x.count)
        let sigmoid = Floats(x.count)
        let input = Floats(x)
        var p = Program()
        let rx = p.register(ROW_FULL, 0)
        let rt = p.register(ROW_FULL, 1)
        let rs = p.register(ROW_FULL, 2)
        p.add(ROW_TANH, rt, rx)
        p.add(ROW_SIGMOID, rs, rx)
        p.run([input.raw, tanh.raw, sigmoid.raw], rows: 1, width: x.count)
        var worst = (0.0, 0.0)
        for i in 0..<x.count where x[i] != 0 && abs(x[i]) < 80 {
          let t = tanh64(Double(x[i]))
          let s = 1 / (1 + exp64(-Double(x[i])))
          worst.0 = max(worst.0, abs(tanh[i] - t) / abs(t))
          worst.1 = max(worst.1, abs(sigmoid[i] - s) / s)
        }
        #expect(worst.0 < 4e-7 && worst.1 < 4e-7, "\(isa) \(worst)")
      }
    }
  }
}
