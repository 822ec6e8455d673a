// SPDX-License-Identifier: Apache-2.0
// The sum of micro-batches: the same tree for equal numbers of parts, and nothing left of a step.

import Runtime
import Testing

@Suite struct GradientTreeTests {
  private func sums(_ parts: [[Float]], of tree: inout GradientTree) -> [[Float]] {
    for part in parts {
      var part = part
      part.withUnsafeMutableBufferPointer { buffer in
        let half = buffer.count / 2
        tree.add([
          UnsafeMutableBufferPointer(rebasing: buffer[..<half]),
          UnsafeMutableBufferPointer(rebasing: buffer[half...]),
        ])
      }
    }
    return tree.finish()
  }

  /// Around 1e8 a float has steps of 8: which partial sum an 1 joins decides whether it counts.
  @Test func partsAreSummedPairwise() {
    let (large, ones) = (Float(1e8), Float(4))
    let expected: [Float] = [
      large, large + ones, (large + ones) + ones, (large + ones) + (ones + ones),
      ones + ((large + ones) + (ones + ones)),
    ]
    for count in 1...5 {
      var tree = GradientTree()
      let parts = (0..<count).map { [$0 == 0 ? large : ones, Float($0)] }
      let found = sums(parts, of: &tree)
      #expect(found[0] == [expected[count - 1]], "\(count) parts")
      #expect(found[1] == [Float(count * (count - 1) / 2)])
    }
    #expect(expected[3] != expected[2] + ones, "the order must matter here")
  }

  @Test func aStepBeginsWithNothing() {
    var tree = GradientTree()
    #expect(tree.finish().isEmpty)
    let first = sums([[1, 2], [3, 4], [5, 6]], of: &tree)
    #expect(first == [[9], [12]])
    #expect(sums([[1, 2], [3, 4], [5, 6]], of: &tree) == first)
  }
}
