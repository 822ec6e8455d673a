// SPDX-License-Identifier: Apache-2.0
// The parent of all suites of this target, and the kernel routes of this machine.

import CKernels
import Runtime
import TestSupport
import Testing

/// All tests that run kernels. Some switch the instruction set for the whole process, so they run
/// one by one.
@Suite(.serialized) enum RuntimeTests {}

/// An instruction set and a way to multiply matrices.
struct Route: CustomStringConvertible {
  let isa: String
  let gemm: String
  var description: String { isa + " with " + gemm }

  /// Those that this machine has.
  static let all: [Route] = {
    Machine.initialise()
    defer { kernels_select(nil, nil) }
    var routes: [Route] = []
    for isa in ["portable", "avx2", "avx512", "avx512bf16", "neon"] {
      for gemm in ["libxsmm", "openblas", "built-in"] where kernels_select(isa, gemm) == 1 {
        routes.append(Route(isa: isa, gemm: gemm))
      }
    }
    return routes
  }()

  /// Runs `body` on every route, and leaves the machine as it was.
  static func withEach(_ body: (Route) throws -> Void) rethrows {
    defer { kernels_select(nil, nil) }
    for route in all {
      _ = kernels_select(route.isa, route.gemm)
      try body(route)
    }
  }
}
