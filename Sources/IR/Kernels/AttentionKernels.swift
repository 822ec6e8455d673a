// SPDX-License-Identifier: Apache-2.0
// Causal attention with grouped key and value heads.

extension Kernel {
  /// The sizes that attention and its gradient share.
  public struct AttentionSizes: Hashable, Sendable {
    public var batch: Int
    /// Of keys and values.
    public var positions: Int
    /// Positions of the queries: the last ones, or all.
    public var queries: Int
    public var heads: Int
    /// Heads of keys and values.
    public var groups: Int
    /// Of a head.
    public var width: Int

    /// Of the log of the sums: one a query and head.
    var sums: Int { batch * queries * heads }
    var queryElements: Int { sums * width }
    var keyElements: Int { batch * positions * groups * width }

    /// Pairs of a query and a key that is not behind it, times batch, heads and the width of a head.
    var pairs: Double {
      let n = Double(queries)
      return Double(batch * heads * width) * (n * Double(positions) - n * (n - 1) / 2)
    }
  }

  /// y, log of sums = attention of q over k and v.
  public struct Attention: KernelArguments {
    public static let name = "attention"
    public var sizes: AttentionSizes
    public var isBF16: Bool
    public var scale: Double

    public var accesses: [Access] {
      let queries = Access(.read, sizes.queryElements, isBF16: isBF16)
      let keys = Access(.read, sizes.keyElements, isBF16: isBF16)
      return [
        .init(.write, sizes.queryElements, isBF16: isBF16), .init(.write, sizes.sums), queries,
        keys,
        keys,
      ]
    }
    /// The products; exponentials are not counted.
    public var flops: Double { 4 * sizes.pairs }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
    public var endsPhase: Bool { true }
  }

  /// dq, dk, dv of q, k, v, y, the log of sums and dy.
  public struct AttentionBackward: KernelArguments {
    public static let name = "attention_backward"
    public var sizes: AttentionSizes
    public var isBF16: Bool
    public var scale: Double

    public var accesses: [Access] {
      let queries = Access(.read, sizes.queryElements, isBF16: isBF16)
      let keys = Access(.read, sizes.keyElements, isBF16: isBF16)
      return [
        .init(.write, sizes.queryElements, isBF16: isBF16),
        .init(.write, sizes.keyElements, isBF16: isBF16),
        .init(.write, sizes.keyElements, isBF16: isBF16), queries, keys, keys, queries,
        .init(.read, sizes.sums), queries,
      ]
    }
    /// The products, scores again among them.
    public var flops: Double { 10 * sizes.pairs }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
    public var endsPhase: Bool { true }
  }
}
