// SPDX-License-Identifier: Apache-2.0
// Calls of a plan as the C module takes them: arguments by name. Addresses follow in Executable.swift.

import CKernels
import IR

extension kernel_call {
  /// A call with its arguments, without addresses; `program` is that of a row program.
  init(_ call: KernelCall, program: UnsafePointer<row_program>?) {
    self.init()
    kernel = kernel_named(call.kernel.rawValue)
    precondition(kernel >= 0, "no kernel is named \(call.kernel.rawValue)")
    barrier = call.barrier ? 1 : 0
    setArguments(call, program: program)
  }

  private mutating func setArguments(_ call: KernelCall, program: UnsafePointer<row_program>?) {
    func size(_ index: Int) -> Int64 { Int64(call.sizes[index]) }
    func number(_ index: Int) -> Int32 { Int32(call.sizes[index]) }
    func bit(_ bit: Int32, _ index: Int) -> Int32 { number(index) & bit == 0 ? 0 : 1 }
    let scalars = call.scalars
    switch call.kernel {
    case .embed:
      embed = .init(rows: size(0), width: size(1), vocab: size(2), tile_rows: size(3))
    case .embedBackward:
      embed_backward = .init(rows: size(0), width: size(1), vocab: size(2))
    case .pack:
      pack = .init(n: size(0), k: size(1), transposed: number(2), bf16: number(3))
    case .matmul:
      matmul = .init(
        m: size(0), n: size(1), k: size(2), tile_rows: size(8), bf16: number(6), x_bf16: bit(1, 7),
        y_bf16: bit(2, 7))
    case .packTokens:
      pack_tokens = .init(
        m: size(0), n: size(1), tile_rows: size(4), bf16: number(5), x_bf16: bit(1, 3))
    case .matmulWeight:
      matmul_weight = .init(m: size(0), n: size(1), k: size(2), bf16: number(4))
    case .rows:
      rows = .init(rows: size(0), width: size(1), tile_rows: size(2), program: program)
    case .sumPartials:
      sum_partials = .init(n: size(0), parts: size(1))
    case .ropeTable:
      rope_table = .init(
        positions: size(0), dims: size(1), base: scalars[0], train_length: scalars[1],
        ramp_from: scalars[2], ramp_factor: scalars[3])
    case .attention, .attentionBackward:
      attention = .init(
        batch: size(0), positions: size(1), queries: size(call.kernel == .attention ? 6 : 1),
        heads: size(2), groups: size(3), width: size(4), bf16: number(5), scale: scalars[0])
    case .crossEntropy:
      cross_entropy = .init(rows: size(0), vocab: size(1), tile_rows: size(2), cap: scalars[0])
    case .crossEntropyBackward:
      cross_entropy_backward = .init(
        rows: size(0), vocab: size(1), tile_rows: size(2), cap: scalars[0], dz_bf16: bit(1, 3))
    case .dot:
      dot = .init(n: size(0))
    case .clipFactor:
      clip_factor = .init(n: size(0), limit: scalars[0])
    case .adamw:
      adamw = .init(
        n: size(0), beta1: scalars[0], beta2: scalars[1], epsilon: scalars[2], decay: scalars[3])
    case .sgd:
      sgd = .init(n: size(0), momentum: scalars[0], decay: scalars[1])
    case .muon:
      muon = .init(
        rows: size(0), cols: size(1), steps: size(2), row_normalise: number(3), bf16: number(4),
        decay: scalars[0])
    case .quantScale:
      quant_scale = .init(
        rows: size(0), cols: size(1), clip: number(2), qmax: number(3), parameter: scalars[0],
        floor: scalars[1], half_floor: scalars[2])
    case .fakeQuant, .fakeQuantBackward:
      fake_quant = .init(
        rows: size(0), cols: size(1), qmin: number(2), qmax: number(3), mode: number(4))
    case .slice, .unslice:
      slice = .init(
        outer: size(0), extent: size(1), inner: size(2), start: size(3), count: size(4),
        bf16: bit(1, 5))
    }
  }
}

extension row_program {
  init(_ program: RowProgram) {
    self.init()
    registers = Int32(program.registers.count)
    instructions = Int32(program.instructions.count)
    withUnsafeMutableBytes(of: &reg) { bytes in
      let registers = bytes.bindMemory(to: row_register.self)
      for (index, register) in program.registers.enumerated() {
        registers[index] = row_register(
          shape: Int32(register.shape.code.rawValue), buffer: Int32(register.buffer ?? -1),
          period: Int32(register.period), bf16: register.isHalf ? 1 : 0,
          positions: Int32(register.positions), dims: Int32(register.dims))
      }
    }
    withUnsafeMutableBytes(of: &code) { bytes in
      let code = bytes.bindMemory(to: row_instruction.self)
      for (index, instruction) in program.instructions.enumerated() {
        let operation = kernel_row_operation(instruction.operation.rawValue)
        precondition(operation >= 0, "no row operation is \(instruction.operation.rawValue)")
        let operands = instruction.operands.map(Int32.init) + [0, 0]
        code[index] = row_instruction(
          op: operation, dst: Int32(instruction.destination), a: operands[0], b: operands[1],
          c: operands[2], immediate: Float(instruction.immediate))
      }
    }
  }
}

extension RowProgram.Shape {
  fileprivate var code: row_shape {
    switch self {
    case .full: ROW_FULL
    case .vector: ROW_VECTOR
    case .scalar: ROW_SCALAR
    case .periodic: ROW_PERIODIC
    case .constant: ROW_CONSTANT
    case .table: ROW_TABLE
    }
  }
}

extension KernelCall {
  /// The bytes of each buffer that the call touches, as its kernel says.
  public var extents: [Int] {
    func bytes(_ program: UnsafePointer<row_program>?) -> [Int] {
      var bound = kernel_call(self, program: program)
      return buffers.indices.map { Int(kernel_extent(&bound, Int32($0))) }
    }
    guard let program else { return bytes(nil) }
    return withUnsafePointer(to: row_program(program)) { bytes($0) }
  }
}
