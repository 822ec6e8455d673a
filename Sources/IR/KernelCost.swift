// SPDX-License-Identifier: Apache-2.0
// What a kernel call has to do at least: arithmetic and memory. For profiles only; nothing that a
// plan computes depends on it.

/// The work of calls.
public struct KernelCost: Hashable, Sendable {
  /// Additions and multiplications; one for a division, a root or an exponential.
  public var flops: Double
  /// Every buffer in memory once as it is read and once as it is written.
  public var bytes: Double
  /// Of the products, which decides how fast the machine is at most.
  public var precision: ComputePrecision

  public init(flops: Double, bytes: Double, precision: ComputePrecision = .f32) {
    (self.flops, self.bytes, self.precision) = (flops, bytes, precision)
  }
}

extension KernelCall {
  /// The work of this call. A buffer that it reads twice counts once, one of a tile never: it stays in
  /// cache. Single numbers count nothing.
  public var cost: KernelCost {
    let arguments = kernel.arguments
    var read = Set<BufferReference>()
    var bytes = 0.0
    for (buffer, access) in zip(buffers, arguments.accesses)
    where buffer.space != .tile && access.bytes > 4 {
      switch access.mode {
      case .read: if read.insert(buffer).inserted { bytes += Double(access.neededBytes) }
      case .write: bytes += Double(access.neededBytes)
      case .update: bytes += 2 * Double(access.neededBytes)
      }
    }
    return KernelCost(flops: arguments.flops, bytes: bytes, precision: arguments.precision)
  }
}
