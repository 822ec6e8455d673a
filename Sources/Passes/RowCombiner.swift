// SPDX-License-Identifier: Apache-2.0
// Makes row programs short: instructions that the machine has in one, temporaries that share a
// register. Requires a program in which every register is written once.

import IR

extension PlanStep {
  /// Row programs become as short as the row machine allows.
  static let combineRows = PlanStep("combine-rows", "Combine instructions of row programs.") {
    for stage in Stage.allCases {
      for index in $0.calls[stage]!.indices { $0.calls[stage]![index].combineRows() }
    }
  }
}

extension LoweredCall {
  fileprivate mutating func combineRows() {
    guard var rows = kernel.arguments as? Kernel.Rows else { return }
    let overwritten = Set(slots.indices.filter { accesses[$0].writes }.map { slots[$0] })
    let kept = rows.program.registers.indices.filter { register in
      guard let buffer = rows.program.registers[register].buffer else { return false }
      return !accesses[buffer].writes && overwritten.contains(slots[buffer])
    }
    var combiner = RowCombiner(rows.program, kept: Set(kept))
    rows.program = combiner.run()
    kernel = Kernel(rows)
  }
}

/// Combines the instructions of a row program.
///
///     mul t x gain
///     add y t r          ->   multiply_add y x gain r
///
/// An instruction is merged into its only reader, so its operands are read later than before; those
/// in `kept` must not be, because the program overwrites them.
private struct RowCombiner {
  private let registers: [RowProgram.Register]
  /// nil where merged into a later one.
  private var instructions: [RowProgram.Instruction?]
  private let bound: Set<Int>
  private let kept: Set<Int>
  private var maker: [Int: Int] = [:]
  private var readers: [Int: Int] = [:]

  init(_ program: RowProgram, kept: Set<Int>) {
    registers = program.registers
    instructions = program.instructions
    bound = Set(registers.indices.filter { program.registers[$0].buffer != nil })
    self.kept = kept
    for (index, instruction) in program.instructions.enumerated() {
      maker[instruction.destination] = index
      for operand in instruction.operands { readers[operand, default: 0] += 1 }
    }
  }

  mutating func run() -> RowProgram {
    for index in instructions.indices {
      guard let instruction = instructions[index] else { continue }
      if let shorter = combined(instruction) { instructions[index] = shorter }
    }
    return sharingTemporaries()
  }

  // MARK: Instructions

  /// The operands of `operation` that made `register`, if nothing else reads that.
  private func source(
    _ register: Int, _ operation: RowProgram.Operation, by immediate: Double? = nil
  ) -> [Int]? {
    guard !bound.contains(register), readers[register] == 1, let index = maker[register],
      let instruction = instructions[index], instruction.operation == operation,
      immediate == nil || immediate == instruction.immediate,
      kept.isDisjoint(with: instruction.operands)
    else { return nil }
    return instruction.operands
  }

  private mutating func merge(_ register: Int) {
    if let index = maker[register] { instructions[index] = nil }
  }

  private mutating func combined(
    _ instruction: RowProgram.Instruction
  ) -> RowProgram.Instruction? {
    switch instruction.operation {
    case .add: return sum(instruction)
    case .square: return squaredRelu(instruction)
    case .leakyReluBackward: return squaredReluBackward(instruction)
    case .sumRow: return sumOfProducts(instruction, as: .dot)
    case .sumColumns: return sumOfProducts(instruction, as: .sumColumnsProduct)
    default: return nil
    }
  }

  /// A norm's gradient plus a value, or a product plus a value.
  private mutating func sum(_ add: RowProgram.Instruction) -> RowProgram.Instruction? {
    let (a, b) = (add.operands[0], add.operands[1])
    guard a != b else { return nil }
    for (term, other) in [(a, b), (b, a)] where registers[other].shape == .full {
      guard let operands = source(term, .rmsNormBackward) else { continue }
      let epsilon = instructions[maker[term]!]!.immediate
      merge(term)
      return .init(.rmsNormBackwardAdd, add.destination, operands + [other], epsilon)
    }
    for (term, other) in [(a, b), (b, a)] {
      guard let factors = source(term, .mul) else { continue }
      merge(term)
      return .init(.multiplyAdd, add.destination, factors + [other])
    }
    return nil
  }

  private mutating func sumOfProducts(
    _ sum: RowProgram.Instruction, as operation: RowProgram.Operation
  ) -> RowProgram.Instruction? {
    guard let factors = source(sum.operands[0], .mul),
      factors.allSatisfy({ registers[$0].shape == .full })
    else { return nil }
    merge(sum.operands[0])
    return .init(operation, sum.destination, factors)
  }

  private mutating func squaredRelu(
    _ square: RowProgram.Instruction
  ) -> RowProgram.Instruction? {
    let relu = square.operands[0]
    guard let x = source(relu, .leakyRelu) else { return nil }
    let slope = instructions[maker[relu]!]!.immediate
    merge(relu)
    return .init(.squaredLeakyRelu, square.destination, x, slope)
  }

  /// leaky_relu_backward(dy * (2 * leaky_relu(x)), x): the gradient of the square, then of the relu.
  private mutating func squaredReluBackward(
    _ backward: RowProgram.Instruction
  ) -> RowProgram.Instruction? {
    let (product, x) = (backward.operands[0], backward.operands[1])
    guard let factors = source(product, .mul) else { return nil }
    for (dy, doubled) in [(factors[0], factors[1]), (factors[1], factors[0])] {
      guard let relu = source(doubled, .scale, by: 2)?[0],
        source(relu, .leakyRelu, by: backward.immediate) == [x], registers[dy].shape == .full
      else { continue }
      for register in [product, doubled, relu] { merge(register) }
      return .init(
        .squaredLeakyReluBackward, backward.destination, [dy, x], backward.immediate)
    }
    return nil
  }

  // MARK: Temporaries

  /// Numbers registers anew: a temporary takes the place of one of its shape that is not read any
  /// more. That may be an operand: instructions work row by row.
  private func sharingTemporaries() -> RowProgram {
    let left = instructions.compactMap { $0 }
    var lastRead: [Int: Int] = [:]
    for (index, instruction) in left.enumerated() {
      for operand in instruction.operands { lastRead[operand] = index }
    }
    var program = RowProgram()
    var place: [Int: Int] = [:]
    var free: [RowProgram.Shape: [Int]] = [:]
    func number(_ register: Int) -> Int {
      if let number = place[register] { return number }
      let shape = registers[register].shape
      if !bound.contains(register), let number = free[shape]?.popLast() {
        place[register] = number
        return number
      }
      program.registers.append(registers[register])
      place[register] = program.registers.count - 1
      return program.registers.count - 1
    }
    for (index, instruction) in left.enumerated() {
      var moved = instruction
      moved.operands = instruction.operands.map(number)
      for operand in Set(instruction.operands).sorted()
      where lastRead[operand] == index && !bound.contains(operand) {
        free[registers[operand].shape, default: []].append(place[operand]!)
      }
      moved.destination = number(instruction.destination)
      if lastRead[instruction.destination] == nil, !bound.contains(instruction.destination) {
        free[registers[instruction.destination].shape, default: []].append(moved.destination)
      }
      program.instructions.append(moved)
    }
    return program
  }
}
