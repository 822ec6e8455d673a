// SPDX-License-Identifier: Apache-2.0
// Rotary positions, per-head gains and causal attention with grouped kv heads.

private let ropeAttributes: [AttributeName: AttributeKind] = [
  .dims: .int(), .base: .double(default: 10000), .train: .int(default: 0),
  .rampFrom: .double(default: 1), .rampFactor: .double(default: 1), .start: .int(default: 0),
]

@Sendable private func ropeShape(_ operands: OpDefinition.Operands) throws -> [TensorType] {
  try operands.needReal(0, rank: 4)
  let dims = operands.int(.dims)
  guard let width = operands[0].shape[3].number, dims > 0, dims % 2 == 0, dims <= width else {
    throw operands.fail(
      "dims must be even and at most the head width, found \(dims) for \(operands[0])")
  }
  // Angles are computed in f32, in which larger positions are not exact; the tables end there too.
  guard (0...1 << 24).contains(operands.int(.start)) else {
    throw operands.fail("start is from 0 to \(1 << 24), found \(operands.int(.start))")
  }
  return [operands[0]]
}

/// The queries are those of the last `count` positions, or of all (0).
private func attentionTypes(_ operands: OpDefinition.Operands, count: Int = 0) throws {
  for index in 0..<3 { try operands.needReal(index, rank: 4) }
  let (q, k, v) = (operands[0].shape, operands[1].shape, operands[2].shape)
  if k != v { throw operands.fail("k and v differ: \(operands[1]) and \(operands[2])") }
  try operands.needEqual(q[0], k[0], "the batches")
  if count == 0 {
    try operands.needEqual(q[1], k[1], "the positions")
  } else if q[1] != .number(count) || count > k[1].number ?? Int.max {
    throw operands.fail("q must have the last \(count) positions: \(operands[0]), \(operands[1])")
  }
  try operands.needEqual(q[3], k[3], "the head widths")
  if let docs = operands.types.dropFirst(operands.op == .attention ? 3 : 6).first,
    docs != TensorType(.index(bound: TensorType.documentBound), Array(k[0...1]))
  {
    throw operands.fail("docs must be documents of the keys' positions, found \(docs)")
  }
  guard let heads = q[2].number, let groups = k[2].number, heads % groups == 0 else {
    throw operands.fail(
      "query heads must be a multiple of kv heads: \(operands[0]), \(operands[1])")
  }
}

extension OpDefinition {
  static let rope = OpDefinition(
    summary: "Turns halves (u, w) of the first dims by pos * base^(-2i/dims): "
      + "(u cos + w sin, w cos - u sin); beyond train positions the base grows (NTK). "
      + "Positions count from start.",
    operands: ["x"], attributes: ropeAttributes,
    positional: [.dims, .base, .train, .rampFrom, .rampFactor], shape: ropeShape,
    gradient: .rule { b, node, dy in [b.one(.ropeBackward, [dy[0]!], node.attributes)] },
    reads: .lastAxis, lowering: .row(.init("rope", operands: 2, flops: 3), readsRopeTable: true),
    slices: .movingStart, zero: .operand(0))

  static let ropeBackward = OpDefinition(
    summary: "The inverse turn of rope: dx from dy.",
    operands: ["dy"], attributes: ropeAttributes, shape: ropeShape,
    gradient: .none(because: "second derivatives are not needed"),
    reads: .lastAxis,
    lowering: .row(.init("rope_inverse", operands: 2, flops: 3), readsRopeTable: true),
    slices: .never, isSurface: false)

  static let scaleHeads = OpDefinition(
    summary: "y[b, t, h, :] = gain[h] * x[b, t, h, :], or gain[b, t, h] * x[b, t, h, :].",
    operands: ["x", "gain"],
    shape: { operands in
      try operands.needReal(0, rank: 4)
      try operands.needReal(1)
      let heads = operands[0].shape.dropLast()
      guard [Array(heads), [heads[2]]].contains(operands[1].shape) else {
        throw operands.fail(
          "gain must have one number a head, or a head and position: \(operands[0]), \(operands[1])"
        )
      }
      return [operands[0]]
    },
    gradient: .rule { b, node, dy in
      let isGate = b.type(node.operands[1]).rank == 3
      return [
        b.one(.scaleHeads, [dy[0]!, node.operands[1]]),
        b.one(
          isGate ? .scaleHeadsBackwardGate : .scaleHeadsBackwardGain, [dy[0]!, node.operands[0]]),
      ]
    },
    reads: ReadRule("its own place, the gain of its head") { application in
      let isGate = application.operands[1].rank == 3
      return [ReadRule.leading(4), isGate ? ReadRule.leading(3) : [.same(axis: 2)]]
    }, lowering: .row(.mul, gain: 1), zero: .product)

  static let scaleHeadsBackwardGain = OpDefinition(
    summary: "dgain[h] = Σ over b, t, d of dy x.",
    operands: ["dy", "x"],
    shape: { operands in
      try operands.needReal(0, rank: 4)
      _ = try sameAsFirst(operands)
      return [TensorType(.tensor, [operands[0].shape[2]])]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("one head at every place") { _ in
      [[AxisRead]?](repeating: [.all, .all, .same(axis: 0), .all], count: 2)
    }, lowering: .rowSum(.headProducts), isSurface: false)

  static let scaleHeadsBackwardGate = OpDefinition(
    summary: "dgain[b, t, h] = Σ over d of dy x.",
    operands: ["dy", "x"],
    shape: { operands in
      try operands.needReal(0, rank: 4)
      _ = try sameAsFirst(operands)
      return [TensorType(.tensor, operands[0].shape.dropLast())]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("its own head at its own place") { _ in
      [[AxisRead]](repeating: ReadRule.leading(3) + [.all], count: 2)
    }, lowering: .rowSum(.rowProducts), isSurface: false)

  static let attention = OpDefinition(
    summary: "y = softmax(scale q kᵀ + causal mask) v per head, scale 1/sqrt(width); "
      + "query head h reads kv head h // (heads / kv_heads). lse is the log of the sum of exp. "
      + "With count, q holds the last count positions only; with docs a query sees no key before the "
      + "beginning of its document.",
    operands: ["q", "k", "v", "docs?"], results: ["y", "lse"],
    attributes: computeAttribute.merging([.count: .int(default: 0)]) { $1 },
    shape: { operands in
      try attentionTypes(operands, count: operands.int(.count))
      let q = operands[0].shape
      return [operands[0], TensorType(.tensor, [q[0], q[2], q[1]])]
    },
    gradient: .rule { b, node, dy in
      let docs = Array(node.operands.dropFirst(3))
      guard let dy = dy[0] else { return node.operands.map { _ in nil } }
      let (k, v) = (node.operands[1], node.operands[2])
      let (q, y, lse) = (node.operands[0], node.results[0], node.results[1])
      let attributes = node.attributes.filter { $0.key == .compute }
      func backward(_ q: Value, _ y: Value, _ lse: Value, _ dy: Value) -> [Value?] {
        // Shapes fit: they are those of the node.
        (try? b.apply(.attentionBackward, [q, k, v, y, lse, dy] + docs, attributes)) ?? []
      }
      let none = docs.map { _ in Value?.none }
      guard node.int(.count) != 0 else { return backward(q, y, lse, dy) + none }
      // Queries that are not there get a zero dy, and with it no part in any gradient.
      let shape = b.type(k).shape
      let heads = b.type(q).shape
      let start = shape[1].number! - node.int(.count)
      func spread(_ value: Value, _ axis: Int, _ full: [Dim]) -> Value {
        b.one(
          .unslice, [value], [.axis: .int(axis), .start: .int(start), .shape: .dims(full)])
      }
      let full = [shape[0], shape[1], heads[2], heads[3]]
      var results = backward(
        spread(q, 1, full), spread(y, 1, full), spread(lse, 2, [shape[0], heads[2], shape[1]]),
        spread(dy, 1, full))
      results[0] = b.one(
        .slice, [results[0]!],
        [.axis: .int(1), .start: .int(start), .count: .int(node.int(.count))])
      return results + none
    },
    reads: ReadRule("its own query; keys and values of its row up to its position") {
      application in
      // The queries are the last ones: the first of them stands behind `hidden` keys.
      let lengths = (application.operands[0].shape[1], application.operands[1].shape[1])
      var hidden: Int?
      if lengths.0 == lengths.1 { hidden = 0 }
      if let q = lengths.0.number, let k = lengths.1.number { hidden = k - q }
      // y is [batch, position, head, width], lse is [batch, head, position].
      let (head, position) = application.index == 0 ? (2, 1) : (1, 2)
      let keys = hidden.map { AxisRead.upTo(axis: position, offset: $0) } ?? .all
      return [
        [.same(axis: 0), .same(axis: position), .same(axis: head), .all],
        [.same(axis: 0), keys, .all, .all],
        application.index == 0 ? [.same(axis: 0), keys, .all, .same(axis: 3)] : nil,
      ]
        + application.operands.dropFirst(3).map { _ in
          [.same(axis: 0), hidden.map { .same(axis: position, offset: $0) } ?? .all]
        }
    }, lowering: .kernel(attend), storage: .together(operands: [0, 1, 2], results: [0]),
    slices: .lastQueries, endsPhase: true, zero: .operand(2))

  static let attentionBackward = OpDefinition(
    summary: "Gradients of attention: with p = exp(scale q kᵀ - lse), dv = pᵀ dy, "
      + "ds = p (dy vᵀ - dy·y), dq = scale ds k, dk = scale dsᵀ q.",
    operands: ["q", "k", "v", "y", "lse", "dy", "docs?"], results: ["dq", "dk", "dv"],
    attributes: computeAttribute,
    shape: { operands in
      try attentionTypes(operands)
      let q = operands[0].shape
      if operands[3] != operands[0] || operands[5] != operands[0] {
        throw operands.fail("y and dy must be \(operands[0]), found \(operands[3]), \(operands[5])")
      }
      if operands[4] != TensorType(.tensor, [q[0], q[2], q[1]]) {
        throw operands.fail("lse must be [batch, heads, positions], found \(operands[4])")
      }
      return [operands[0], operands[1], operands[2]]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("everything of its row; dv neither v nor y") { application in
      application.operands.enumerated().map { index, operand in
        if application.index == 2, index == 2 || index == 3 { return nil }
        return [.same(axis: 0)] + [AxisRead](repeating: .all, count: operand.rank - 1)
      }
    }, lowering: .kernel(attendBackward),
    storage: .together(operands: [0, 1, 2, 3, 5], results: [0, 1, 2]), endsPhase: true,
    isSurface: false)
}

// MARK: Lowering

private func attentionArguments(
  _ context: any LoweringContext, _ node: Node
) -> Kernel.AttentionArguments {
  let (q, k) = (context.sizes(node.operands[0]), context.sizes(node.operands[1]))
  return Kernel.AttentionArguments(
    batch: q[0], positions: k[1], queries: q[1], heads: q[2], groups: k[2], width: q[3],
    hasDocuments: node.operands.count == (node.op == .attention ? 4 : 7),
    isBF16: context.isBF16(node.operands[0]), scale: 1 / Double(q[3]).squareRoot())
}

@Sendable private func attend(_ context: any LoweringContext, _ node: Node) {
  context.emit(Kernel.Attention(arguments: attentionArguments(context, node)), of: node)
}

@Sendable private func attendBackward(_ context: any LoweringContext, _ node: Node) {
  context.emit(Kernel.AttentionBackward(arguments: attentionArguments(context, node)), of: node)
}

// MARK: Kernels

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
    /// Whether keys begin at a query's document; the last buffer says where that does.
    public var hasDocuments: Bool
    public var isBF16: Bool
    public var scale: Double

    /// First positions of documents, if there are any.
    var documents: [Access] { hasDocuments ? [Access(.read, batch * positions)] : [] }

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
      ] + arguments.documents
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
      ] + arguments.documents
    }
    /// The products, scores again among them.
    public var flops: Double { 10 * arguments.pairs }
    public var precision: ComputePrecision { arguments.precision }
    public var endsPhase: Bool { true }
  }
}
