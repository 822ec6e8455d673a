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
    })

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
    }, isSurface: false)

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
    }, isSurface: false)

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
    })

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
    }, isSurface: false)
}
