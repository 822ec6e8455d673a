// SPDX-License-Identifier: Apache-2.0
// The quantiser as a node of the training graph. Scale, clip and codes are those of export and loader.

private let quantizerAttributes: [AttributeName: AttributeKind] = [
  .bits: .int(), .clip: .word(Quantizer.Clip.Kind.allCases.map(\.rawValue)),
  .parameters: .doubles(default: []),
  .floor: .double(default: 1e-10), .halfFloor: .double(default: 0),
  .asymmetric: .bool(default: false), .group: .int(default: 0),
  .form: .word(Kernel.Rounding.allCases.map(\.rawValue)),
]

extension OpDefinition {
  static let fakeQuant = OpDefinition(
    summary:
      "y = the value w would have after quantisation to int rows, or groups of so many columns; "
      + "alpha 0 is off (y = w). "
      + "Straight-through: code * scale. Soft round: floor(r) + 1/2 + tanh(alpha (frac - 1/2)) / "
      + "(2 tanh(alpha/2)), clamped, times scale. The scale has no gradient.",
    operands: ["w", "alpha"], attributes: quantizerAttributes,
    shape: { operands in
      try operands.needReal(0, rank: 2)
      try operands.needReal(1, rank: 0)
      guard Quantizer.allBits.contains(operands.int(.bits)) else {
        throw operands.fail("bits must be 2 to 8, found \(operands.int(.bits))")
      }
      let (group, columns) = (operands.int(.group), operands[0].sizes.last ?? 0)
      guard group == 0 || group > 0 && columns % group == 0 else {
        throw operands.fail("groups of \(group) do not divide rows of \(columns)")
      }
      let clip = Quantizer.Clip(operands.attributes)
      guard (clip.kind.argument?.count ?? 0...0).contains(clip.parameters.count) else {
        throw operands.fail(
          "\(clip.kind.rawValue) does not take \(clip.parameters.count) parameters")
      }
      return [operands[0]]
    },
    gradient: .rule { b, node, dy in
      node.word(.form) == Kernel.Rounding.straightThrough.rawValue
        ? [dy[0]!, nil]
        : [b.one(.fakeQuantBackward, [dy[0]!] + node.operands, node.attributes), nil]
    },
    reads: ReadRule("the whole row of w, alpha") { _ in [[.same(axis: 0), .all], []] },
    lowering: .kernel(quantize),
    isSurface: false)

  static let fakeQuantBackward = OpDefinition(
    summary:
      "dw = dy (straight-through), or dy times the slope of the soft round, 0 where clamped.",
    operands: ["dy", "w", "alpha"], attributes: quantizerAttributes,
    shape: { operands in
      try operands.needReal(1, rank: 2)
      if operands[0] != operands[1] {
        throw operands.fail("dy must be \(operands[1]), found \(operands[0])")
      }
      return [operands[1]]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("dy at its place, the whole row of w, alpha") { _ in
      [ReadRule.leading(2), [.same(axis: 0), .all], []]
    }, lowering: .kernel(quantize), isSurface: false)

  static let fakeFloat8 = OpDefinition(
    summary:
      "y = the value w would have after storing it in E4M3, half to even and at most 448; alpha 0 is "
      + "off (y = w). Straight-through.",
    operands: ["w", "alpha"],
    shape: { operands in
      try operands.needReal(0)
      try operands.needReal(1, rank: 0)
      return [operands[0]]
    },
    gradient: .rule { _, _, dy in [dy[0]!, nil] },
    reads: .elementwise, lowering: .row(.init("float8", operands: 2, flops: 4)), isSurface: false)
}

extension AttributeName {
  public static let group = Self("group")
}

// MARK: Lowering

/// The scales of a weight's rows once for all nodes that read them, then the node.
@Sendable private func quantize(_ context: any LoweringContext, _ node: Node) {
  let isBackward = node.operands.count > 2
  let weight = node.operands[isBackward ? 1 : 0]
  let sizes = context.sizes(weight)
  let quantizer = node.quantizer
  // Groups are rows of their own to the kernels.
  let lines = quantizer.scales(rows: sizes[0], columns: sizes[1])
  let length = sizes[0] * sizes[1] / max(lines, 1)
  let scale = context.derived(
    Kernel.QuantScale(rows: lines, columns: length, quantizer: quantizer), from: weight,
    source: weight)
  let arguments = Kernel.FakeQuantArguments(
    rows: lines, columns: length, qmin: quantizer.qmin, qmax: quantizer.qmax,
    rounding: Kernel.Rounding(rawValue: node.word(.form))!)
  let kernel: any KernelArguments =
    isBackward
    ? Kernel.FakeQuantBackward(arguments: arguments) : Kernel.FakeQuant(arguments: arguments)
  let operands =
    context.slots(node.operands.dropLast()) + [scale, context.slot(node.operands.last!)]
  context.emit(kernel, context.results(node) + operands, source: node.result)
}

extension Node {
  /// The quantiser that a fake_quant node stands for.
  public var quantizer: Quantizer {
    var quantizer = Quantizer(
      bits: int(.bits), clip: Quantizer.Clip(attributes),
      floor: double(.floor), halfFloor: double(.halfFloor), isAsymmetric: bool(.asymmetric))
    quantizer.group = int(.group)
    return quantizer
  }
}

extension Quantizer.Clip {
  /// Attributes that the op's definition has admitted.
  fileprivate init(_ attributes: [AttributeName: AttributeValue]) {
    guard case .word(let word)? = attributes[.clip], let kind = Kind(rawValue: word),
      case .doubles(let parameters)? = attributes[.parameters]
    else { preconditionFailure("a quantiser without a clip") }
    self.init(kind, parameters)
  }
}

// MARK: Kernels

extension Kernel {
  /// One scale a row of a weight [rows, columns].
  public struct QuantScale: KernelArguments {
    public static let name = "quant_scale"
    public var rows: Int
    public var columns: Int
    public var quantizer: Quantizer

    public init(rows: Int, columns: Int, quantizer: Quantizer) {
      (self.rows, self.columns, self.quantizer) = (rows, columns, quantizer)
    }

    public var accesses: [Access] { [.init(.write, rows), .init(.read, rows * columns)] }
    public var flops: Double { Double(rows) * Double(columns) }
  }

  /// How codes are rounded while training.
  public enum Rounding: String, Hashable, Sendable, CaseIterable {
    case straightThrough = "straight_through"
    case softRound = "soft_round"
    case softRoundLogistic = "soft_round_logistic"
  }

  /// What the rounding of a weight [rows, columns] and its gradient share.
  public struct FakeQuantArguments: Hashable, Sendable {
    public var rows: Int
    public var columns: Int
    public var qmin: Int
    public var qmax: Int
    public var rounding: Rounding

    var weights: Int { rows * columns }
  }

  /// y of w, its scales and alpha.
  public struct FakeQuant: KernelArguments {
    public static let name = "fake_quant"
    public var arguments: FakeQuantArguments

    public var accesses: [Access] {
      [
        .init(.write, arguments.weights), .init(.read, arguments.weights),
        .init(.read, arguments.rows), .init(.read, 1),
      ]
    }
    public var flops: Double { 4 * Double(arguments.weights) }
  }

  /// dw of dy, w, its scales and alpha. The straight-through gradient does not look at the weights.
  public struct FakeQuantBackward: KernelArguments {
    public static let name = "fake_quant_backward"
    public var arguments: FakeQuantArguments

    private var isStraight: Bool { arguments.rounding == .straightThrough }

    public var accesses: [Access] {
      let (weights, rows) = (arguments.weights, arguments.rows)
      return [
        .init(.write, weights), .init(.read, weights),
        .init(.read, weights, needed: isStraight ? 0 : weights),
        .init(.read, rows, needed: isStraight ? 0 : rows), .init(.read, 1),
      ]
    }
    public var flops: Double { isStraight ? 0 : 6 * Double(arguments.weights) }
  }
}
