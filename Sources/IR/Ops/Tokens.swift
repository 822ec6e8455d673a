// SPDX-License-Identifier: Apache-2.0
// What models compute of token identifiers: masks, hashes of neighbours, borders of documents.

private let ofTokens = ["ids"]

extension OpDefinition.Operands {
  /// Throws unless the operand holds tokens [rows, positions].
  fileprivate func needTokens() throws {
    guard types[0].kind == .tokens, types[0].rank == 2 else {
      throw fail("ids must be tokens[rows, positions], found \(types[0])")
    }
  }
}

/// An index [rows, positions] of a hash of neighbouring tokens.
@Sendable private func hashed(_ operands: OpDefinition.Operands) throws -> [TensorType] {
  try operands.needTokens()
  guard operands.int(.buckets) >= 2 else {
    throw operands.fail("buckets must be at least 2, found \(operands.int(.buckets))")
  }
  return [TensorType(.index(bound: operands.int(.buckets)), operands[0].shape)]
}

extension TensorType {
  /// The bound of an index that holds the first positions of documents, which no table has rows for.
  public static let documentBound = Int(Int32.max)
}

extension OpDefinition {
  static let tokenMask = OpDefinition(
    summary: "y[b, t, 0] = 0 where ids[b, t] = except, 1 elsewhere.",
    operands: ofTokens, attributes: [.except: .int()], positional: [.except],
    shape: { operands in
      try operands.needTokens()
      return [TensorType(.tensor, operands[0].shape + [.number(1)])]
    },
    gradient: .none(because: "tokens have no gradient"),
    reads: ReadRule("its own token") { _ in [ReadRule.leading(2)] },
    lowering: .kernel { context, node in
      let rows = context.graph.type(node.operands[0]).count
      context.emit(Kernel.TokenMask(rows: rows, except: node.int(.except)), of: node)
    }, slices: .asRead)

  static let hashBigram = OpDefinition(
    summary:
      "y[b, t] = ((36313 ids[b, t]) xor (27191 ids[b, t-1])) mod (buckets - 1), and buckets - 1 "
      + "at t = 0; in the form sum (92821 ids[b, t-1] + ids[b, t]) mod buckets, with 0 before t = 0.",
    operands: ofTokens,
    attributes: [.buckets: .int(), .form: .word(["xor", "sum"], default: "xor")],
    positional: [.buckets, .form], shape: hashed,
    gradient: .none(because: "tokens have no gradient"),
    reads: ReadRule("its own token and the one before") { _ in
      [[.same(axis: 0), .window(axis: 1, back: 1)]]
    },
    lowering: .kernel { hash($0, $1, order: 2, isSum: $1.word(.form) == "sum") })

  static let hashTrigram = OpDefinition(
    summary: "y[b, t] = ((36313 ids[b, t]) xor (27191 ids[b, t-1]) xor (51497 ids[b, t-2])) "
      + "mod (buckets - 1), and buckets - 1 at t < 2.",
    operands: ofTokens, attributes: [.buckets: .int()], positional: [.buckets], shape: hashed,
    gradient: .none(because: "tokens have no gradient"),
    reads: ReadRule("its own token and the two before") { _ in
      [[.same(axis: 0), .window(axis: 1, back: 2)]]
    },
    lowering: .kernel { hash($0, $1, order: 3, isSum: false) })

  static let documents = OpDefinition(
    summary: "y[b, t] = the position where the document of t begins: at every token `start`, at "
      + "position 0, and after each `limit` tokens of a document (0: no limit). Attention takes it "
      + "as docs.",
    operands: ofTokens, attributes: [.start: .int(), .limit: .int(default: 0)],
    positional: [.start, .limit],
    shape: { operands in
      try operands.needTokens()
      guard operands.int(.limit) >= 0 else {
        throw operands.fail("limit must be 0 or more, found \(operands.int(.limit))")
      }
      return [TensorType(.index(bound: TensorType.documentBound), operands[0].shape)]
    },
    gradient: .none(because: "tokens have no gradient"),
    reads: ReadRule("the tokens of its row up to its position") { _ in
      [[.same(axis: 0), .upTo(axis: 1)]]
    },
    lowering: .kernel { context, node in
      let sizes = context.sizes(node.result)
      context.emit(
        Kernel.Documents(
          batch: sizes[0], positions: sizes[1], start: node.int(.start), limit: node.int(.limit)),
        of: node)
    })
}

private func hash(_ context: any LoweringContext, _ node: Node, order: Int, isSum: Bool) {
  let sizes = context.sizes(node.result)
  context.emit(
    Kernel.HashTokens(
      rows: sizes[0] * sizes[1], positions: sizes[1], order: order, buckets: node.int(.buckets),
      isSum: isSum),
    of: node)
}

// MARK: Kernels

extension Kernel {
  /// out [rows] = 1, or 0 where the token is `except`.
  public struct TokenMask: KernelArguments {
    public static let name = "token_mask"
    public var rows: Int
    public var except: Int

    public var accesses: [Access] {
      [.init(.write, rows, isRowwise: true), .init(.read, rows, isRowwise: true)]
    }
    public var flops: Double { 0 }
    public var chainRows: Int? { rows }
  }

  /// Buckets [rows] of a token and the `order` - 1 before it, in sequences of `positions`.
  public struct HashTokens: KernelArguments {
    public static let name = "hash_tokens"
    public var rows: Int
    public var positions: Int
    public var order: Int
    public var buckets: Int
    public var isSum: Bool

    public var accesses: [Access] {
      [.init(.write, rows, isRowwise: true), .init(.read, rows)]
    }
    public var flops: Double { 0 }
    public var chainRows: Int? { rows }
  }

  /// First positions [batch, positions] of documents.
  public struct Documents: KernelArguments {
    public static let name = "documents"
    public var batch: Int
    public var positions: Int
    public var start: Int
    public var limit: Int

    public var accesses: [Access] {
      [.init(.write, batch * positions), .init(.read, batch * positions)]
    }
    public var flops: Double { 0 }
  }
}
