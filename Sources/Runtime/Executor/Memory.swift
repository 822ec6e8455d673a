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
  public init(bytes: Int) {
    self.bytes = bytes
    let huge = 2 << 20
    mapped = bytes >= huge ? (bytes + huge - 1) / huge * huge : (bytes + 4095) / 4096 * 4096
    guard mapped > 0 else {
      base = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
      return
    }
    let pointer = mmap(
      nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let pointer, pointer != MAP_FAILED else {
      preconditionFailure("out of memory: \(bytes) bytes were asked for")
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

/// The values of a model's parameters, f32, in the order of their layout.
public final class ParameterBlock {
  public let layout: ParameterLayout
  public let memory: MemoryBlock

  public init(layout: ParameterLayout) {
    self.layout = layout
    memory = MemoryBlock(bytes: layout.bytes)
  }

  /// The values of one parameter; nil if the layout has none of that path.
  public subscript(_ path: String) -> UnsafeMutableBufferPointer<Float>? {
    guard let entry = layout[path] else { return nil }
    let start = (memory.base + entry.offset).assumingMemoryBound(to: Float.self)
    return UnsafeMutableBufferPointer(start: start, count: entry.parameter.type.count)
  }

  /// A copy with memory of its own.
  public func copy() -> ParameterBlock {
    let block = ParameterBlock(layout: layout)
    block.memory.copy(from: memory)
    return block
  }
}
