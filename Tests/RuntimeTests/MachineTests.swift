// SPDX-License-Identifier: Apache-2.0
// The instruction set and matrix route of a run, taken again by their names.

import CKernels
import Runtime
import Testing

extension RuntimeTests {
  @Suite struct MachineTests {
    @Test func takesTheRouteThatARunNames() {
      defer { kernels_select(nil, nil) }
      for route in Route.all {
        kernels_select(route.isa, route.gemm)
        let (isa, gemm) = (Machine.isa, Machine.gemm)
        kernels_select(nil, nil)
        #expect(Machine.select(isa: isa, gemm: gemm), "\(route)")
        #expect(Machine.isa == isa && Machine.gemm == gemm, "\(route)")
      }
    }

    @Test(arguments: [("avx4096", "built-in"), ("portable", "libxsmm 0.1 (hsw)"), ("portable", "")])
    func aRouteThatIsNotHereLeavesItsOwn(_ isa: String, _ gemm: String) {
      kernels_select(nil, nil)
      let own = (Machine.isa, Machine.gemm)
      #expect(!Machine.select(isa: isa, gemm: gemm))
      #expect((Machine.isa, Machine.gemm) == own)
    }
  }
}
