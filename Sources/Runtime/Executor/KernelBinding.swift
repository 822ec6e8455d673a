// SPDX-License-Identifier: Apache-2.0
// Calls of a plan as the C module takes them: arguments by name, and addresses.

import CKernels
import IR

/// Calls with addresses, and the row programs that they point to.
final class BoundCalls {
  private(set) var calls: [kernel_call] = []
  private let programs: UnsafeMutablePointer<row_program>

  /// `address` says where a buffer lies; calls that are measured and not run have none.
  init(_ calls: [KernelCall], address: (BufferReference) -> UnsafeMutableRawPointer?) {
    let rows = calls.compactMap(\.kernel.program)
    programs = .allocate(capacity: max(rows.count, 1))
    for (index, program) in rows.enumerated() { programs[index] = row_program(program) }
    var next = 0
    var head = 0
    for (index, call) in calls.enumerated() {
      var program: UnsafePointer<row_program>?
      if call.kernel.program != nil {
        program = UnsafePointer(programs + next)
        next += 1
      }
      self.calls.append(kernel_call(call, program: program, address: address))
      if !call.isChained { head = index }
      self.calls[head].chain = Int32(index - head + 1)
    }
    kernels_layout(&self.calls, Int64(calls.count))
  }

  deinit { programs.deallocate() }

  /// Bytes of scratch that each thread needs for the calls.
  var scratch: Int { Int(kernels_scratch(calls, Int64(calls.count))) }

  /// Makes room for what each thread needs: a run itself allocates nothing and cannot fail.
  func reserve(threads: Int) throws(OutOfMemory) {
    if kernels_reserve(calls, Int64(calls.count), Int32(threads)) == 0 {
      throw OutOfMemory(bytes: threads * scratch)
    }
  }
}

extension PlanFunction {
  /// Bytes that the function takes with so many threads: its blocks, and scratch of its kernels.
  public func memoryBytes(threads: Int) -> Int {
    let scratch = [setup, prepare, body].map { BoundCalls($0) { _ in nil }.scratch }.max() ?? 0
    return [arenaBytes, stateBytes, threads * scratch].reduce(0) { total, part in
      let (sum, overflow) = total.addingReportingOverflow(part)
      return overflow ? .max : sum
    }
  }
}

extension kernel_call {
  fileprivate init(
    _ call: KernelCall, program: UnsafePointer<row_program>?,
    address: (BufferReference) -> UnsafeMutableRawPointer?
  ) {
    self.init(call, program: program)
    withUnsafeMutableBytes(of: &buffer) { bytes in
      let buffers = bytes.bindMemory(to: UnsafeMutableRawPointer?.self)
      for (index, reference) in call.buffers.enumerated() {
        // In tile memory a buffer is its offset; the thread adds where its own begins.
        buffers[index] =
          reference.space == .tile
          ? UnsafeMutableRawPointer(bitPattern: reference.offset) : address(reference)
      }
    }
    withUnsafeMutableBytes(of: &advance) { bytes in
      let advance = bytes.bindMemory(to: Int32.self)
      for (index, reference) in call.buffers.enumerated() {
        advance[index] = Int32(reference.tileBytes)
      }
    }
    local = call.buffers.enumerated().reduce(0) { mask, buffer in
      mask | (buffer.element.space == .tile ? 1 << UInt32(buffer.offset) : 0)
    }
  }

  /// A call with its arguments, without addresses; `program` is that of a row program.
  init(_ call: KernelCall, program: UnsafePointer<row_program>?) {
    self.init()
    kernel = kernel_named(call.kernel.name)
    precondition(kernel >= 0, "no kernel is named \(call.kernel.name)")
    barrier = call.barrier ? 1 : 0
    let tileRows = Int64(call.tileRows ?? 0)
    switch call.kernel {
    case .embed(let a):
      embed = .init(
        rows: Int64(a.count), width: Int64(a.width), vocab: Int64(a.vocab), tile_rows: tileRows)
    case .embedBackward(let a):
      embed_backward = .init(rows: Int64(a.count), width: Int64(a.width), vocab: Int64(a.vocab))
    case .pack(let a):
      pack = .init(
        n: Int64(a.n), k: Int64(a.k), transposed: flag(a.isTransposed), bf16: flag(a.isBF16))
    case .matmul(let a):
      matmul = .init(
        m: Int64(a.m), n: Int64(a.n), k: Int64(a.k), tile_rows: tileRows, bf16: flag(a.isBF16),
        x_bf16: flag(a.xIsBF16), y_bf16: flag(a.yIsBF16))
    case .packTokens(let a):
      pack_tokens = .init(
        m: Int64(a.m), n: Int64(a.n), tile_rows: tileRows, bf16: flag(a.isBF16),
        x_bf16: flag(a.xIsBF16))
    case .matmulWeight(let a):
      matmul_weight = .init(m: Int64(a.m), n: Int64(a.n), k: Int64(a.k), bf16: flag(a.isBF16))
    case .rows(let a):
      rows = .init(
        rows: Int64(a.count), width: Int64(a.width), tile_rows: Int64(a.tileRows), program: program)
    case .sumPartials(let a):
      sum_partials = .init(n: Int64(a.n), parts: Int64(a.parts))
    case .ropeTable(let a):
      rope_table = .init(
        positions: Int64(a.positions), dims: Int64(a.dims), base: a.base,
        train_length: a.trainLength, ramp_from: a.rampFrom, ramp_factor: a.rampFactor)
    case .attention(let a):
      attention = .init(a.arguments)
    case .attentionBackward(let a):
      attention = .init(a.arguments)
    case .crossEntropy(let a):
      cross_entropy = .init(
        rows: Int64(a.count), vocab: Int64(a.vocab), tile_rows: tileRows, cap: a.cap)
    case .crossEntropyBackward(let a):
      cross_entropy_backward = .init(
        rows: Int64(a.count), vocab: Int64(a.vocab), tile_rows: tileRows, cap: a.cap,
        dz_bf16: flag(a.dzIsBF16))
    case .dot(let a):
      dot = .init(n: Int64(a.n))
    case .clipFactor(let a):
      clip_factor = .init(n: Int64(a.n), limit: a.limit)
    case .adamw(let a):
      adamw = .init(
        n: Int64(a.n), beta1: a.beta1, beta2: a.beta2, epsilon: a.epsilon, decay: a.decay)
    case .sgd(let a):
      sgd = .init(n: Int64(a.n), momentum: a.momentum, decay: a.decay)
    case .muon(let a):
      muon = .init(
        rows: Int64(a.height), cols: Int64(a.width), steps: Int64(a.steps),
        row_normalise: flag(a.normalisesRows), bf16: flag(a.isBF16), decay: a.decay)
    case .quantScale(let a):
      quant_scale = .init(a.quantizer, rows: a.height, columns: a.width)
    case .fakeQuant(let a):
      fake_quant = .init(a.arguments)
    case .fakeQuantBackward(let a):
      fake_quant = .init(a.arguments)
    case .slice(let a):
      slice = .init(a.sizes, isBF16: a.isBF16)
    case .unslice(let a):
      slice = .init(a.sizes, isBF16: a.isBF16)
    }
  }
}

private func flag(_ flag: Bool) -> Int32 { flag ? 1 : 0 }

extension attention_args {
  fileprivate init(_ a: Kernel.AttentionArguments) {
    self.init(
      batch: Int64(a.batch), positions: Int64(a.positions), queries: Int64(a.queries),
      heads: Int64(a.heads), groups: Int64(a.groups), width: Int64(a.width), bf16: flag(a.isBF16),
      scale: a.scale)
  }
}

extension fake_quant_args {
  fileprivate init(_ a: Kernel.FakeQuantArguments) {
    self.init(
      rows: Int64(a.height), cols: Int64(a.width), qmin: Int32(a.qmin), qmax: Int32(a.qmax),
      mode: a.rounding.mode)
  }
}

extension slice_args {
  fileprivate init(_ sizes: Kernel.SliceSizes, isBF16: Bool) {
    self.init(
      outer: Int64(sizes.outer), extent: Int64(sizes.extent), inner: Int64(sizes.inner),
      start: Int64(sizes.start), count: Int64(sizes.count), bf16: flag(isBF16))
  }
}

extension Kernel.Rounding {
  fileprivate var mode: Int32 {
    switch self {
    case .straightThrough: Int32(MODE_STRAIGHT_THROUGH.rawValue)
    case .softRound: Int32(MODE_SOFT.rawValue)
    case .softRoundLogistic: Int32(MODE_LOGISTIC.rawValue)
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
          period: Int32(register.period), bf16: register.isBF16 ? 1 : 0,
          positions: Int32(register.positions), dims: Int32(register.dims))
      }
    }
    withUnsafeMutableBytes(of: &code) { bytes in
      let code = bytes.bindMemory(to: row_instruction.self)
      for (index, instruction) in program.instructions.enumerated() {
        let operation = kernel_row_operation(instruction.operation.name)
        precondition(operation >= 0, "no row operation is \(instruction.operation.name)")
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
    guard let program = kernel.program else { return bytes(nil) }
    return withUnsafePointer(to: row_program(program)) { bytes($0) }
  }
}
