// SPDX-License-Identifier: Apache-2.0
// Ops that compute each element from the elements at the same place, with broadcasting.

/// The shape two operands stretch to: aligned at the right, missing axes and literal 1s stretch.
@Sendable func broadcast(_ operands: OpDefinition.Operands) throws -> [TensorType] {
  try operands.needReal(0)
  try operands.needReal(1)
  let (left, right) = (operands[0].shape, operands[1].shape)
  if left == right { return [TensorType(.tensor, left)] }
  let rank = max(left.count, right.count)
  var shape: [Dim] = []
  for axis in 0..<rank {
    let one = Dim.number(1)
    let a = axis - (rank - left.count) < 0 ? one : left[axis - (rank - left.count)]
    let b = axis - (rank - right.count) < 0 ? one : right[axis - (rank - right.count)]
    guard a == b || a == one || b == one else {
      throw operands.fail(
        "shapes do not fit: \(operands[0]) and \(operands[1]) differ in axis \(axis) of \(rank)"
          + " (\(a) and \(b))")
    }
    shape.append(a == one ? b : a)
  }
  return [TensorType(.tensor, shape)]
}

@Sendable func sameAsFirst(_ operands: OpDefinition.Operands) throws -> [TensorType] {
  try operands.needReal(0)
  for index in operands.types.indices.dropFirst() where operands[index] != operands[0] {
    throw operands.fail("shapes differ: \(operands[0]) and \(operands[index])")
  }
  return [operands[0]]
}

extension Builder {
  /// Sums a gradient over the axes along which an operand was stretched.
  mutating func reduced(_ gradient: Value, to operand: Value) -> Value {
    let wanted = type(operand)
    if type(gradient).shape == wanted.shape { return gradient }
    return one(.sumTo, [gradient], [.shape: .dims(wanted.shape)])
  }
}

extension OpDefinition {
  static let add = OpDefinition(
    summary: "y = a + b, with broadcasting.",
    operands: ["a", "b"], shape: broadcast,
    gradient: .rule { b, node, dy in
      [b.reduced(dy[0]!, to: node.operands[0]), b.reduced(dy[0]!, to: node.operands[1])]
    },
    reads: .elementwise, lowering: .row(.add), recompute: .sums, zero: .sum)

  static let sub = OpDefinition(
    summary: "y = a - b, with broadcasting.",
    operands: ["a", "b"], shape: broadcast,
    gradient: .rule { b, node, dy in
      let negative = b.one(.scale, [dy[0]!], [.by: .double(-1)])
      return [b.reduced(dy[0]!, to: node.operands[0]), b.reduced(negative, to: node.operands[1])]
    },
    reads: .elementwise, lowering: .row(.init("sub", operands: 2, flops: 1)), zero: .sum)

  static let mul = OpDefinition(
    summary: "y = a * b, with broadcasting.",
    operands: ["a", "b"], shape: broadcast,
    gradient: .rule { b, node, dy in
      let (left, right) = (node.operands[0], node.operands[1])
      let da = b.one(.mul, [dy[0]!, right])
      let db = b.one(.mul, [dy[0]!, left])
      return [b.reduced(da, to: left), b.reduced(db, to: right)]
    },
    reads: .elementwise, lowering: .row(.mul), recompute: .ofOneActivationAndInSums, zero: .product)

  static let scale = OpDefinition(
    summary: "y = by * x, with a constant.",
    operands: ["x"], attributes: [.by: .double()], positional: [.by], shape: sameAsFirst,
    gradient: .rule { b, node, dy in
      [b.one(.scale, [dy[0]!], [.by: .double(node.double(.by))])]
    },
    reads: .elementwise, lowering: .row(.scale, immediate: .by), recompute: .atReaders,
    zero: .operand(0))

  static let offset = OpDefinition(
    summary: "y = x + by, with a constant.",
    operands: ["x"], attributes: [.by: .double()], positional: [.by], shape: sameAsFirst,
    gradient: .rule { _, _, dy in [dy[0]!] },
    reads: .elementwise, lowering: .row(.init("offset", flops: 1), immediate: .by),
    recompute: .ofOneActivation)

  static let square = OpDefinition(
    summary: "y = x².",
    operands: ["x"], shape: sameAsFirst,
    gradient: .rule { b, node, dy in
      let twice = b.one(.scale, [node.operands[0]], [.by: .double(2)])
      return [b.one(.mul, [dy[0]!, twice])]
    },
    reads: .elementwise, lowering: .row(.square), recompute: .ofOneActivation, zero: .operand(0))

  static let sigmoid = OpDefinition(
    summary: "y = 1 / (1 + exp(-x)).",
    operands: ["x"], shape: sameAsFirst,
    gradient: .rule { b, node, dy in
      let slope = b.one(.sub, [node.result, b.one(.square, [node.result])])
      return [b.one(.mul, [dy[0]!, slope])]
    },
    reads: .elementwise, lowering: .row(.init("sigmoid", flops: 3)), recompute: .ofOneActivation)

  static let tanh = OpDefinition(
    summary: "y = tanh(x).",
    operands: ["x"], shape: sameAsFirst,
    gradient: .rule { b, node, dy in
      let product = b.one(.mul, [dy[0]!, b.one(.square, [node.result])])
      return [b.one(.sub, [dy[0]!, product])]
    },
    reads: .elementwise, lowering: .row(.init("tanh", flops: 1)), recompute: .ofOneActivation,
    zero: .operand(0))

  static let leakyRelu = OpDefinition(
    summary: "y = x where x > 0, slope * x elsewhere; slope 0 is relu.",
    operands: ["x"], attributes: [.slope: .double(default: 0)], positional: [.slope],
    shape: sameAsFirst,
    gradient: .rule { b, node, dy in
      let attributes: [AttributeName: AttributeValue] = [.slope: .double(node.double(.slope))]
      return [b.one(.leakyReluBackward, [dy[0]!, node.operands[0]], attributes)]
    },
    reads: .elementwise, lowering: .row(.leakyRelu, immediate: .slope), recompute: .atReaders,
    zero: .operand(0))

  static let leakyReluBackward = OpDefinition(
    summary: "dx = dy where x > 0, slope * dy elsewhere.",
    operands: ["dy", "x"], attributes: [.slope: .double(default: 0)], shape: sameAsFirst,
    gradient: .none(because: "second derivatives are not needed"),
    reads: .elementwise, lowering: .row(.leakyReluBackward, immediate: .slope), isSurface: false)

  static let lerp = OpDefinition(
    summary: "y = a + w * (b - a), with broadcasting: a where w is 0, b where it is 1.",
    operands: ["a", "b", "w"],
    shape: { operands in
      let ends = try broadcast(operands)
      return try broadcast(
        OpDefinition.Operands(op: .lerp, types: ends + [operands[2]], attributes: [:]))
    },
    gradient: .rule { b, node, dy in
      let weighted = b.one(.mul, [dy[0]!, node.operands[2]])
      let difference = b.one(.sub, [node.operands[1], node.operands[0]])
      return [
        b.reduced(b.one(.sub, [dy[0]!, weighted]), to: node.operands[0]),
        b.reduced(weighted, to: node.operands[1]),
        b.reduced(b.one(.mul, [dy[0]!, difference]), to: node.operands[2]),
      ]
    },
    reads: .elementwise, lowering: .row(.init("lerp", operands: 3, flops: 3)), zero: .sum)
}
