// SPDX-License-Identifier: Apache-2.0
// LQER's factors against full diagonalisation, and their codes against numbers by hand.

import CKernels
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct LowRankCorrectionTests {
    static func noise(_ count: Int, _ seed: UInt64) -> [Double] {
      var random = TestRandom(seed: seed)
      return (0..<count).map { _ in random.uniform() - 0.5 }
    }

    @Test(arguments: [(30, 20), (20, 30), (3, 40), (1, 1), (65, 3)])
    func keepsTheLargestSingularValues(rows: Int, columns: Int) {
      let error = Self.noise(rows * columns, 1)
      let part = SingularPart(error, rows: rows, columns: columns, rank: 4, threads: 2)
      let rank = min(4, rows, columns)
      #expect(part.rank == rank)
      // What is left has the remaining eigenvalues of EᵀE as its square sum.
      var gram = SymmetricMatrix(columns)
      for i in 0..<columns {
        for j in 0..<columns {
          gram.values[i * columns + j] = (0..<rows).reduce(0) {
            $0 + error[$1 * columns + i] * error[$1 * columns + j]
          }
        }
      }
      _ = gram.diagonalise()
      let values = (0..<columns).map { gram.values[$0 * columns + $0] }.sorted(by: >)
      var left = 0.0
      for row in 0..<rows {
        for column in 0..<columns {
          let kept = (0..<rank).reduce(0) {
            $0 + part.left[row * rank + $1] * part.right[$1 * columns + column]
          }
          left += (error[row * columns + column] - kept) * (error[row * columns + column] - kept)
        }
      }
      let sum = values.reduce(0, +)
      #expect(abs(left - values.dropFirst(rank).reduce(0, +)) < 1e-10 * sum)
      for k in 0..<rank {
        let vector = part.right[k * columns..<(k + 1) * columns]
        #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-9)
        let square = (0..<rows).reduce(0) {
          $0 + part.left[$1 * rank + k] * part.left[$1 * rank + k]
        }
        #expect(abs(square - values[k]) < 1e-9 * sum)
      }
    }

    @Test func bitsDependOnNeitherRouteNorThreads() {
      let error = Self.noise(40 * 150, 2)
      var first: LowRankCorrection?
      Route.withEach { route in
        for threads in 1...3 {
          let found = LowRankCorrection(error: error, rows: 40, columns: 150, threads: threads)
          #expect(first == nil || found == first, "\(route), \(threads) threads")
          first = found
        }
      }
    }

    @Test func matricesOfLowRankAreNoTrouble() {
      let zero = SingularPart(
        [Double](repeating: 0, count: 12), rows: 3, columns: 4, rank: 2, threads: 1)
      #expect(zero.left.allSatisfy { $0 == 0 } && zero.right.allSatisfy(\.isFinite))
      let one = SingularPart([1, 2, 2, 4], rows: 2, columns: 2, rank: 2, threads: 1)
      #expect(abs(one.left[0] * one.right[0] - 1) < 1e-12)
      #expect((one.left + one.right).allSatisfy { $0.isFinite })
    }

    @Test func factorsAreRoundedToTheirGrids() {
      let whole = LowRankCorrection.Factor(
        [3, -3, 1, -0.4], rows: 2, columns: 2, bits: 2, .whole)
      // Step 3 / 1.5.
      #expect(whole.codes == [1, -2, 0, 0] && whole.values == [2, -4, 0, 0])
      let groups = LowRankCorrection.Factor(
        [7.5, -7.5, 0.5, 15, 4, 0], rows: 1, columns: 6, bits: 4, .groups(3))
      #expect(groups.codes == [7, -8, 0, 7, 2, 0] && groups.scales.count == 2)
      let rows = LowRankCorrection.Factor([7, -3.5, 0, 14], rows: 2, columns: 2, bits: 4, .rows)
      #expect(rows.codes == [7, -4, 0, 7] && rows.values == [7, -4, 0, 14])
      #expect(
        LowRankCorrection.Factor([0, 0], rows: 1, columns: 2, bits: 4, .rows).values == [0, 0])
    }

    @Test func correctionsBringWeightsNearer() {
      let (rows, columns) = (64, 96)
      let along = Self.noise(rows, 3)
      let across = Self.noise(columns, 4)
      let small = Self.noise(rows * columns, 5)
      let error = (0..<rows * columns).map {
        along[$0 / columns] * across[$0 % columns] + 0.01 * small[$0]
      }
      let correction = LowRankCorrection(error: error, rows: rows, columns: columns, threads: 2)
      var added = [Float](repeating: 0, count: error.count)
      correction.add(to: &added)
      let before = error.reduce(0) { $0 + $1 * $1 }
      let after = zip(error, added).reduce(0) { $0 + ($1.0 - Double($1.1)) * ($1.0 - Double($1.1)) }
      #expect(after < 0.5 * before)
    }

    @Test func theWorstTensorsComeFirst() {
      #expect(LowRankCorrection.worst([[1], [3, 3], [2], [-2]], count: 3) == [1, 2, 3])
    }
  }
}
