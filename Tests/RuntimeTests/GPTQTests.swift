// SPDX-License-Identifier: Apache-2.0
// GPTQ against values that were computed elsewhere, and against the reference for all forms.

import CKernels
import IR
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct GPTQTests {
    /// Inputs, weights and what the fixture expects of them.
    struct Case {
      let (rows, columns): (Int, Int)
      let weights: [Float]
      let hessian: [Double]

      init(rows: Int, columns: Int, weights: [Double], inputs: [Double]) {
        (self.rows, self.columns) = (rows, columns)
        self.weights = weights.map { Float($0) }
        hessian = ReferenceGPTQ.gram(inputs.rows(of: columns)).flatMap { $0 }
      }

      /// Weights and correlated inputs by a seed; dead columns see no input.
      init(rows: Int, columns: Int, samples: Int, dead: Set<Int> = [], seed: UInt64) {
        var random = TestRandom(seed: seed)
        let weights = (0..<rows * columns).map { _ in random.uniform() - 0.5 }
        var inputs: [Double] = []
        for _ in 0..<samples {
          var last = 0.0
          for column in 0..<columns {
            last = 0.7 * last + random.uniform() - 0.5
            inputs.append(dead.contains(column) ? 0 : last * Double(1 + column % 5))
          }
        }
        self.init(rows: rows, columns: columns, weights: weights, inputs: inputs)
      }

      func codes(_ quantizer: Quantizer, threads: Int = 2) throws -> RowCodes {
        let gptq = try GPTQ(hessian: hessian, columns: columns, threads: threads)
        return weights.withUnsafeBufferPointer {
          gptq.quantise($0, rows: rows, quantizer, threads: threads)
        }
      }

      /// (w - ŵ) H (w - ŵ)ᵀ, summed over rows.
      func outputError(_ values: [Float]) -> Double {
        let errors = zip(weights, values).map { Double($0) - Double($1) }
        return errors.rows(of: columns).reduce(0) { sum, e in
          let rows = hessian.rows(of: columns)
          return sum
            + zip(e, rows).reduce(0) { $0 + $1.0 * zip($1.1, e).reduce(0) { $0 + $1.0 * $1.1 } }
        }
      }
    }

    @Test func codesEqualTheReferenceValues() throws {
      let fixture = try ReferenceFixture("gptq-small")
      let given = try fixture.tensors("tensors")
      let expected = try fixture.tensors("expected")
      func numbers(_ name: String) throws -> [Double] {
        let tensor = try #require(expected[name], "\(name)")
        return name.hasSuffix("codes") || name == "order"
          ? try tensor.int32s().map(Double.init) : try tensor.doubles()
      }
      let (wantedCodes, wantedScales) = (try numbers("codes"), try numbers("scale"))
      let (wantedOrder, wantedValues) = (try numbers("order"), try numbers("dequantised"))
      let wantedRounding = try numbers("rounding.codes")
      let (rows, columns) = (fixture.int("rows"), fixture.int("cols"))
      let sample = Case(
        rows: rows, columns: columns, weights: try #require(given["weight"]).doubles(),
        inputs: try #require(given["inputs"]).doubles())
      let quantizer = Quantizer(bits: 6, clip: .sdclip(fixture.double("clip", "sdclip")))
      try Route.withEach { route in
        for threads in 1...3 {
          let found = try sample.codes(quantizer, threads: threads)
          #expect(found.codes.map(Double.init) == wantedCodes, "\(route), \(threads)")
          #expect(found.scales.stored.map(Double.init) == wantedScales, "\(route)")
        }
      }
      let gptq = try GPTQ(hessian: sample.hessian, columns: columns, threads: 2)
      #expect(gptq.order.map(Double.init) == wantedOrder)
      let found = try sample.codes(quantizer)
      #expect(relativeDifference(found.values.map(Double.init), wantedValues) < 1e-6)
      let mean = Double(fixture.int("samples") * rows)
      let error = sample.outputError(found.values) / mean
      #expect(abs(error / fixture.double("output_error", "gptq") - 1) < 1e-6)
      let rounding = sample.weights.withUnsafeBufferPointer {
        RowCodes(rounding: $0, quantizer.scales(of: $0, rows: rows), quantizer)
      }
      #expect(rounding.codes.map(Double.init) == wantedRounding)
    }

    static let forms: [Quantizer] = [
      Quantizer(bits: 2, clip: .max, isAsymmetric: true), Quantizer(bits: 3, clip: .max),
      Quantizer(bits: 4, clip: .search([0.9, 0.97, 1])), Quantizer(bits: 5, clip: .quantile(0.98)),
      Quantizer(bits: 6, clip: .sdclip(4)), Quantizer(bits: 6, clip: .max, floor: 1.0 / 31),
      Quantizer(bits: 7, clip: .sdclip(3), codesFromUnrounded: true),
      Quantizer(bits: 8, clip: .quantile(0.9), codesFromUnrounded: true),
    ]

    @Test(arguments: forms) func everyFormEqualsTheReference(_ quantizer: Quantizer) throws {
      for sample in [
        Case(rows: 5, columns: 37, samples: 60, dead: [0, 20], seed: 1),
        Case(rows: 1, columns: 150, samples: 90, dead: [149], seed: 2),
        Case(rows: 70, columns: 9, samples: 4, seed: 3),
        Case(rows: 2, columns: 1, samples: 1, seed: 4),
      ] {
        let reference = ReferenceGPTQ(hessian: sample.hessian.rows(of: sample.columns))
        let want = reference.codes(
          sample.weights.map(Double.init).rows(of: sample.columns), quantizer)
        let found = try sample.codes(quantizer)
        #expect(found.codes.map { Int($0) } == want.flatMap { $0 }, "\(quantizer)")
        #expect(
          found.scales
            == sample.weights.withUnsafeBufferPointer {
              quantizer.scales(of: $0, rows: sample.rows)
            })
      }
    }

    @Test func outputsSufferLessThanFromRounding() throws {
      let sample = Case(rows: 24, columns: 96, samples: 300, seed: 5)
      let quantizer = Quantizer(bits: 4, clip: .max)
      let rounded = sample.weights.withUnsafeBufferPointer {
        RowCodes(rounding: $0, quantizer.scales(of: $0, rows: 24), quantizer)
      }
      let error = sample.outputError(try sample.codes(quantizer).values)
      #expect(error < 0.6 * sample.outputError(rounded.values))
    }

    @Test func momentsOfNothingRoundToNearest() throws {
      let quantizer = Quantizer(bits: 5, clip: .max)
      let weights: [Float] = [0.1, -0.7, 0.33, 1, 0.5, -0.25]
      let identity: [Float] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
      let gptq = try GPTQ(hessian: identity, columns: 3, threads: 1)
      weights.withUnsafeBufferPointer {
        let rounded = RowCodes(rounding: $0, quantizer.scales(of: $0, rows: 2), quantizer)
        #expect(gptq.quantise($0, rows: 2, quantizer, threads: 1) == rounded)
      }
    }

    @Test(arguments: [[Double.nan, 0, 0, 1], [1, 5, 5, 1], [.infinity, 0, 0, 1], [-1, 0, 0, 1]])
    func momentsThatAreNoneAreRefused(_ hessian: [Double]) {
      #expect(throws: NumericFailure.self) {
        try GPTQ(hessian: hessian, columns: 2, threads: 1)
      }
    }
  }
}

extension [Double] {
  /// Cut into rows of so many.
  func rows(of columns: Int) -> [[Double]] {
    stride(from: 0, to: count, by: Swift.max(columns, 1)).map {
      Array(self[$0..<Swift.min(count, $0 + columns)])
    }
  }
}
