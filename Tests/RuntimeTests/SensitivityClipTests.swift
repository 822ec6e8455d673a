// SPDX-License-Identifier: Apache-2.0
// Factors of clips by hand, and scales that follow them.

import IR
import Runtime
import Testing

extension RuntimeTests {
  @Suite struct SensitivityClipTests {
    @Test func rowsOnLargeInputsGetWiderClips() {
      let weights: [Float] = [1, 0, 0, -3]
      weights.withUnsafeBufferPointer {
        // Importances 1 and 9 in any unit: over their mean, 0.2 and 1.8.
        let factors = sensitivityFactors(of: $0, rows: 2, diagonal: [1, 3], lambda: 0.5)
        #expect(abs(factors[0] - 0.6) < 1e-15 && abs(factors[1] - 1.4) < 1e-15)
        #expect(sensitivityFactors(of: $0, rows: 2, diagonal: [0, 0]) == [1, 1])
        #expect(sensitivityFactors(of: $0, rows: 2, diagonal: [1, 3], lambda: 0) == [1, 1])
      }
    }

    @Test func scalesHaveTheirOwnK() {
      let weights: [Float] = [1, 2, 4, -1, 0.5, 3, 1, 1]
      weights.withUnsafeBufferPointer {
        let scales = Quantizer(bits: 6, clip: .sdclip(8)).scales(
          of: $0, rows: 2, factors: [0.5, 2])
        let (low, high) = (
          Quantizer(bits: 6, clip: .sdclip(4)).scales(of: $0, rows: 2),
          Quantizer(bits: 6, clip: .sdclip(16)).scales(of: $0, rows: 2)
        )
        #expect(scales.stored == [low.stored[0], high.stored[1]])
        #expect(scales.clips == [low.clips[0], high.clips[1]])
      }
    }
  }
}
