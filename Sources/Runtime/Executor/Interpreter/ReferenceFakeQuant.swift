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

  /// The rows of a matrix, or the groups of all rows.
  func lines(of matrix: Reference.Tensor) throws -> [ArraySlice<Double>] {
    let rows = try Reference.rows(of: matrix).map { $0[...] }
    let group = quantizer.quantizer.group
    guard group > 0 else { return rows }
    return rows.flatMap { row in
      stride(from: row.startIndex, to: row.endIndex, by: group).map { row[$0..<$0 + group] }
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
    for row in try rule.lines(of: w) {
      if let round = rule.softRound {
        let step = rule.quantizer.scale(of: Array(row)).stored
        y += row.map { rule.soft($0, round, step: step, alpha: alpha).0 }
      } else {
        y += rule.quantizer.quantised(Array(row)).dequantised
      }
    }
    return Tensor(w.sizes, y)
  }

  /// The weights as they would be in E4M3; alpha of 0 or less is off.
  static func fakeFloat8(_ w: Tensor, alpha: Tensor) throws -> Tensor {
    guard try alpha.scalar > 0 else { return w }
    return Tensor(w.sizes, try w.reals.map(ReferenceQuantizer.roundedToFloat8))
  }

  /// dw = dy, times the slope of the soft round where there is one. The scale has no gradient.
  static func fakeQuantBackward(
    _ dy: Tensor, _ w: Tensor, alpha: Tensor, _ rule: FakeQuantRule
  ) throws -> Tensor {
    try dy.check(w.sizes, "dy")
    let alpha = try alpha.scalar
    guard alpha > 0, let round = rule.softRound else { return dy }
    var dw: [Double] = []
    for (slopes, row) in zip(try rule.lines(of: dy), try rule.lines(of: w)) {
      let step = rule.quantizer.scale(of: Array(row)).stored
      dw += zip(slopes, row).map { $0 * rule.soft($1, round, step: step, alpha: alpha).1 }
    }
    return Tensor(w.sizes, dw)
  }
}
