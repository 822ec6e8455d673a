// SPDX-License-Identifier: Apache-2.0
// Row-local nodes to calls of row programs: buffers of their registers, and the sums across tiles.

import IR

extension RowSpace {
  /// Rows of one tile: those of a chain where rows are tokens, or their heads; else about 16 K
  /// elements, so that sums across tiles are few and a tile is worth a thread's while. Depends on the
  /// sizes alone; part of the plan because it fixes the order of sums.
  func rowsPerTile(tokens: Int?) -> Int {
    if let tokens { return Tiling.rows(tokens: tokens) * (rows / tokens) }
    return max(1, 16_384 / max(width, 1))
  }
}

extension Lowering {
  /// Emits one row program for `nodes`, and a sum over its tiles for every reduction in it.
  mutating func lowerRows(_ nodes: [Node], yielding results: [Value], stage: Stage) throws {
    let space = graph.rowSpace(nodes[0])
    for node in nodes where !graph.fitsRowProgram(node) {
      let types = node.operands.map { graph.type($0).description }.joined(separator: ", ")
      throw OpError(
        "\(node.op.rawValue)(\(types)) broadcasts in a way this version has no kernel for; vectors "
          + "along the last axis and single numbers are possible")
    }
    let tokens = tokens(graph.widest(nodes[0]))
    let rowsPerTile = space.rowsPerTile(tokens: tokens)
    let tiles = (space.rows + rowsPerTile - 1) / rowsPerTile
    let wanted = Set(results)
    // Not `isHalf` itself: it would keep a copy of the lowering, and every call emitted meanwhile
    // would copy all the others.
    var writer = RowProgramWriter(graph: graph, space: space, isHalf: halves.contains)
    for node in nodes { writer.append(node, isYielded: wanted.contains) }
    let overwritten = Set(results.compactMap(writtenParameter))
    let kept = writer.inputs.filter { overwritten.contains(slots[$0.1]!) }.map(\.0)
    var combiner = RowCombiner(writer.program, bound: writer.bound, kept: Set(kept))
    var (program, place) = combiner.run()
    guard program.registers.count <= 64, program.instructions.count <= 64,
      writer.bound.count <= 24
    else {
      guard nodes.count > 1 else {
        throw OpError("\(nodes[0].op.rawValue) exceeds the row machine")
      }
      // Two programs in place of one that is too long.
      let (head, tail) = (nodes[..<(nodes.count / 2)], nodes[(nodes.count / 2)...])
      let needed = wanted.union(tail.flatMap(\.operands))
      try lowerRows(
        Array(head), yielding: head.flatMap(\.results).filter(needed.contains), stage: stage)
      try lowerRows(
        Array(tail), yielding: tail.flatMap(\.results).filter(wanted.contains), stage: stage)
      return
    }

    var outputs: [(Slot, Int)] = []
    var inputs: [(Slot, Int)] = []
    var positions: [Int: Int] = [:]  // register -> buffer index
    var sums: [(value: Value, slot: Slot, count: Int)] = []
    for (register, value) in writer.outputs {
      positions[place[register]!] = outputs.count
      outputs.append((resultSlot(value), bytes(value)))
    }
    for (register, value) in writer.sums {
      let count = graph.type(value).count
      let slot = newSlot(count * tiles)
      positions[place[register]!] = outputs.count
      outputs.append((slot, count * tiles * 4))
      sums.append((value, slot, count))
    }
    for (register, value) in writer.inputs {
      positions[place[register]!] = outputs.count + inputs.count
      inputs.append(operand(value))
    }
    for (register, node) in writer.tables {
      let register = place[register]!
      let table = program.registers[register]
      let start = node.int(.start)
      var slot = ropeTable(node, positions: start + table.positions)
      slot.offset += start * table.dims * 4
      positions[register] = outputs.count + inputs.count
      inputs.append((slot, table.positions * table.dims * 4))
    }
    let sumPositions = outputs.count - sums.count..<outputs.count
    let rowwise = positions.filter { register, position in
      [.full, .scalar].contains(program.registers[register].shape)
        && !sumPositions.contains(position)
    }
    for (register, position) in positions { program.registers[register].buffer = position }
    emit(
      .rows, to: stage, writing: outputs, reading: inputs,
      sizes: [space.rows, space.width, rowsPerTile], program: program,
      source: nodes.last!.result,
      tiling: tokens.map { Tiling(tokens: $0, rowwise: Set(rowwise.values)) })
    for sum in sums {
      emit(
        .sumPartials, to: stage, writing: [(resultSlot(sum.value), sum.count * 4)],
        reading: [(sum.slot, sum.count * tiles * 4)], sizes: [sum.count, tiles],
        source: sum.value)
    }
  }
}
