// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation over the last axis, without a weight.

extension OpDefinition {
  /// The epsilon of float32, which PyTorch's rms_norm takes when none is given.
  static let normEpsilon = 1.1920929e-07

  static let rmsNorm = OpDefinition(
    summary: "y = x / sqrt(mean(x²) + epsilon), over the last axis.",
    operands: ["x"], attributes: [.epsilon: .double(default: normEpsilon)],
    shape: { operands in
      if operands[0].rank == 0 { throw operands.fail("x must have an axis, found a scalar") }
      return try sameAsFirst(operands)
    },
    gradient: .rule { b, node, dy in
      let attributes: [AttributeName: AttributeValue] = [.epsilon: .double(node.double(.epsilon))]
      return [b.one(.rmsNormBackward, [dy[0]!, node.operands[0]], attributes)]
    },
    reads: .lastAxis, lowering: .row(.init("rms_norm", flops: 3), immediate: .epsilon),
    recompute: .ofOneActivation, zero: .operand(0))

  static let rmsNormBackward = OpDefinition(
    summary: "dx = r dy - x r³ mean(dy x), with r = 1 / sqrt(mean(x²) + epsilon).",
    operands: ["dy", "x"], attributes: [.epsilon: .double(default: normEpsilon)],
    shape: sameAsFirst,
    gradient: .none(because: "second derivatives are not needed"),
    reads: .lastAxis, lowering: .row(.rmsNormBackward, immediate: .epsilon), isSurface: false)
}
