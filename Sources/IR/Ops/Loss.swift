// SPDX-License-Identifier: Apache-2.0
// From logits to distributions, losses and weighted sums.

private func logitShapes(_ operands: OpDefinition.Operands) throws {
  try operands.needReal(0)
  try operands.needCap(orNone: true)
  guard operands[1].kind == .tokens else {
    throw operands.fail("targets must be tokens, found \(operands[1])")
  }
  if operands[0].rank == 0 || Array(operands[0].shape.dropLast()) != operands[1].shape {
    throw operands.fail("positions differ: \(operands[0]) and \(operands[1])")
  }
}

extension OpDefinition {
  static let softmax = OpDefinition(
    summary: "y = exp(z) / Σ exp(z) over the last axis: the one way to make a dist.",
    operands: ["z"],
    shape: { operands in
      try operands.needReal(0)
      if operands[0].rank == 0 { throw operands.fail("z must have an axis") }
      return [TensorType(.dist, operands[0].shape)]
    },
    gradient: .none(because: "losses are derived from the logits of a dist"),
    reads: .lastAxis, lowering: .none(because: "derive logits, loss or score first"))

  static let crossEntropy = OpDefinition(
    summary: "nll = lse - l[target] with logits l = cap tanh(z/cap) (cap 0: l = z), "
      + "lse = log Σ exp(l). In nats.",
    operands: ["z", "targets"], results: ["nll", "lse"],
    attributes: [.cap: .double(default: 0)],
    shape: { operands in
      try logitShapes(operands)
      let type = TensorType(.tensor, operands[1].shape)
      return [type, type]
    },
    gradient: .rule { b, node, dy in
      guard let any = dy[0] ?? dy[1] else { return [nil, nil] }
      let dnll = dy[0] ?? b.one(.scale, [any], [.by: .double(0)])
      let operands = node.operands + [node.results[1], dnll] + (dy[1].map { [$0] } ?? [])
      return [
        b.one(.crossEntropyBackward, operands, [.cap: .double(node.double(.cap))]), nil,
      ]
    },
    reads: ReadRule("the whole last axis of z at its own place") { application in
      let places = ReadRule.leading(application.result.rank)
      // The log of the sum does not know the target.
      return [places + [.all], application.index == 0 ? places : nil]
    }, lowering: .kernel(lose), isSurface: false)

  static let crossEntropyBackward = OpDefinition(
    summary: "dz = (exp(l - lse) (dnll + dlse) - onehot(target) dnll) (1 - (l/cap)²).",
    operands: ["z", "targets", "lse", "dnll", "dlse?"], attributes: [.cap: .double(default: 0)],
    shape: { operands in
      try logitShapes(operands)
      for type in operands.types.dropFirst(2) where type.shape != operands[1].shape {
        throw operands.fail("lse, dnll and dlse must be \(operands[1].shape), found \(type)")
      }
      return [operands[0]]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("its own place") { application in
      let rank = application.result.rank
      return [ReadRule.leading(rank)]
        + [[AxisRead]?](
          repeating: ReadRule.leading(rank - 1), count: application.operands.count - 1)
    }, lowering: .kernel(loseBackward), storage: .asRead, isSurface: false)

  static let dot = OpDefinition(
    summary: "y = Σ a b, a scalar.",
    operands: ["a", "b"],
    shape: { operands in
      _ = try sameAsFirst(operands)
      return [.scalar]
    },
    gradient: .rule { b, node, dy in
      [
        b.one(.mul, [node.operands[1], dy[0]!]), b.one(.mul, [node.operands[0], dy[0]!]),
      ]
    },
    reads: .everything, lowering: .kernel(sumProducts), isSurface: false)
}

// MARK: Lowering

@Sendable private func lose(_ context: any LoweringContext, _ node: Node) {
  let z = node.operands[0]
  context.emit(
    Kernel.CrossEntropy(
      rows: context.rows(z), vocab: context.sizes(z).last!, cap: node.double(.cap)),
    of: node, rowsOf: z)
}

@Sendable private func loseBackward(_ context: any LoweringContext, _ node: Node) {
  let z = node.operands[0]
  context.emit(
    Kernel.CrossEntropyBackward(
      rows: context.rows(z), vocab: context.sizes(z).last!, cap: node.double(.cap),
      dzIsBF16: context.isBF16(node.result), hasDlse: node.operands.count > 4), of: node, rowsOf: z)
}

@Sendable private func sumProducts(_ context: any LoweringContext, _ node: Node) {
  context.emit(
    Kernel.Dot(n: context.graph.type(node.operands[0]).count), of: node)
}

// MARK: Kernels

extension Kernel {
  /// nll, log of sums = cross-entropy of logits [rows, vocab] and targets, capped unless cap is 0.
  public struct CrossEntropy: KernelArguments {
    public static let name = "cross_entropy"
    public var rows: Int
    public var vocab: Int
    public var cap: Double

    public var accesses: [Access] {
      [
        .init(.write, rows, isRowwise: true), .init(.write, rows, isRowwise: true),
        .init(.read, rows * vocab, isRowwise: true), .init(.read, rows, isRowwise: true),
      ]
    }
    public var flops: Double { lossFlops(rows, vocab, cap) }
    public var chainRows: Int? { rows }
  }

  /// dz of logits, targets, the log of sums, dnll and, where there is one, the gradient of that log.
  public struct CrossEntropyBackward: KernelArguments {
    public static let name = "cross_entropy_backward"
    public var rows: Int
    public var vocab: Int
    public var cap: Double
    public var dzIsBF16: Bool
    public var hasDlse: Bool

    public var accesses: [Access] {
      let row = Access(.read, rows, isRowwise: true)
      return [
        .init(.write, rows * vocab, isBF16: dzIsBF16, isRowwise: true),
        .init(.read, rows * vocab, isRowwise: true), row, row, row,
      ] + (hasDlse ? [row] : [])
    }
    public var flops: Double { lossFlops(rows, vocab, cap) }
    public var chainRows: Int? { rows }
  }

  /// Exponential, maximum, sum and difference a logit; the cap is a tanh and two products more.
  private static func lossFlops(_ rows: Int, _ vocab: Int, _ cap: Double) -> Double {
    Double(rows) * Double(vocab) * (cap != 0 ? 7 : 4)
  }
}
