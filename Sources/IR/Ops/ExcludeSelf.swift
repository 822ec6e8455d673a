// SPDX-License-Identifier: Apache-2.0
// What attention found, without what a position says of itself.

/// Heads [batch, positions, heads, width] and values of heads that they share.
private func needHeads(_ operands: OpDefinition.Operands, _ y: Int, _ v: Int) throws {
  try operands.needReal(y, rank: 4)
  try operands.needReal(v, rank: 4)
  let (heads, values) = (operands[y].shape, operands[v].shape)
  for axis in [0, 1, 3] where heads[axis] != values[axis] {
    throw operands.fail("y and v differ in axis \(axis): \(operands[y]) and \(operands[v])")
  }
  guard let count = heads[2].number, let groups = values[2].number, count % groups == 0 else {
    throw operands.fail(
      "heads must be a multiple of those of v: \(operands[y]), \(operands[v])")
  }
}

extension OpDefinition {
  static let excludeSelf = OpDefinition(
    summary:
      "z = y - (y·v̂) v̂ per head, v̂ = v / max(|v|, 1e-12): y without its part along the value of "
      + "its own position; head h reads value head h // (heads / value heads).",
    operands: ["y", "v"], results: ["z"],
    shape: { operands in
      try needHeads(operands, 0, 1)
      return [operands[0]]
    },
    gradient: .rule { b, node, dy in
      // Shapes fit: they are those of the node.
      (try? b.apply(.excludeSelfBackward, [dy[0]!] + node.operands)) ?? []
    },
    reads: ReadRule("all features of its own head, and of the value that this shares") { _ in
      [
        ReadRule.leading(3) + [.all],
        [.same(axis: 0), .same(axis: 1), .all, .all],
      ]
    }, lowering: .kernel(exclude), storage: .either, zero: .operand(0))

  static let excludeSelfBackward = OpDefinition(
    summary:
      "dy = dz - (dz·v̂) v̂; dv = -(w - (w·v̂) v̂) / |v|, w = Σ (y·v̂) dz + (dz·v̂) y over the heads that "
      + "share v.",
    operands: ["dz", "y", "v"], results: ["dy", "dv"],
    shape: { operands in
      try needHeads(operands, 1, 2)
      if operands[0] != operands[1] {
        throw operands.fail("dz must be \(operands[1]), found \(operands[0])")
      }
      return [operands[1], operands[2]]
    },
    gradient: .none(because: "second derivatives are not needed"),
    reads: ReadRule("everything of its position") { application in
      application.operands.enumerated().map { index, _ in
        // dy does not depend on y.
        application.index == 0 && index == 1
          ? nil : [.same(axis: 0), .same(axis: 1), .all, .all]
      }
    }, lowering: .kernel(excludeBackward), storage: .either, slices: .never, isSurface: false)
}

// MARK: Lowering

private func heads(_ context: any LoweringContext, _ y: Value, _ v: Value) -> Kernel.SharedHeads {
  let (heads, values) = (context.sizes(y), context.sizes(v))
  return Kernel.SharedHeads(
    rows: heads[0] * heads[1], heads: heads[2], groups: values[2], width: heads[3])
}

@Sendable private func exclude(_ context: any LoweringContext, _ node: Node) {
  let (y, v) = (node.operands[0], node.operands[1])
  context.emit(
    Kernel.ExcludeSelf(
      sizes: heads(context, y, v), zIsBF16: context.isBF16(node.result),
      yIsBF16: context.isBF16(y), vIsBF16: context.isBF16(v)), of: node)
}

@Sendable private func excludeBackward(_ context: any LoweringContext, _ node: Node) {
  let (dz, y, v) = (node.operands[0], node.operands[1], node.operands[2])
  context.emit(
    Kernel.ExcludeSelfBackward(
      sizes: heads(context, y, v), dyIsBF16: context.isBF16(node.results[0]),
      dvIsBF16: context.isBF16(node.results[1]), dzIsBF16: context.isBF16(dz),
      yIsBF16: context.isBF16(y), vIsBF16: context.isBF16(v)), of: node)
}

// MARK: Kernels

extension Kernel {
  /// Heads of each token, of which several share a value.
  public struct SharedHeads: Hashable, Sendable {
    /// Tokens.
    public var rows: Int
    public var heads: Int
    public var groups: Int
    public var width: Int

    func ofHeads(_ mode: Access.Mode, _ isBF16: Bool) -> Access {
      Access(mode, rows * heads * width, isBF16: isBF16, isRowwise: true)
    }
    func ofValues(_ mode: Access.Mode, _ isBF16: Bool) -> Access {
      Access(mode, rows * groups * width, isBF16: isBF16, isRowwise: true)
    }
  }

  /// z of y and v.
  public struct ExcludeSelf: KernelArguments {
    public static let name = "exclude_self"
    public var sizes: SharedHeads
    public var zIsBF16: Bool
    public var yIsBF16: Bool
    public var vIsBF16: Bool

    public var accesses: [Access] {
      [
        sizes.ofHeads(.write, zIsBF16), sizes.ofHeads(.read, yIsBF16),
        sizes.ofValues(.read, vIsBF16),
      ]
    }
    public var flops: Double {
      Double(sizes.rows) * Double(4 * sizes.heads + 2 * sizes.groups) * Double(sizes.width)
    }
    public var chainRows: Int? { sizes.rows }
  }

  /// dy, dv of dz, y and v.
  public struct ExcludeSelfBackward: KernelArguments {
    public static let name = "exclude_self_backward"
    public var sizes: SharedHeads
    public var dyIsBF16: Bool
    public var dvIsBF16: Bool
    public var dzIsBF16: Bool
    public var yIsBF16: Bool
    public var vIsBF16: Bool

    public var accesses: [Access] {
      [
        sizes.ofHeads(.write, dyIsBF16), sizes.ofValues(.write, dvIsBF16),
        sizes.ofHeads(.read, dzIsBF16), sizes.ofHeads(.read, yIsBF16),
        sizes.ofValues(.read, vIsBF16),
      ]
    }
    public var flops: Double {
      Double(sizes.rows) * Double(10 * sizes.heads + 5 * sizes.groups) * Double(sizes.width)
    }
    public var chainRows: Int? { sizes.rows }
  }
}
