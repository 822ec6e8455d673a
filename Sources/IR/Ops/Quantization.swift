// SPDX-License-Identifier: Apache-2.0
// The quantiser as a node of the training graph. Scale, clip and codes are those of export and loader.

private let quantizerAttributes: [AttributeName: AttributeKind] = [
  .bits: .int(), .clip: .word(["max", "quantile", "sdclip"]), .parameter: .double(default: 0),
  .floor: .double(default: 1e-10), .halfFloor: .double(default: 0),
  .asymmetric: .bool(default: false),
  .form: .word(["straight_through", "soft_round", "soft_round_logistic"]),
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
    }, isSurface: false)
}
