// SPDX-License-Identifier: Apache-2.0
// Row-local nodes to row programs: registers, instructions, and the sums across tiles.

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
    var writer = RowProgramWriter(graph: graph, space: space, nodes: nodes)
    let wanted = Set(results)
    for node in nodes { writer.append(node, isYielded: wanted.contains) }
    guard writer.program.registers.count <= 64, writer.program.instructions.count <= 64,
      writer.outputs.count + writer.sums.count + writer.inputs.count <= 24
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
      positions[register] = outputs.count
      outputs.append((resultSlot(value), bytes(value)))
    }
    for (register, value) in writer.sums {
      let count = graph.type(value).count
      let slot = newSlot(count * tiles)
      positions[register] = outputs.count
      outputs.append((slot, count * tiles * 4))
      sums.append((value, slot, count))
    }
    for (register, value) in writer.inputs {
      positions[register] = outputs.count + inputs.count
      inputs.append(operand(value))
    }
    for (register, position) in positions { writer.program.registers[register].buffer = position }
    let rowwise = positions.filter { writer.isRowwise($0.key) }.map(\.value)
    emit(
      .rows, to: stage, writing: outputs, reading: inputs,
      sizes: [space.rows, space.width, rowsPerTile], program: writer.program,
      source: nodes.last!.result,
      tiling: tokens.map { Tiling(tokens: $0, rowwise: Set(rowwise)) })
    for sum in sums {
      emit(
        .sumPartials, to: stage, writing: [(resultSlot(sum.value), sum.count * 4)],
        reading: [(sum.slot, sum.count * tiles * 4)], sizes: [sum.count, tiles],
        source: sum.value)
    }
  }
}

/// Writes the instructions of a row program, reusing temporaries.
private struct RowProgramWriter {
  let graph: Graph
  let space: RowSpace
  var program = RowProgram()
  /// Registers bound to buffers, with the values they hold.
  var inputs: [(Int, Value)] = []
  var outputs: [(Int, Value)] = []
  var sums: [(Int, Value)] = []
  private var registers: [Value: Int] = [:]
  /// Gains of heads: one number a head, also where the same parameter is a vector elsewhere.
  private var gains: [Value: Int] = [:]
  private var lastUse: [Value: Int] = [:]
  private var freeFull: [Int] = []
  private var step = 0

  init(graph: Graph, space: RowSpace, nodes: [Node]) {
    self.graph = graph
    self.space = space
    for (index, node) in nodes.enumerated() {
      for operand in node.operands { lastUse[operand] = index }
    }
  }

  /// Whether a register holds one row, or one number, for each row of the space.
  func isRowwise(_ register: Int) -> Bool {
    !sums.contains { $0.0 == register }
      && [.full, .scalar].contains(program.registers[register].shape)
  }

  mutating func append(_ node: Node, isYielded: (Value) -> Bool) {
    let operands = node.operands.map { register($0, of: node) }
    switch node.op {
    case .sumTo:
      let isVector = graph.type(node.result).count != 1
      let sum = new(isVector ? .vector : .constant)
      emit(isVector ? .sumColumns : .sumAll, sum, operands[0])
      sums.append((sum, node.result))
    case .scaleHeadsBackwardGain:
      let product = new(.scalar)
      emit(.dot, product, operands[0], operands[1])
      let heads = graph.type(node.result).count
      let sum = new(.periodic, period: heads)
      emit(.sumPeriodic, sum, product)
      sums.append((sum, node.result))
    default:
      let result = yielded(node.result, isYielded)
      compute(node, result, operands)
    }
    step += 1
    for (index, operand) in node.operands.enumerated()
    where lastUse[operand] == step - 1 && !node.operands[..<index].contains(operand) {
      release(operand)
    }
    for result in node.results where lastUse[result] == nil { release(result) }
  }

  private mutating func compute(_ node: Node, _ result: Int, _ operands: [Int]) {
    func second() -> Int { operands.count > 1 ? operands[1] : 0 }
    switch node.op {
    case .add: emit(.add, result, operands[0], second())
    case .sub: emit(.sub, result, operands[0], second())
    case .mul, .scaleHeads: emit(.mul, result, operands[0], second())
    case .scale: emit(.scale, result, operands[0], 0, node.double(.by))
    case .offset: emit(.offset, result, operands[0], 0, node.double(.by))
    case .square: emit(.square, result, operands[0])
    case .sigmoid: emit(.sigmoid, result, operands[0])
    case .tanh: emit(.tanh, result, operands[0])
    case .softcap: emit(.softcap, result, operands[0], 0, node.double(.cap))
    case .softcapBackward:
      emit(.softcapBackward, result, operands[0], operands[1], node.double(.cap))
    case .leakyRelu: emit(.leakyRelu, result, operands[0], 0, node.double(.slope))
    case .leakyReluBackward:
      emit(.leakyReluBackward, result, operands[0], operands[1], node.double(.slope))
    case .rmsNorm:
      let inverse = new(.scalar)
      emit(.inverseRms, inverse, operands[0], 0, node.double(.epsilon))
      emit(.mul, result, operands[0], inverse)
    case .rmsNormBackward:
      // dx = r dy - x r³ (dy·x)/width
      let (dy, x) = (operands[0], operands[1])
      let inverse = new(.scalar)
      let factor = new(.scalar)
      emit(.inverseRms, inverse, x, 0, node.double(.epsilon))
      emit(.dot, factor, dy, x)
      for _ in 0..<3 { emit(.mul, factor, factor, inverse) }
      emit(.scale, factor, factor, 0, -1 / Double(space.width))
      let product = temporary()
      emit(.mul, product, x, factor)
      let scaled = temporary()
      emit(.mul, scaled, dy, inverse)
      emit(.add, result, scaled, product)
      freeFull += [product, scaled]
    default: preconditionFailure("\(node.op.rawValue) is not row-local")
    }
  }

  private mutating func emit(
    _ operation: RowProgram.Operation, _ destination: Int, _ a: Int, _ b: Int = 0,
    _ immediate: Double = 0
  ) {
    program.instructions.append(.init(operation, destination, a, b, immediate))
  }

  private mutating func new(_ shape: RowProgram.Shape, period: Int = 0) -> Int {
    program.registers.append(.init(shape: shape, buffer: nil, period: period))
    return program.registers.count - 1
  }

  private mutating func temporary() -> Int { freeFull.popLast() ?? new(.full) }

  private mutating func yielded(_ value: Value, _ isYielded: (Value) -> Bool) -> Int {
    let register: Int
    if isYielded(value) {
      register = new(.full)
      outputs.append((register, value))
    } else {
      register = temporary()
    }
    registers[value] = register
    return register
  }

  /// The register of an operand; a value from outside is bound on first use.
  private mutating func register(_ value: Value, of node: Node) -> Int {
    let type = graph.type(value)
    if node.op == .scaleHeads, value == node.operands[1] {
      if let register = gains[value] { return register }
      let register = new(.periodic, period: type.count)
      gains[value] = register
      inputs.append((register, value))
      return register
    }
    if let register = registers[value] { return register }
    let register: Int
    if RowSpace(type) == space {
      register = new(.full)
    } else if type.count == 1 {
      register = new(.constant)
    } else {
      register = new(.vector)
    }
    registers[value] = register
    inputs.append((register, value))
    return register
  }

  /// Makes a temporary's register free again. Bound registers stay bound.
  private mutating func release(_ value: Value) {
    guard let register = registers[value],
      !inputs.contains(where: { $0.0 == register }), !outputs.contains(where: { $0.0 == register })
    else { return }
    freeFull.append(register)
  }
}
