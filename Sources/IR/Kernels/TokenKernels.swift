// SPDX-License-Identifier: Apache-2.0
// Embedding and cross-entropy: the kernels that read token ids.

extension Kernel {
  /// y [count, width] = rows of a table [vocab, width].
  public struct Embed: KernelArguments {
    public static let name = "embed"
    public var count: Int
    public var width: Int
    public var vocab: Int

    public var accesses: [Access] {
      [
        .init(.write, count * width, isRowwise: true),
        .init(.read, vocab * width, needed: min(count, vocab) * width),
        .init(.read, count, isRowwise: true),
      ]
    }
    public var flops: Double { 0 }
    public var rows: Int? { count }
  }

  /// dtable [vocab, width] = sums of rows of dy [count, width] by their ids.
  public struct EmbedBackward: KernelArguments {
    public static let name = "embed_backward"
    public var count: Int
    public var width: Int
    public var vocab: Int

    public var accesses: [Access] {
      [.init(.write, vocab * width), .init(.read, count * width), .init(.read, count)]
    }
    public var flops: Double { Double(count) * Double(width) }
  }

  /// nll, log of sums = cross-entropy of logits [count, vocab] and targets, capped unless cap is 0.
  public struct CrossEntropy: KernelArguments {
    public static let name = "cross_entropy"
    public var count: Int
    public var vocab: Int
    public var cap: Double

    public var accesses: [Access] {
      [
        .init(.write, count, isRowwise: true), .init(.write, count, isRowwise: true),
        .init(.read, count * vocab, isRowwise: true), .init(.read, count, isRowwise: true),
      ]
    }
    public var flops: Double { lossFlops(count, vocab, cap) }
    public var rows: Int? { count }
  }

  /// dz of logits, targets, the log of sums and dnll.
  public struct CrossEntropyBackward: KernelArguments {
    public static let name = "cross_entropy_backward"
    public var count: Int
    public var vocab: Int
    public var cap: Double
    public var dzIsBF16: Bool

    public var accesses: [Access] {
      let row = Access(.read, count, isRowwise: true)
      return [
        .init(.write, count * vocab, isBF16: dzIsBF16, isRowwise: true),
        .init(.read, count * vocab, isRowwise: true), row, row, row,
      ]
    }
    public var flops: Double { lossFlops(count, vocab, cap) }
    public var rows: Int? { count }
  }

  /// Exponential, maximum, sum and difference a logit; the cap is a tanh and two products more.
  private static func lossFlops(_ count: Int, _ vocab: Int, _ cap: Double) -> Double {
    Double(count) * Double(vocab) * (cap != 0 ? 7 : 4)
  }
}
