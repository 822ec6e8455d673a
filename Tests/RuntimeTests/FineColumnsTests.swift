// SPDX-License-Identifier: Apache-2.0
// The columns that keep more bits, and one sweep over two grids.

import IR
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct FineColumnsTests {
    @Test func theGroupOfLargestInputsTimesWeightsWins() {
      // Groups of two: sums 1 + 1, 2 * 3 + 2, 9; the last column stands alone.
      let weights: [Float] = [1, -1, 3, 1, 9, 0, 100]
      weights.withUnsafeBufferPointer {
        let fine = FineColumns(of: $0, rows: 1, rms: [1, 1, 2, 2, 1, 1, 1], width: 2)
        #expect(fine?.columns == 4..<6 && fine?.score == 9)
        #expect(FineColumns(of: $0, rows: 1, rms: [1, 1, 2, 2, 1, 1, 1], width: 8) == nil)
        let equal = FineColumns(of: $0, rows: 7, rms: [0], width: 1)
        #expect(equal?.columns == 0..<1)
      }
      #expect(FineColumns.rms(diagonal: [8, 0], count: 2) == [2, 0])
    }

    @Test func bothGridsAreTheReferences() throws {
      let sample = GPTQTests.Case(rows: 6, columns: 40, samples: 70, dead: [3], seed: 8)
      let (coarse, fine) = (
        Quantizer(bits: 3, clip: .sdclip(3)), Quantizer(bits: 8, clip: .sdclip(6))
      )
      let rms = FineColumns.rms(
        diagonal: (0..<40).map { sample.hessian[$0 * 40 + $0] }, count: 70)
      let gptq = try GPTQ(hessian: sample.hessian, columns: 40, threads: 2)
      let found = try sample.weights.withUnsafeBufferPointer {
        let columns = try #require(FineColumns(of: $0, rows: 6, rms: rms, width: 8))
        return gptq.quantise($0, rows: 6, coarse, fine: columns, fine, threads: 2)
      }
      let weights = sample.weights.map(Double.init).rows(of: 40)
      let rules = [coarse, fine].map { ReferenceQuantizer($0) }
      let scales = rules.map { rule in weights.map { rule.scale(of: $0) } }
      let want = ReferenceGPTQ(hessian: sample.hessian.rows(of: 40)).codes(weights) { column in
        let second = found.fine.columns.contains(column) ? 1 : 0
        return (rules[second], scales[second])
      }
      #expect(found.codes.codes.map { Int($0) } == want.flatMap { $0 })
      let values = want.enumerated().flatMap { row, codes in
        codes.enumerated().map { column, code in
          Float(Double(code) * scales[found.fine.columns.contains(column) ? 1 : 0][row].stored)
        }
      }
      #expect(found.values == values)
    }
  }
}
