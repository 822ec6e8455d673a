// SPDX-License-Identifier: Apache-2.0
// Blocks of memory that plans address by offset: parameters, states, arenas.

import Glibc
import IR

/// A zeroed, page-aligned block, in huge pages where the system gives them.
public final class MemoryBlock {
  public let base: UnsafeMutableRawPointer
  public let bytes: Int
  private let mapped: Int

  /// Maps `bytes` of zeroed memory. Pages are touched by the threads that first write them.
  public init(bytes: Int) throws(OutOfMemory) {
    self.bytes = bytes
    let huge = 2 << 20
    guard bytes <= Int.max - huge else { throw OutOfMemory(bytes: bytes) }
    mapped = bytes >= huge ? (bytes + huge - 1) / huge * huge : (bytes + 4095) / 4096 * 4096
    guard mapped > 0 else {
      base = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
      return
    }
    let pointer = mmap(
      nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let pointer, pointer != MAP_FAILED else {
      throw OutOfMemory(bytes: bytes)
    }
    if mapped >= huge { madvise(pointer, mapped, MADV_HUGEPAGE) }
    base = pointer
  }

  deinit {
    if mapped > 0 { munmap(base, mapped) } else { base.deallocate() }
  }

  /// Overwrites this block with another of the same size.
  public func copy(from other: MemoryBlock) {
    precondition(bytes == other.bytes)
    base.copyMemory(from: other.base, byteCount: bytes)
  }
}

/// The system gave no memory for a block.
public struct OutOfMemory: Error, CustomStringConvertible, Sendable {
  public let bytes: Int

  public var description: String {
    "out of memory: the system has no block of \(bytes) bytes left; use a smaller batch, window or "
      + "model"
  }
}

/// The values of a model's parameters, f32, in the order of their layout.
public final class ParameterBlock {
  public let layout: ParameterLayout
  public let memory: MemoryBlock

  public init(layout: ParameterLayout) throws(OutOfMemory) {
    self.layout = layout
    memory = try MemoryBlock(bytes: layout.bytes)
  }

  /// The values of one parameter; nil if the layout has none of that path.
  public subscript(_ path: String) -> UnsafeMutableBufferPointer<Float>? {
    guard let entry = layout[path] else { return nil }
    let start = (memory.base + entry.offset).assumingMemoryBound(to: Float.self)
    return UnsafeMutableBufferPointer(start: start, count: entry.parameter.type.count)
  }

  /// A copy with memory of its own.
  public func copy() throws(OutOfMemory) -> ParameterBlock {
    let block = try ParameterBlock(layout: layout)
    block.memory.copy(from: memory)
    return block
  }
}
