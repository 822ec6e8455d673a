// SPDX-License-Identifier: Apache-2.0
// Matrix products and table look-ups. Weights are [out, in], as in PyTorch.

/// The precision in which products are computed; sums and results are f32 in both.
let computeAttribute: [AttributeName: AttributeKind] = [
  .compute: .word(["f32", "bf16"], default: "f32")
]

extension OpDefinition {
  static let linear = OpDefinition(
    summary: "y[…, o] = Σ_i x[…, i] w[o, i]: x wᵀ, no bias.",
    operands: ["x", "w"], attributes: computeAttribute,
    shape: { operands in
      try operands.needReal(0)
      try operands.needReal(1, rank: 2)
      guard let inner = operands[0].shape.last else {
        throw operands.fail("x must have at least one axis, found \(operands[0])")
      }
      try operands.needEqual(inner, operands[1].shape[1], "the inner sizes")
      return [TensorType(.tensor, operands[0].shape.dropLast() + [operands[1].shape[0]])]
    },
    gradient: .rule { b, node, dy in
      let (x, w) = (node.operands[0], node.operands[1])
      return [
        b.one(.linearBackwardInput, [dy[0]!, w]), b.one(.linearBackwardWeight, [dy[0]!, x]),
      ]
    },
    reads: ReadRule("all features of x at its own place, one row of w") { application in
      let last = application.result.rank - 1
      return [ReadRule.leading(last) + [.all], [.same(axis: last), .all]]
    }, lowering: .kernel { multiply($0, $1, isTransposed: false) },
    storage: .product(operands: [0], isResult: true), zero: .product)

  static let linearBackwardInput = OpDefinition(
    summary: "dx[…, i] = Σ_o dy[…, o] w[o, i].",
    operands: ["dy", "w"], attributes: computeAttribute,
    shape: { operands in
      try operands.needReal(1, rank: 2)
      try operands.needEqual(
        operands[0].shape.last ?? .number(1), operands[1].shape[0], "the sizes")
      return [TensorType(.tensor, operands[0].shape.dropLast() + [operands[1].shape[1]])]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("all features of dy at its own place, one column of w") { application in
      let last = application.result.rank - 1
      return [ReadRule.leading(last) + [.all], [.all, .same(axis: last)]]
    }, lowering: .kernel { multiply($0, $1, isTransposed: true) },
    storage: .product(operands: [0], isResult: true), isSurface: false)

  static let linearBackwardWeight = OpDefinition(
    summary: "dw[o, i] = Σ over all leading axes of dy[…, o] x[…, i].",
    operands: ["dy", "x"], attributes: computeAttribute,
    shape: { operands in
      try operands.needReal(0)
      try operands.needReal(1)
      guard let rows = operands[0].shape.last, let columns = operands[1].shape.last else {
        throw operands.fail("dy and x need an axis: \(operands[0]) and \(operands[1])")
      }
      if operands[0].shape.dropLast() != operands[1].shape.dropLast() {
        throw operands.fail("rows differ: \(operands[0]) and \(operands[1])")
      }
      return [TensorType(.tensor, [rows, columns])]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("one feature of dy and one of x at every place") { application in
      let places = [AxisRead](repeating: .all, count: application.operands[0].rank - 1)
      return [places + [.same(axis: 0)], places + [.same(axis: 1)]]
    }, lowering: .kernel(multiplyTokens), storage: .product(operands: [0, 1], isResult: false),
    isSurface: false)

  static let embed = OpDefinition(
    summary: "y[…, :] = table[ids[…], :].",
    operands: ["table", "ids"],
    shape: { operands in
      try operands.needReal(0, rank: 2)
      switch operands[1].kind {
      case .tokens: break
      case .index(let bound):
        if let rows = operands[0].shape[0].number, rows < bound {
          throw operands.fail("ids reach \(bound), the table has \(rows) rows")
        }
      default: throw operands.fail("ids must be tokens or an index, found \(operands[1])")
      }
      return [TensorType(.tensor, operands[1].shape + [operands[0].shape[1]])]
    },
    gradient: .rule { b, node, dy in
      let rows = b.type(node.operands[0]).shape[0].number!
      return [b.one(.embedBackward, [dy[0]!, node.operands[1]], [.vocab: .int(rows)]), nil]
    },
    reads: ReadRule("one feature of any row of the table, ids at its own place") { application in
      let last = application.result.rank - 1
      return [[.all, .same(axis: last)], ReadRule.leading(last)]
    }, lowering: .kernel(lookUp), slices: .never, zero: .operand(0))

  static let embedBackward = OpDefinition(
    summary: "dtable[v, :] = Σ of dy[…, :] where ids = v.",
    operands: ["dy", "ids"], attributes: [.vocab: .int()],
    shape: { operands in
      try operands.needReal(0)
      guard !operands[1].isReal, let width = operands[0].shape.last,
        Array(operands[0].shape.dropLast()) == operands[1].shape
      else {
        throw operands.fail("dy must have one row an id: \(operands[0]) and \(operands[1])")
      }
      return [TensorType(.tensor, [.number(operands.int(.vocab)), width])]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("one feature of dy at every place, all ids") { application in
      let places = [AxisRead](repeating: .all, count: application.operands[1].rank)
      return [places + [.same(axis: 1)], places]
    }, lowering: .kernel(addRows), isSurface: false)
}

// MARK: Lowering

/// x times a packed weight, or its transpose.
private func multiply(_ context: any LoweringContext, _ node: Node, isTransposed: Bool) {
  let (x, weight) = (node.operands[0], node.operands[1])
  let sizes = context.sizes(weight)
  let (n, k) = isTransposed ? (sizes[1], sizes[0]) : (sizes[0], sizes[1])
  let isBF16 = node.computesInBF16
  let packed = context.derived(
    Kernel.Pack(n: sizes[0], k: sizes[1], isTransposed: isTransposed, isBF16: isBF16),
    from: weight, source: weight)
  let matmul = Kernel.Matmul(
    m: context.rows(x), n: n, k: k, isBF16: isBF16, xIsBF16: context.isBF16(x),
    yIsBF16: context.isBF16(node.result))
  context.emit(
    matmul, [context.result(node.result), context.slot(x), packed], source: node.result)
}

/// Both operands of a weight gradient from token panels.
@Sendable private func multiplyTokens(_ context: any LoweringContext, _ node: Node) {
  let panels = node.operands.map { context.tokenPanels($0, isBF16: node.computesInBF16) }
  let sizes = context.sizes(node.result)
  let matmul = Kernel.MatmulWeight(
    m: context.rows(node.operands[0]), n: sizes[0], k: sizes[1], isBF16: node.computesInBF16)
  context.emit(matmul, [context.result(node.result)] + panels, source: node.result)
}

extension LoweringContext {
  /// The panels of a value for weight gradients.
  public func tokenPanels(_ value: Value, isBF16: Bool) -> Slot {
    let pack = Kernel.PackTokens(
      m: rows(value), n: sizes(value).last!, isBF16: isBF16, xIsBF16: self.isBF16(value))
    return derived(pack, from: value, source: value)
  }
}

@Sendable private func lookUp(_ context: any LoweringContext, _ node: Node) {
  let (table, ids) = (context.sizes(node.operands[0]), context.graph.type(node.operands[1]))
  context.emit(
    Kernel.Embed(rows: ids.count, width: table[1], vocab: table[0]), of: node)
}

@Sendable private func addRows(_ context: any LoweringContext, _ node: Node) {
  let (table, ids) = (context.sizes(node.result), context.graph.type(node.operands[1]))
  context.emit(
    Kernel.EmbedBackward(rows: ids.count, width: table[1], vocab: table[0]), of: node)
}

// MARK: Kernels

extension Kernel {
  /// A weight [n, k] to the panels that `matmul` reads; transposed, it multiplies by its columns.
  public struct Pack: KernelArguments {
    public static let name = "pack"
    public var n: Int
    public var k: Int
    public var isTransposed: Bool
    public var isBF16: Bool

    public var accesses: [Access] {
      [
        .init(
          .write, Panels.words(columns: isTransposed ? k : n, depth: isTransposed ? n : k, isBF16)),
        .init(.read, n * k),
      ]
    }
    public var flops: Double { 0 }
  }

  /// y [m, n] = x [m, k] times packed panels.
  public struct Matmul: KernelArguments {
    public static let name = "matmul"
    public var m: Int
    public var n: Int
    public var k: Int
    /// Whether products are of bf16; x and y lie in memory as bf16 independently of it.
    public var isBF16: Bool
    public var xIsBF16: Bool
    public var yIsBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, m * n, isBF16: yIsBF16, isRowwise: true),
        .init(.read, m * k, isBF16: xIsBF16, isRowwise: true),
        .init(.read, Panels.words(columns: n, depth: k, isBF16)),
      ]
    }
    public var flops: Double { 2 * Double(m) * Double(n) * Double(k) }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
    public var chainRows: Int? { m }
  }

  /// A value [m, n] to the token panels that `matmul_weight` reads.
  public struct PackTokens: KernelArguments {
    public static let name = "pack_tokens"
    public var m: Int
    public var n: Int
    public var isBF16: Bool
    public var xIsBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, Panels.words(tokens: m, columns: n, isBF16)),
        .init(.read, m * n, isBF16: xIsBF16, isRowwise: true),
      ]
    }
    public var flops: Double { 0 }
    public var chainRows: Int? { m }
  }

  /// dw [n, k] = dyᵀ x over m tokens, both in token panels.
  public struct MatmulWeight: KernelArguments {
    public static let name = "matmul_weight"
    public var m: Int
    public var n: Int
    public var k: Int
    public var isBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, n * k),
        .init(.read, Panels.words(tokens: m, columns: n, isBF16)),
        .init(.read, Panels.words(tokens: m, columns: k, isBF16)),
      ]
    }
    public var flops: Double { 2 * Double(m) * Double(n) * Double(k) }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
  }

  /// Sizes of packed operands, in words of four bytes: one number, or two of bf16 that follow each other
  /// in the depth of the product. Tests compare them with what kernels touch.
  enum Panels {
    /// Panels 64, or for narrow operands 32, columns wide.
    static func words(columns: Int, depth: Int, _ isBF16: Bool) -> Int {
      let panel = columns <= 32 ? 32 : 64
      return (columns + panel - 1) / panel * panel * (isBF16 ? (depth + 1) / 2 : depth)
    }

    /// Panels sixteen columns wide, an odd number of lines each.
    static func words(tokens: Int, columns: Int, _ isBF16: Bool) -> Int {
      (columns + 15) / 16 * ((isBF16 ? (tokens + 1) / 2 : tokens) | 1) * 16
    }
  }
}

extension Kernel {
  /// y [rows, width] = rows of a table [vocab, width].
  public struct Embed: KernelArguments {
    public static let name = "embed"
    public var rows: Int
    public var width: Int
    public var vocab: Int

    public var accesses: [Access] {
      [
        .init(.write, rows * width, isRowwise: true),
        .init(.read, vocab * width, needed: min(rows, vocab) * width),
        .init(.read, rows, isRowwise: true),
      ]
    }
    public var flops: Double { 0 }
    public var chainRows: Int? { rows }
  }

  /// dtable [vocab, width] = sums of rows of dy [rows, width] by their ids.
  public struct EmbedBackward: KernelArguments {
    public static let name = "embed_backward"
    public var rows: Int
    public var width: Int
    public var vocab: Int

    public var accesses: [Access] {
      [.init(.write, vocab * width), .init(.read, rows * width), .init(.read, rows)]
    }
    public var flops: Double { Double(rows) * Double(width) }
  }
}
