// SPDX-License-Identifier: Apache-2.0
// What goes first, and that no more goes.

import IR
import Runtime
import Testing

extension RuntimeTests {
  @Suite struct PruningTests {
    @Test func theSmallestWeightsGo() {
      var weights: [Float] = [0.5, -0.1, 0.1, 2, -0.1, 0]
      #expect(pruneSmallest(&weights, share: 0.5) == 0.1)
      #expect(weights == [0.5, 0, 0, 2, -0.1, 0])
      #expect(pruneSmallest(&weights, share: 0.1) == 0)
      #expect(weights == [0.5, 0, 0, 2, -0.1, 0])
    }

    @Test func unitsOfTheSmallestStepsGo() {
      let quantizer = Quantizer(bits: 3, clip: .max)
      func codes(_ weights: [Float]) -> RowCodes {
        weights.withUnsafeBufferPointer {
          RowCodes(rounding: $0, quantizer.scales(of: $0, rows: 2), quantizer)
        }
      }
      // Steps 1 and 2, then 0.5 and 1.
      var tensors = [codes([3, 1, -1, 6, 2, 0]), codes([1.5, 0.5, -0.5, 3, 1, 2])]
      #expect(tensors[0].codes == [3, 1, -1, 3, 1, 0] && tensors[1].codes == [3, 1, -1, 3, 1, 2])
      #expect(pruneUnits(&tensors, count: 3) == 3)
      #expect(tensors[1].codes == [3, 0, 0, 3, 1, 2] && tensors[0].codes == [3, 0, -1, 3, 1, 0])
      #expect(pruneUnits(&tensors, count: 100) == 3)
    }
  }
}
