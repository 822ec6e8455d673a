// SPDX-License-Identifier: Apache-2.0
// Causal attention with grouped key and value heads.

extension Kernel {
  /// What attention and its gradient share.
  public struct AttentionArguments: Hashable, Sendable {
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
    public var isBF16: Bool
    public var scale: Double

    /// A tensor of queries: q, y or one of their gradients.
    func queryTensor(_ mode: Access.Mode) -> Access {
      Access(mode, batch * queries * heads * width, isBF16: isBF16)
    }

    /// A tensor of keys: k, v or one of their gradients.
    func keyTensor(_ mode: Access.Mode) -> Access {
      Access(mode, batch * positions * groups * width, isBF16: isBF16)
    }

    /// The log of the sums, one a query and head.
    func logSums(_ mode: Access.Mode) -> Access { Access(mode, batch * queries * heads) }

    /// Pairs of a query and a key that is not behind it, times batch, heads and the width of a head.
    var pairs: Double {
      let n = Double(queries)
      return Double(batch * heads * width) * (n * Double(positions) - n * (n - 1) / 2)
    }

    var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
  }

  /// y, log of sums = attention of q over k and v.
  public struct Attention: KernelArguments {
    public static let name = "attention"
    public var arguments: AttentionArguments

    public var accesses: [Access] {
      let key = arguments.keyTensor(.read)
      return [
        arguments.queryTensor(.write), arguments.logSums(.write), arguments.queryTensor(.read), key,
        key,
      ]
    }
    /// The products; exponentials are not counted.
    public var flops: Double { 4 * arguments.pairs }
    public var precision: ComputePrecision { arguments.precision }
    public var endsPhase: Bool { true }
  }

  /// dq, dk, dv of q, k, v, y, the log of sums and dy.
  public struct AttentionBackward: KernelArguments {
    public static let name = "attention_backward"
    public var arguments: AttentionArguments

    public var accesses: [Access] {
      let (query, key) = (arguments.queryTensor(.read), arguments.keyTensor(.read))
      let keyGradient = arguments.keyTensor(.write)
      return [
        arguments.queryTensor(.write), keyGradient, keyGradient, query, key, key, query,
        arguments.logSums(.read), query,
      ]
    }
    /// The products, scores again among them.
    public var flops: Double { 10 * arguments.pairs }
    public var precision: ComputePrecision { arguments.precision }
    public var endsPhase: Bool { true }
  }
}
