// SPDX-License-Identifier: Apache-2.0
// Initial values.

import IR
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct RandomnessTests {
    /// The shorter side is orthonormal, of any size, and the values do not depend on the route.
    @Test(arguments: [(1, 1), (3, 17), (17, 3), (64, 64), (9, 250), (130, 20)])
    func orthogonalMatricesHaveOrthonormalVectors(_ rows: Int, _ columns: Int) throws {
      let parameter = Parameter(
        role: .param, path: "w", type: .tensor([rows, columns]), group: "matrix",
        initial: .orthogonal(2))
      var found: [[Float]] = []
      try Route.withEach { route in
        let block = try ParameterBlock(layout: ParameterLayout([parameter]))
        block.initialise(seed: 7)
        let w = block.floats("w").map { Double($0) / 2 }
        let count = min(rows, columns)
        for i in 0..<count {
          for j in 0...i {
            let product = (0..<max(rows, columns)).reduce(0.0) { sum, k in
              rows <= columns
                ? sum + w[i * columns + k] * w[j * columns + k]
                : sum + w[k * columns + i] * w[k * columns + j]
            }
            #expect(abs(product - (i == j ? 1 : 0)) < 1e-6, "\(i) and \(j), \(route)")
          }
        }
        found.append(block.floats("w"))
      }
      for values in found {
        #expect(zip(values, found[0]).allSatisfy { abs($0 - $1) < 1e-6 })
      }
    }
  }
}
