// SPDX-License-Identifier: Apache-2.0
// The quantiser as a node of the training graph, over ReferenceQuantizer.

import IR

/// The settings of a fake_quant node.
struct FakeQuantRule {
  let quantizer: ReferenceQuantizer
  /// Nil: straight-through.
  let softRound: SoftRound?

  init(_ node: Node) throws {
    quantizer = ReferenceQuantizer(node.quantizer)
    switch node.word(.form) {
    case "straight_through": softRound = nil
    case "soft_round": softRound = .exact
    case "soft_round_logistic": softRound = .logistic
    case let other: throw InterpreterError("unknown form \(other)")
    }
  }

  /// The value of a weight after a soft round, and d value / d w: 0 where clamped to ±qmax.
  func soft(_ w: Double, _ round: SoftRound, step: Double, alpha: Double) -> (Double, Double) {
    // A step that f16 rounds to 0 makes every code 0.
    guard step != 0 else { return (0, 0) }
    let limit = Double(quantizer.quantizer.qmax)
    let code = round.value(w / step, alpha: alpha)
    if code > limit { return (limit * step, 0) }
    if code < -limit { return (-limit * step, 0) }
    return (code * step, round.slope(w / step, alpha: alpha))
  }
}

extension Reference {
  /// The weights as they would be after quantisation; alpha of 0 or less is off.
  static func fakeQuant(_ w: Tensor, alpha: Tensor, _ rule: FakeQuantRule) throws -> Tensor {
    let alpha = try alpha.scalar
    guard alpha > 0 else { return w }
    var y: [Double] = []
    for row in try rows(of: w) {
      if let round = rule.softRound {
        let step = rule.quantizer.scale(of: Array(row)).stored
        y += row.map { rule.soft($0, round, step: step, alpha: alpha).0 }
      } else {
        y += rule.quantizer.quantised(Array(row)).dequantised
      }
    }
    return Tensor(w.sizes, y)
  }

  /// dw = dy, times the slope of the soft round where there is one. The scale has no gradient.
  static func fakeQuantBackward(
    _ dy: Tensor, _ w: Tensor, alpha: Tensor, _ rule: FakeQuantRule
  ) throws -> Tensor {
    try dy.check(w.sizes, "dy")
    let alpha = try alpha.scalar
    guard alpha > 0, let round = rule.softRound else { return dy }
    var dw: [Double] = []
    for (slopes, row) in zip(try rows(of: dy), try rows(of: w)) {
      let step = rule.quantizer.scale(of: Array(row)).stored
      dw += zip(slopes, row).map { $0 * rule.soft($1, round, step: step, alpha: alpha).1 }
    }
    return Tensor(w.sizes, dw)
  }
}
