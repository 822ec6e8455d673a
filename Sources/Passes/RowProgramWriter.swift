// SPDX-License-Identifier: Apache-2.0
// Row-local nodes to the registers and instructions of one row program.

import IR

/// Writes a row program. Every value has a register of its own; `RowCombiner` makes the program that
/// runs of it.
struct RowProgramWriter {
  let graph: Graph
  let space: RowSpace
  let isHalf: (Value) -> Bool
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

  init(graph: Graph, space: RowSpace, isHalf: @escaping (Value) -> Bool) {
    self.graph = graph
    self.space = space
    self.isHalf = isHalf
  }

  /// Registers that live in a buffer of the call.
  var bound: Set<Int> {
    Set((inputs + outputs + sums).map(\.0) + tables.map(\.0))
  }

  mutating func append(_ node: Node, isYielded: (Value) -> Bool) {
    let operands = node.operands.map { register($0, of: node) }
    switch node.op {
    case .sumTo:
      let isVector = graph.type(node.result).count != 1
      let sum = new(isVector ? .vector : .constant)
      emit(isVector ? .sumColumns : .sumAll, sum, operands)
      sums.append((sum, node.result))
    case .scaleHeadsBackwardGain:
      let product = new(.scalar)
      emit(.dot, product, operands)
      let heads = graph.type(node.result).count
      let sum = new(.periodic, period: heads)
      emit(.sumPeriodic, sum, [product])
      sums.append((sum, node.result))
    default:
      let result = new(.full, isHalf: isYielded(node.result) && isHalf(node.result))
      registers[node.result] = result
      if isYielded(node.result) { outputs.append((result, node.result)) }
      compute(node, result, operands)
    }
  }

  private mutating func compute(_ node: Node, _ result: Int, _ operands: [Int]) {
    switch node.op {
    case .add: emit(.add, result, operands)
    case .sub: emit(.sub, result, operands)
    case .mul, .scaleHeads: emit(.mul, result, operands)
    case .scale: emit(.scale, result, operands, node.double(.by))
    case .offset: emit(.offset, result, operands, node.double(.by))
    case .square: emit(.square, result, operands)
    case .sigmoid: emit(.sigmoid, result, operands)
    case .tanh: emit(.tanh, result, operands)
    case .softcap: emit(.softcap, result, operands, node.double(.cap))
    case .softcapBackward: emit(.softcapBackward, result, operands, node.double(.cap))
    case .leakyRelu: emit(.leakyRelu, result, operands, node.double(.slope))
    case .leakyReluBackward: emit(.leakyReluBackward, result, operands, node.double(.slope))
    case .rmsNorm: emit(.rmsNorm, result, operands, node.double(.epsilon))
    case .rmsNormBackward: emit(.rmsNormBackward, result, operands, node.double(.epsilon))
    case .rope: emit(.rope, result, operands + [table(node)])
    case .ropeBackward: emit(.ropeInverse, result, operands + [table(node)])
    default: preconditionFailure("\(node.op.rawValue) is not row-local")
    }
  }

  private mutating func emit(
    _ operation: RowProgram.Operation, _ destination: Int, _ operands: [Int],
    _ immediate: Double = 0
  ) {
    program.instructions.append(.init(operation, destination, operands, immediate))
  }

  private mutating func new(
    _ shape: RowProgram.Shape, period: Int = 0, isHalf: Bool = false
  ) -> Int {
    program.registers.append(.init(shape: shape, buffer: nil, period: period, isHalf: isHalf))
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
      register = new(.full, isHalf: isHalf(value))
    } else if type.count == 1 {
      register = new(.constant)
    } else {
      register = new(.vector)
    }
    registers[value] = register
    inputs.append((register, value))
    return register
  }
}
