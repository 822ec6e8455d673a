// SPDX-License-Identifier: Apache-2.0
// The machine as the kernels see it.

import CKernels

/// Facts about this machine, read once.
public enum Machine {
  /// Picks instruction set and matrix route. Call it before anything else of this module.
  public static func initialise() { kernels_init() }

  public static var name: String { String(cString: kernels_machine()) }
  public static var isa: String { String(cString: kernels_isa()) }
  public static var gemm: String { String(cString: kernels_gemm()) }
  public static var processors: Int { Int(kernels_max_threads()) }

  /// Whether plans for an instruction set run here: those of the host and of smaller ones.
  public static func supports(isa: String) -> Bool {
    let order = ["portable", "avx2", "avx512", "avx512bf16"]
    if isa == Machine.isa { return true }
    guard let asked = order.firstIndex(of: isa), let have = order.firstIndex(of: Machine.isa) else {
      return false
    }
    return asked <= have
  }
}
