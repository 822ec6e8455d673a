// SPDX-License-Identifier: Apache-2.0
// The quantiser as a node of the training graph. Scale, clip and codes are those of export and loader.

private let quantizerAttributes: [AttributeName: AttributeKind] = [
  .bits: .int(), .clip: .word(Quantizer.Clip.words), .parameter: .double(default: 0),
  .floor: .double(default: 1e-10), .halfFloor: .double(default: 0),
  .asymmetric: .bool(default: false),
  .form: .word(Kernel.Rounding.allCases.map(\.rawValue)),
]

extension OpDefinition {
  static let fakeQuant = OpDefinition(
    summary: "y = the value w would have after quantisation to int rows; alpha 0 is off (y = w). "
      + "Straight-through: code * scale. Soft round: floor(r) + 1/2 + tanh(alpha (frac - 1/2)) / "
      + "(2 tanh(alpha/2)), clamped, times scale. The scale has no gradient.",
    operands: ["w", "alpha"], attributes: quantizerAttributes,
    shape: { operands in
      try operands.needReal(0, rank: 2)
      try operands.needReal(1, rank: 0)
      guard (2...8).contains(operands.int(.bits)) else {
        throw operands.fail("bits must be 2 to 8, found \(operands.int(.bits))")
      }
      return [operands[0]]
    },
    gradient: .rule { b, node, dy in
      [b.one(.fakeQuantBackward, [dy[0]!] + node.operands, node.attributes), nil]
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
}

// MARK: Lowering

/// The scales of a weight's rows once for all nodes that read them, then the node.
@Sendable private func quantize(_ context: any LoweringContext, _ node: Node) {
  let isBackward = node.operands.count > 2
  let weight = node.operands[isBackward ? 1 : 0]
  let sizes = context.sizes(weight)
  let quantizer = node.quantizer
  let scale = context.derived(
    .quantScale(.init(height: sizes[0], width: sizes[1], quantizer: quantizer)), from: weight,
    source: weight)
  let arguments = Kernel.FakeQuantArguments(
    height: sizes[0], width: sizes[1], qmin: quantizer.qmin, qmax: quantizer.qmax,
    rounding: Kernel.Rounding(rawValue: node.word(.form))!)
  let kernel: Kernel =
    isBackward
    ? .fakeQuantBackward(.init(arguments: arguments)) : .fakeQuant(.init(arguments: arguments))
  let operands =
    context.slots(node.operands.dropLast()) + [scale, context.slot(node.operands.last!)]
  context.emit(kernel, context.results(node) + operands, source: node.result)
}

extension Node {
  /// The quantiser that a fake_quant node stands for.
  public var quantizer: Quantizer {
    Quantizer(
      bits: int(.bits), clip: Quantizer.Clip(word(.clip), double(.parameter))!,
      floor: double(.floor), halfFloor: double(.halfFloor), isAsymmetric: bool(.asymmetric))
  }
}
