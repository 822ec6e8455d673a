// SPDX-License-Identifier: Apache-2.0
// The machine as the kernels see it.

import CKernels
import IR

/// Facts about this machine, read once.
public enum Machine {
  /// Picks instruction set and matrix route. Call it before anything else of this module.
  public static func initialise() { kernels_init() }

  /// Takes the instruction set and the matrix route that `isa` and `gemm` named elsewhere, for
  /// kernels that are prepared from now on. False where the machine lacks one of them or has it in
  /// another version; it then takes what it takes by itself.
  public static func select(isa: String, gemm: String) -> Bool {
    let route = String(gemm.prefix { $0 != " " })
    if kernels_select(isa, route) == 1, Machine.gemm == gemm { return true }
    kernels_select(nil, nil)
    return false
  }

  public static var name: String { String(cString: kernels_machine()) }
  public static var isa: String { String(cString: kernels_isa()) }
  /// Names that GRAPHC_ISA takes, on some machine.
  public static let knownISAs = ["portable", "avx2", "avx512", "avx512bf16", "neon"]
  /// Those that this machine has.
  public static var availableISAs: [String] {
    let best = String(cString: kernels_best_isa())
    guard let last = knownISAs.dropLast().firstIndex(of: best) else { return ["portable", best] }
    return Array(knownISAs[...last])
  }
  /// Names that GRAPHC_GEMM takes.
  public static let knownGEMMs = ["built-in", "libxsmm", "openblas"]
  public static var gemm: String { String(cString: kernels_gemm()) }
  public static var processors: Int { Int(kernels_max_threads()) }
  /// The JIT for matrix products, its version and target, and whether it is in use.
  public static var jit: String { String(cString: kernels_jit()) }
  /// The BLAS with the core that graphc would use, and the flavour of its threads.
  public static var blas: String { String(cString: kernels_blas()) }

  /// The most that `threads` threads reach here, in about a second. Takes half a gigabyte.
  public static func measuredPeaks(threads: Int) -> MeasuredPeaks {
    MeasuredPeaks(
      compute: measuredComputePeaks(threads: threads),
      memoryGigabytes: measuredBandwidth(threads: threads))
  }

  /// 10^9 bytes a second that `threads` threads read from memory. Takes half a gigabyte.
  public static func measuredBandwidth(threads: Int) -> Double { peak(PROBE_MEMORY, threads) ?? 0 }

  /// The part of the peaks that needs no memory, so that it does not show in a process's size.
  public static func measuredComputePeaks(threads: Int) -> ComputePeaks {
    ComputePeaks(
      threads: threads, f32Gigaflops: peak(PROBE_F32, threads) ?? 0,
      bf16Gigaflops: peak(PROBE_BF16, threads))
  }

  private static func peak(_ probe: kernel_probe, _ threads: Int) -> Double? {
    let rate = kernels_peak(probe, Int32(threads), 0.15)
    return rate > 0 ? rate * 1e-9 : nil
  }

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

/// The fastest products of this machine, operands in registers. In 10^9 FLOPs a second.
public struct ComputePeaks: Sendable {
  public var threads: Int
  public var f32Gigaflops: Double
  /// nil where the instruction set has no bf16 dot product.
  public var bf16Gigaflops: Double?

  public init(threads: Int, f32Gigaflops: Double, bf16Gigaflops: Double?) {
    (self.threads, self.f32Gigaflops, self.bf16Gigaflops) = (threads, f32Gigaflops, bf16Gigaflops)
  }

  /// The larger of each peak of two measurements.
  public func larger(_ other: ComputePeaks) -> ComputePeaks {
    ComputePeaks(
      threads: threads, f32Gigaflops: max(f32Gigaflops, other.f32Gigaflops),
      bf16Gigaflops: bf16Gigaflops.map { max($0, other.bf16Gigaflops ?? 0) })
  }

  /// The peak of products in a precision; bf16 without an instruction for it runs in f32.
  public func gigaflops(_ precision: ComputePrecision) -> Double {
    precision == .bf16 ? bf16Gigaflops ?? f32Gigaflops : f32Gigaflops
  }
}

/// Products and memory. What a kernel cannot beat.
public struct MeasuredPeaks: Sendable {
  public var compute: ComputePeaks
  /// 10^9 bytes a second, read by all threads from beyond the caches.
  public var memoryGigabytes: Double

  public init(compute: ComputePeaks, memoryGigabytes: Double) {
    (self.compute, self.memoryGigabytes) = (compute, memoryGigabytes)
  }

  /// Seconds that a work takes at least where nothing is in cache.
  public func floor(_ cost: KernelCost) -> Double {
    max(
      cost.flops / (compute.gigaflops(cost.precision) * 1e9), cost.bytes / (memoryGigabytes * 1e9))
  }
}
