// SPDX-License-Identifier: Apache-2.0
// Caps of logits: by tanh, by a polynomial, and with a learned cap on either side of zero.

extension OpDefinition.Operands {
  /// Throws unless the cap is one that kernels in f32 apply as the formula says: they multiply by its
  /// inverse. NaN lies in no range.
  func needCap(orNone isOptional: Bool = false) throws {
    let cap = double(.cap)
    if isOptional, cap == 0 { return }
    guard (1e-30...1e30).contains(cap) else {
      throw fail(
        "cap must be \(isOptional ? "0, for none, or " : "")from 1e-30 to 1e30, found \(shortest(cap))"
          + (isOptional ? "" : "; to have no cap, leave the op out"))
    }
  }
}

/// The shape rule of an op that caps.
@Sendable private func capped(_ operands: OpDefinition.Operands) throws -> [TensorType] {
  try operands.needCap()
  return try sameAsFirst(operands)
}

/// The shape rule of an op on logits with two caps, which are single numbers.
@Sendable private func cappedByNumbers(_ operands: OpDefinition.Operands) throws -> [TensorType] {
  try operands.needReal(0)
  for index in 1...2 where operands[index] != .scalar {
    throw operands.fail("a cap must be a single number, f32[], found \(operands[index])")
  }
  return [operands[0]]
}

extension OpDefinition {
  static let softcap = OpDefinition(
    summary: "y = cap * tanh(x / cap): bounds logits smoothly; cap from 1e-30 to 1e30.",
    operands: ["x"], attributes: [.cap: .double()], positional: [.cap], shape: capped,
    gradient: .rule { b, node, dy in
      [b.one(.softcapBackward, [dy[0]!, node.result], [.cap: .double(node.double(.cap))])]
    },
    reads: .elementwise, lowering: .row(.init("softcap", flops: 3), immediate: .cap),
    recompute: .ofOneActivation, zero: .operand(0))

  static let softcapBackward = OpDefinition(
    summary: "dx = dy * (1 - (y/cap)²), with y = softcap(x).",
    operands: ["dy", "y"], attributes: [.cap: .double()], shape: capped,
    gradient: .none(because: "second derivatives are not needed"),
    reads: .elementwise,
    lowering: .row(.init("softcap_backward", operands: 2, flops: 4), immediate: .cap),
    isSurface: false)

  static let softcapQuintic = OpDefinition(
    summary:
      "y = cap * clamp(u (1 - u²/3 + u⁴/15), -1, 1), u = clamp(x / cap, -2, 2): the series of "
      + "tanh up to its fifth power; cap from 1e-30 to 1e30.",
    operands: ["x"], attributes: [.cap: .double()], positional: [.cap], shape: capped,
    gradient: .rule { b, node, dy in
      [
        b.one(
          .softcapQuinticBackward, [dy[0]!, node.operands[0]], [.cap: .double(node.double(.cap))])
      ]
    },
    reads: .elementwise, lowering: .row(.init("softcap_quintic", flops: 8), immediate: .cap),
    recompute: .ofOneActivation, zero: .operand(0))

  static let softcapQuinticBackward = OpDefinition(
    summary: "dx = dy * (1 - u² + u⁴/3) where softcap_quintic(x) clamps nothing, 0 elsewhere.",
    operands: ["dy", "x"], attributes: [.cap: .double()], shape: capped,
    gradient: .none(because: "second derivatives are not needed"),
    reads: .elementwise,
    lowering: .row(.init("softcap_quintic_backward", operands: 2, flops: 10), immediate: .cap),
    isSurface: false)

  static let softcapAsymmetric = OpDefinition(
    summary: "y = s * tanh(x / s), with s = above where x > 0 and s = below elsewhere.",
    operands: ["x", "above", "below"], shape: cappedByNumbers,
    gradient: .rule { b, node, dy in
      let (x, y) = (node.operands[0], node.result)
      let cap = b.one(.capOfSign, node.operands)
      let slope = b.one(.softcapByBackwardCap, [dy[0]!, x, cap])
      let above = b.one(.leakyReluBackward, [slope, x], [.slope: .double(0)])
      let below = b.one(.sub, [slope, above])
      return [
        b.one(.softcapByBackward, [dy[0]!, y, cap]), b.reduced(above, to: node.operands[1]),
        b.reduced(below, to: node.operands[2]),
      ]
    },
    reads: .elementwise, lowering: .row(.init("softcap_asymmetric", operands: 3, flops: 4)),
    zero: .operand(0))

  static let capOfSign = OpDefinition(
    summary: "s = above where x > 0, below elsewhere.",
    operands: ["x", "above", "below"], shape: cappedByNumbers,
    gradient: .none(because: "only made by gradients"),
    reads: .elementwise, lowering: .row(.init("cap_of_sign", operands: 3, flops: 1)),
    isSurface: false)

  static let softcapByBackward = OpDefinition(
    summary: "dx = dy * (1 - (y/s)²), with y = s * tanh(x / s).",
    operands: ["dy", "y", "s"], shape: sameAsFirst,
    gradient: .none(because: "second derivatives are not needed"),
    reads: .elementwise, lowering: .row(.init("softcap_by_backward", operands: 3, flops: 4)),
    isSurface: false)

  static let softcapByBackwardCap = OpDefinition(
    summary: "ds = dy * (t - u (1 - t²)), with u = x / s, t = tanh(u).",
    operands: ["dy", "x", "s"], shape: sameAsFirst,
    gradient: .none(because: "second derivatives are not needed"),
    reads: .elementwise, lowering: .row(.init("softcap_by_backward_cap", operands: 3, flops: 7)),
    isSurface: false)
}
