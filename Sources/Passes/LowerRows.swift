// SPDX-License-Identifier: Apache-2.0
// Row-local nodes to calls of row programs: buffers of their registers, and the sums across tiles.

import IR

extension RowSpace {
  /// Rows of one tile: those of a chain where rows are tokens, or their heads; else about 16 K
  /// elements, so that sums across tiles are few and a tile is worth a thread's while. Depends on the
  /// sizes alone; part of the plan because it fixes the order of sums.
  func rowsPerTile(tokens: Int?) -> Int {
    if let tokens { return Tiles.rows(tokens: tokens) * (rows / tokens) }
    return max(1, 16_384 / max(width, 1))
  }
}

extension Lowering {
  /// Emits one row program for `nodes`, and a sum over its tiles for every reduction in it.
  func lowerRows(_ nodes: [Node], yielding results: [Value]) throws {
    let space = graph.rowSpace(nodes[0])
    for node in nodes where !graph.fitsRowProgram(node) {
      let types = node.operands.map { graph.type($0).description }.joined(separator: ", ")
      throw OpError(
        "\(node.op.rawValue)(\(types)) broadcasts in a way this version has no kernel for; vectors "
          + "along the last axis and single numbers are possible")
    }
    let widest = graph.widest(nodes[0])
    let rowsPerTile = space.rowsPerTile(tokens: tokens(widest))
    let tiles = (space.rows + rowsPerTile - 1) / rowsPerTile
    let wanted = Set(results)
    var writer = RowProgramWriter(graph: graph, space: space, isBF16: stored.contains)
    for node in nodes { writer.append(node, isYielded: wanted.contains) }
    var program = writer.program
    guard program.registers.count <= RowProgram.maximumRegisters,
      program.instructions.count <= RowProgram.maximumInstructions,
      writer.boundCount <= RowProgram.maximumBuffers
    else {
      guard nodes.count > 1 else {
        throw OpError("\(nodes[0].op.rawValue) exceeds the row machine")
      }
      // Two programs in place of one that is too long.
      let (head, tail) = (nodes[..<(nodes.count / 2)], nodes[(nodes.count / 2)...])
      let needed = wanted.union(tail.flatMap(\.operands))
      try lowerRows(
        Array(head), yielding: head.flatMap(\.results).filter(needed.contains))
      try lowerRows(
        Array(tail), yielding: tail.flatMap(\.results).filter(wanted.contains))
      return
    }

    var buffers: [Slot] = []
    func bind(_ register: Int, _ slot: Slot) {
      program.registers[register].buffer = buffers.count
      buffers.append(slot)
    }
    var sums: [(value: Value, slot: Slot)] = []
    for (register, value) in writer.outputs { bind(register, result(value)) }
    for (register, value) in writer.sums {
      let slot = scratch(elements: graph.type(value).count * tiles)
      bind(register, slot)
      sums.append((value, slot))
    }
    for (register, value) in writer.inputs { bind(register, slot(value)) }
    for (register, node) in writer.tables {
      let table = program.registers[register]
      let start = node.int(.start)
      var slot = ropeTable(node, positions: start + table.positions)
      slot.offset += start * table.dims * 4
      bind(register, slot)
    }
    let rows = Kernel.Rows(
      rows: space.rows, width: space.width, tileRows: rowsPerTile, program: program)
    emit(rows, buffers, source: nodes.last!.result, rowsOf: widest)
    for sum in sums {
      let partials = Kernel.SumPartials(n: graph.type(sum.value).count, parts: tiles)
      emit(partials, [result(sum.value), sum.slot], source: sum.value)
    }
  }

  /// The table of a rotary embedding, made once for its attributes and positions.
  private func ropeTable(_ node: Node, positions: Int) -> Slot {
    let table = Kernel.RopeTable(
      positions: positions, dims: node.int(.dims), base: node.double(.base),
      trainLength: Double(node.int(.train)), rampFrom: node.double(.rampFrom),
      rampFactor: node.double(.rampFactor))
    return derived(table, from: nil, source: node.result)
  }
}
