// SPDX-License-Identifier: Apache-2.0
// Row-local nodes to the registers and instructions of one row program.

import IR

/// Writes a row program. Every value has a register of its own; `RowCombiner` makes the program that
/// runs of it.
struct RowProgramWriter {
  let graph: Graph
  let space: RowSpace
  let isBF16: (Value) -> Bool
  private(set) var program = RowProgram()
  /// Registers bound to buffers, with the values they hold.
  private(set) var inputs: [(Int, Value)] = []
  private(set) var outputs: [(Int, Value)] = []
  private(set) var sums: [(Int, Value)] = []
  /// Tables of rotary embeddings, with a node that turns by them.
  private(set) var tables: [(Int, Node)] = []
  private var registers: [Value: Int] = [:]
  /// Gains of heads: one number a head, also where the same parameter is a vector elsewhere.
  private var gains: [Value: Int] = [:]

  init(graph: Graph, space: RowSpace, isBF16: @escaping (Value) -> Bool) {
    (self.graph, self.space, self.isBF16) = (graph, space, isBF16)
  }

  /// Registers that live in a buffer of the call.
  var boundCount: Int { inputs.count + outputs.count + sums.count + tables.count }

  mutating func append(_ node: Node, isYielded: (Value) -> Bool) {
    let operands = node.operands.enumerated().map { register($1, at: $0, of: node) }
    switch node.op.definition.lowering {
    case .row(let row):
      let result = new(.full, isBF16: isYielded(node.result) && isBF16(node.result))
      registers[node.result] = result
      if isYielded(node.result) { outputs.append((result, node.result)) }
      emit(
        row.operation, result, operands + (row.readsRopeTable ? [table(node)] : []),
        row.immediate.map(node.double) ?? 0)
    case .rowSum(.columns) where graph.isOneARow(node.result, of: node) && space.rows > 1:
      appendRowwise(.sumRow, of: operands, to: node.result)
    case .rowSum(.rowProducts): appendRowwise(.dot, of: operands, to: node.result)
    case .rowSum(.columns):
      let isVector = graph.type(node.result).count != 1
      let sum = new(isVector ? .vector : .constant)
      emit(isVector ? .sumColumns : .sumAll, sum, operands)
      sums.append((sum, node.result))
    case .rowSum(.headProducts):
      let product = new(.scalar)
      emit(.dot, product, operands)
      let heads = graph.type(node.result).count
      let sum = new(.periodic, period: heads)
      emit(.sumPeriodic, sum, [product])
      sums.append((sum, node.result))
    case .view, .kernel, .update, .body, .none:
      preconditionFailure("\(node.op.rawValue) is not row-local")
    }
  }

  /// One number a row.
  private mutating func appendRowwise(
    _ operation: RowProgram.Operation, of operands: [Int], to value: Value
  ) {
    let result = new(.scalar)
    emit(operation, result, operands)
    outputs.append((result, value))
  }

  private mutating func emit(
    _ operation: RowProgram.Operation, _ destination: Int, _ operands: [Int],
    _ immediate: Double = 0
  ) {
    program.instructions.append(.init(operation, destination, operands, immediate))
  }

  private mutating func new(
    _ shape: RowProgram.Shape, period: Int = 0, isBF16: Bool = false
  ) -> Int {
    program.registers.append(.init(shape: shape, buffer: nil, period: period, isBF16: isBF16))
    return program.registers.count - 1
  }

  /// The table that a node turns by.
  private mutating func table(_ node: Node) -> Int {
    let sizes = graph.type(node.result).sizes
    if let (register, _) = tables.first(where: {
      $0.1.attributes == node.attributes && graph.type($0.1.result).sizes == sizes
    }) {
      return register
    }
    let register = new(.table, period: sizes[2])
    program.registers[register].positions = sizes[1]
    program.registers[register].dims = node.int(.dims)
    tables.append((register, node))
    return register
  }

  /// The register of an operand; a value from outside is bound on first use.
  private mutating func register(_ value: Value, at position: Int, of node: Node) -> Int {
    let type = graph.type(value)
    if case .row(let row) = node.op.definition.lowering, row.gain == position {
      if let register = gains[value] { return register }
      let register =
        type.rank == 1 ? new(.periodic, period: type.count) : new(.scalar)
      gains[value] = register
      inputs.append((register, value))
      return register
    }
    if let register = registers[value] { return register }
    let register: Int
    if RowSpace(type) == space {
      register = new(.full, isBF16: isBF16(value))
    } else if type.count == 1 {
      register = new(.constant)
    } else if graph.isOneARow(value, of: node) {
      register = new(.scalar)
    } else {
      register = new(.vector)
    }
    registers[value] = register
    inputs.append((register, value))
    return register
  }
}
