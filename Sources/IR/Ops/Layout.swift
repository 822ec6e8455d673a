// SPDX-License-Identifier: Apache-2.0
// Ops that move or sum elements without computing new ones: slices, heads, reductions of broadcasts.

/// Rows and positions stay what they are; features move.
private let splitFeatures = ReadRule("all features at its own row and position") { application in
  [ReadRule.leading(2) + [AxisRead](repeating: .all, count: application.operands[0].rank - 2)]
}

extension OpDefinition {
  static let slice = OpDefinition(
    summary: "y = x[start ..< start + count] along an axis; squeeze drops the axis (count 1).",
    operands: ["x"],
    attributes: [.axis: .int(), .start: .int(), .count: .int(), .squeeze: .bool(default: false)],
    shape: { operands in
      let type = operands[0]
      let (axis, start, count) = (operands.int(.axis), operands.int(.start), operands.int(.count))
      guard axis >= 0, axis < type.rank else {
        throw operands.fail("axis \(axis) is not one of the \(type.rank) of \(type)")
      }
      if start < 0 || count < 1 {
        throw operands.fail("[\(start) : + \(count)] is not a range of an axis")
      }
      if let extent = type.shape[axis].number, start + count > extent {
        throw operands.fail("[\(start) : \(start + count)] leaves axis \(axis) of \(type)")
      }
      var shape = type.shape
      if operands.bool(.squeeze) {
        if count != 1 { throw operands.fail("squeeze needs one element, found \(count)") }
        shape.remove(at: axis)
      } else {
        shape[axis] = .number(count)
      }
      return [TensorType(type.kind, shape)]
    },
    gradient: .rule { b, node, dy in
      [
        b.one(
          .unslice, [dy[0]!],
          [
            .axis: .int(node.int(.axis)), .start: .int(node.int(.start)),
            .shape: .dims(b.type(node.operands[0]).shape),
          ])
      ]
    },
    reads: ReadRule("its own place, moved by start along the axis") { application in
      let (axis, start) = (application.int(.axis), application.int(.start))
      let isSqueezed = application.bool(.squeeze)
      return [
        (0..<application.operands[0].rank).map { own in
          if own == axis {
            return isSqueezed ? .at(start) : .same(axis: axis, offset: start)
          }
          return .same(axis: isSqueezed && own > axis ? own - 1 : own)
        }
      ]
    }, lowering: .view(firstElement, otherwise: copyPart), slices: .never, zero: .operand(0))

  static let unslice = OpDefinition(
    summary: "y of the shape given, x at start along the axis and zero elsewhere.",
    operands: ["x"], attributes: [.axis: .int(), .start: .int(), .shape: .dims],
    shape: { operands in
      try operands.needReal(0)
      let (shape, axis, start) = (operands.dims(.shape), operands.int(.axis), operands.int(.start))
      guard axis >= 0, axis < shape.count else {
        throw operands.fail("no axis \(axis) in \(shape)")
      }
      if start < 0 || start > Int.max / 2 {
        throw operands.fail("\(start) is not the start of a range of an axis")
      }
      let isSqueezed = operands[0].rank < shape.count
      var expected = shape
      let count = isSqueezed ? Dim.number(1) : operands[0].shape[axis]
      if isSqueezed { expected.remove(at: axis) } else { expected[axis] = count }
      if operands[0].shape != expected {
        throw operands.fail("\(operands[0]) does not fit into \(shape) along axis \(axis)")
      }
      if let extent = shape[axis].number, let count = count.number, start + count > extent {
        throw operands.fail("[\(start) : \(start + count)] leaves axis \(axis) of \(shape)")
      }
      return [TensorType(.tensor, shape)]
    },
    gradient: .none(because: "only made by gradients"),
    reads: ReadRule("its own place, moved by -start along the axis") { application in
      let (axis, start) = (application.int(.axis), application.int(.start))
      let isSqueezed = application.operands[0].rank < application.result.rank
      return [
        (0..<application.operands[0].rank).map { own in
          if own == axis, !isSqueezed { return .same(axis: axis, offset: -start) }
          return .same(axis: isSqueezed && own >= axis ? own + 1 : own)
        }
      ]
    }, lowering: .kernel(copyIntoZeros), storage: .asOperand, slices: .never, isSurface: false)

  static let splitHeads = OpDefinition(
    summary: "y[b, t, h, d] = x[b, t, h * width + d].",
    operands: ["x"], attributes: [.heads: .int()], positional: [.heads],
    shape: { operands in
      try operands.needReal(0, rank: 3)
      let heads = operands.int(.heads)
      guard let width = operands[0].shape[2].number, heads > 0, width % heads == 0 else {
        throw operands.fail("\(operands[0]) does not split into \(heads) heads of equal width")
      }
      return [
        TensorType(
          .tensor,
          [operands[0].shape[0], operands[0].shape[1], .number(heads), .number(width / heads)])
      ]
    },
    gradient: .rule { b, _, dy in [b.one(.mergeHeads, [dy[0]!])] },
    reads: splitFeatures, lowering: .view(), zero: .operand(0))

  static let mergeHeads = OpDefinition(
    summary: "y[b, t, h * width + d] = x[b, t, h, d].",
    operands: ["x"],
    shape: { operands in
      try operands.needReal(0, rank: 4)
      let shape = operands[0].shape
      guard let heads = shape[2].number, let width = shape[3].number else {
        throw operands.fail("heads of unknown size in \(operands[0])")
      }
      let (features, isTooLarge) = heads.multipliedReportingOverflow(by: width)
      if isTooLarge { throw operands.fail("the heads of \(operands[0]) are too large") }
      return [TensorType(.tensor, [shape[0], shape[1], .number(features)])]
    },
    gradient: .rule { b, node, dy in
      let heads = b.type(node.operands[0]).shape[2].number!
      return [b.one(.splitHeads, [dy[0]!], [.heads: .int(heads)])]
    },
    reads: splitFeatures, lowering: .view(), zero: .operand(0))

  static let sumTo = OpDefinition(
    summary: "Sums x over the axes along which the shape given was stretched to it.",
    operands: ["x"], attributes: [.shape: .dims],
    shape: { operands in
      try operands.needReal(0)
      let (shape, wide) = (operands.dims(.shape), operands[0].shape)
      let fits =
        shape.count <= wide.count
        && zip(shape.reversed(), wide.reversed()).allSatisfy { $0 == $1 || $0 == .number(1) }
      if !fits { throw operands.fail("\(shape) does not stretch to \(operands[0])") }
      return [TensorType(.tensor, shape)]
    },
    gradient: .none(because: "only made by gradients"),
    reads: ReadRule("all that was stretched, otherwise its own place") { application in
      let (wide, narrow) = (application.operands[0], application.result)
      let missing = wide.rank - narrow.rank
      return [
        wide.shape.enumerated().map { axis, extent in
          axis >= missing && narrow.shape[axis - missing] == extent
            ? .same(axis: axis - missing) : .all
        }
      ]
    }, lowering: .rowSum(.columns), slices: .never, isSurface: false)

  static let raw = OpDefinition(
    summary: "y = p, a parameter that is read as it is where training rounds it elsewhere.",
    operands: ["p"],
    shape: { operands in
      try operands.needReal(0)
      return [operands[0]]
    },
    gradient: .rule { _, _, dy in [dy[0]!] },
    reads: .elementwise, lowering: .view(), zero: .operand(0))

  static let shift = OpDefinition(
    summary: "y[b, t] = x[b, t - by], zero at t < by; by is at least 1.",
    operands: ["x"], attributes: [.by: .int(default: 1)], positional: [.by], shape: shifted,
    gradient: .rule { b, node, dy in
      [b.one(.shiftBackward, [dy[0]!], [.by: .int(node.int(.by))])]
    },
    reads: ReadRule("its own place, by positions before") { application in
      [
        [.same(axis: 0), .same(axis: 1, offset: -application.int(.by))]
          + (2..<application.result.rank).map { .same(axis: $0) }
      ]
    }, lowering: .kernel { move($0, $1, by: $1.int(.by)) }, slices: .never, zero: .operand(0))

  static let shiftBackward = OpDefinition(
    summary: "dx[b, t] = dy[b, t + by], zero at the last `by` positions.",
    operands: ["dy"], attributes: [.by: .int()], shape: shifted,
    gradient: .none(because: "only made by gradients"),
    reads: ReadRule("its own place, by positions behind") { application in
      [
        [.same(axis: 0), .same(axis: 1, offset: application.int(.by))]
          + (2..<application.result.rank).map { .same(axis: $0) }
      ]
    }, lowering: .kernel { move($0, $1, by: -$1.int(.by)) }, slices: .never, isSurface: false)
}

@Sendable private func shifted(_ operands: OpDefinition.Operands) throws -> [TensorType] {
  try operands.needReal(0)
  if operands[0].rank < 3 {
    throw operands.fail("x must be [rows, positions, …], found \(operands[0])")
  }
  guard operands.int(.by) >= 1 else {
    throw operands.fail(
      "by must be at least 1, found \(operands.int(.by)): a position may not see those behind it")
  }
  return [operands[0]]
}

// MARK: Lowering

/// The first element of a slice in its operand, nil if its elements do not lie together.
@Sendable private func firstElement(_ slice: Node, _ shape: [Int]) -> Int? {
  let axis = slice.int(.axis)
  guard shape[..<axis].allSatisfy({ $0 == 1 }) else { return nil }
  return slice.int(.start) * shape[(axis + 1)...].reduce(1, *)
}

@Sendable private func copyPart(_ context: any LoweringContext, _ node: Node) {
  let sizes = Kernel.SliceSizes(
    context.sizes(node.operands[0]), axis: node.int(.axis), start: node.int(.start),
    count: node.int(.count))
  context.emit(
    Kernel.Slice(sizes: sizes, isBF16: context.isBF16(node.result)),
    context.results(node) + context.slots(node.operands), source: node.result,
    rowsOf: node.isOfFeatures(context.sizes(node.operands[0])) ? node.result : nil)
}

extension Node {
  /// Whether a slice takes features of each token.
  fileprivate func isOfFeatures(_ shape: [Int]) -> Bool {
    shape.count >= 3 && int(.axis) == shape.count - 1 && !(attributes[.squeeze] == .bool(true))
  }
}

/// x, each sequence moved by so many positions.
private func move(_ context: any LoweringContext, _ node: Node, by: Int) {
  let sizes = context.sizes(node.result)
  context.emit(
    Kernel.Shift(
      rows: sizes[0] * sizes[1], width: sizes[2...].reduce(1, *), positions: sizes[1], by: by),
    of: node)
}

@Sendable private func copyIntoZeros(_ context: any LoweringContext, _ node: Node) {
  let (whole, part) = (context.sizes(node.result), context.sizes(node.operands[0]))
  let axis = node.int(.axis)
  let sizes = Kernel.SliceSizes(
    whole, axis: axis, start: node.int(.start), count: part.count < whole.count ? 1 : part[axis])
  context.emit(
    Kernel.Unslice(sizes: sizes, isBF16: context.isBF16(node.result)),
    context.results(node) + context.slots(node.operands), source: node.result,
    rowsOf: part.count == whole.count && node.isOfFeatures(whole) ? node.result : nil)
}

// MARK: Kernels

extension Kernel {
  public struct SliceSizes: Hashable, Sendable {
    public var outer: Int
    public var extent: Int
    public var inner: Int
    public var start: Int
    public var count: Int

    /// Of a whole of this shape, `count` elements from `start` on along the axis.
    public init(_ shape: [Int], axis: Int, start: Int, count: Int) {
      outer = shape[..<axis].reduce(1, *)
      extent = shape[axis]
      inner = shape[(axis + 1)...].reduce(1, *)
      (self.start, self.count) = (start, count)
    }

    var whole: Int { outer * extent * inner }
    var part: Int { outer * count * inner }
    /// Of features; where it is of other axes the call has no tokens.
    var chainRows: Int? { inner == 1 ? outer : nil }
  }

  /// The part of a whole.
  public struct Slice: KernelArguments {
    public static let name = "slice"
    public var sizes: SliceSizes
    public var isBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, sizes.part, isBF16: isBF16, isRowwise: true),
        .init(.read, sizes.whole, isBF16: isBF16, isRowwise: true, needed: sizes.part),
      ]
    }
    public var flops: Double { 0 }
    public var chainRows: Int? { sizes.chainRows }
  }

  /// A whole that is zero outside of the part.
  public struct Unslice: KernelArguments {
    public static let name = "unslice"
    public var sizes: SliceSizes
    public var isBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, sizes.whole, isBF16: isBF16, isRowwise: true),
        .init(.read, sizes.part, isBF16: isBF16, isRowwise: true),
      ]
    }
    public var flops: Double { 0 }
    public var chainRows: Int? { sizes.chainRows }
  }

  /// out [rows, width] = x, each sequence of `positions` moved on by so many; zero where nothing comes.
  public struct Shift: KernelArguments {
    public static let name = "shift"
    public var rows: Int
    public var width: Int
    public var positions: Int
    public var by: Int

    public var accesses: [Access] {
      [.init(.write, rows * width, isRowwise: true), .init(.read, rows * width)]
    }
    public var flops: Double { 0 }
    public var chainRows: Int? { rows }
  }
}
