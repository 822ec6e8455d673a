// SPDX-License-Identifier: Apache-2.0
// Parts of an axis that are not contiguous, copied out of and into a whole [outer, extent, inner].

extension Kernel {
  public struct SliceSizes: Hashable, Sendable {
    public var outer: Int
    public var extent: Int
    public var inner: Int
    public var start: Int
    public var count: Int

    /// Of a whole of this shape, `count` elements from `start` on along the axis.
    public init(_ shape: [Int], axis: Int, start: Int, count: Int) {
      outer = shape[..<axis].reduce(1, *)
      extent = shape[axis]
      inner = shape[(axis + 1)...].reduce(1, *)
      (self.start, self.count) = (start, count)
    }

    var whole: Int { outer * extent * inner }
    var part: Int { outer * count * inner }
  }

  /// The part of a whole.
  public struct Slice: KernelArguments {
    public static let name = "slice"
    public var sizes: SliceSizes
    public var isBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, sizes.part, isBF16: isBF16),
        .init(.read, sizes.whole, isBF16: isBF16, needed: sizes.part),
      ]
    }
    public var flops: Double { 0 }
  }

  /// A whole that is zero outside of the part.
  public struct Unslice: KernelArguments {
    public static let name = "unslice"
    public var sizes: SliceSizes
    public var isBF16: Bool

    public var accesses: [Access] {
      [.init(.write, sizes.whole, isBF16: isBF16), .init(.read, sizes.part, isBF16: isBF16)]
    }
    public var flops: Double { 0 }
  }
}
