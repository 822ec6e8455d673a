// SPDX-License-Identifier: Apache-2.0
// Calls of a plan as the C module takes them: arguments by name, and addresses.

import CKernels
import IR

/// Calls with addresses, and the row programs that they point to.
package final class BoundCalls {
  package private(set) var calls: [kernel_call] = []
  private let programs: UnsafeMutablePointer<row_program>

  /// `address` says where a buffer lies; calls that are measured and not run have none.
  package init(_ calls: [KernelCall], address: (BufferReference) -> UnsafeMutableRawPointer?) {
    // Layers repeat the same kernels with the same arguments, which are bound once.
    var bound: [Kernel: kernel_call] = [:]
    let kernels = Set(calls.map(\.kernel))
    programs = .allocate(capacity: max(kernels.count, 1))
    for (index, kernel) in kernels.enumerated() {
      if let program = kernel.program { programs[index] = row_program(program) }
      bound[kernel] = kernel_call(kernel, program: programs + index)
    }
    var head = 0
    for (index, call) in calls.enumerated() {
      var made = bound[call.kernel]!
      made.place(call, address: address)
      self.calls.append(made)
      if !call.isChained { head = index }
      self.calls[head].chain = Int32(index - head + 1)
    }
    kernels_layout(&self.calls, Int64(calls.count))
  }

  deinit { programs.deallocate() }

  /// Bytes of scratch that each thread needs for the calls.
  var scratch: Int { Int(kernels_scratch(calls, Int64(calls.count))) }

  /// Makes room for what each thread needs: a run itself allocates nothing and cannot fail.
  package func reserve(threads: Int) throws(OutOfMemory) {
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
  /// What differs from call to call: barrier, rows of a tile, buffers.
  fileprivate mutating func place(
    _ call: KernelCall, address: (BufferReference) -> UnsafeMutableRawPointer?
  ) {
    barrier = call.barrier ? 1 : 0
    if let rows = call.tileRows { set("tile_rows", (rows, 0), of: call.kernel) }
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
  init(_ kernel: Kernel, program: UnsafePointer<row_program>? = nil) {
    self.init()
    self.kernel = kernel_named(kernel.name)
    precondition(self.kernel >= 0, "no kernel is named \(kernel.name)")
    var names = Set<String>()
    for (name, value) in kernel.namedArguments {
      for (name, value) in cArguments(name, value, program: program) {
        set(name, value, of: kernel)
        names.insert(name)
      }
    }
    // Rows of a tile are the call's, unless the kernel fixes them itself.
    if !names.contains("tile_rows"), kernel_set(&self, "tile_rows", 0, 0) != 0 {
      names.insert("tile_rows")
    }
    precondition(
      names.count == kernel_arguments(self.kernel),
      "\(kernel.name) has other arguments in KernelArguments.h: \(names.sorted()) are known here")
  }

  private mutating func set(_ name: String, _ value: CArgument, of kernel: Kernel) {
    let isSet = kernel_set(&self, name, Int64(value.whole), value.real) != 0
    precondition(isSet, "\(kernel.name) has no argument '\(name)' in KernelArguments.h")
  }
}

/// A whole number, or a real one where C has a double.
private typealias CArgument = (whole: Int, real: Double)

/// What an argument of a plan is in C, by C's names.
private func cArguments(
  _ name: String, _ value: Any, program: UnsafePointer<row_program>?
) -> [(String, CArgument)] {
  let name = cName(name)
  switch value {
  case let number as Int: return [(name, (number, 0))]
  case let number as Double: return [(name, (0, number))]
  case let flag as Bool: return [(name, (flag ? 1 : 0, 0))]
  case let rounding as Kernel.Rounding: return [(name, code(rounding.rawValue))]
  case is RowProgram: return [(name, (Int(bitPattern: program), 0))]
  case let quantizer as Quantizer:
    let parameters = quantizer.clip.parameters
    return [
      ("clip", code(quantizer.clip.kind.rawValue)), ("parameters", (parameters.count, 0)),
      ("qmin", (quantizer.qmin, 0)), ("qmax", (quantizer.qmax, 0)),
      ("unrounded", (quantizer.codesFromUnrounded ? 1 : 0, 0)), ("floor", (0, quantizer.floor)),
      ("half_floor", (0, quantizer.halfFloor)),
    ]
      + (0..<8).map {
        ("parameter_\($0)", (0, $0 < parameters.count ? parameters[$0] : 0))
      }
  default: preconditionFailure("the argument '\(name)' has no form in C")
  }
}

/// A word of plans by its number in C.
private func code(_ word: String) -> CArgument {
  let code = kernel_word(word)
  precondition(code >= 0, "'\(word)' is no word of KernelArguments.h")
  return (Int(code), 0)
}

/// `tileRows` is `tile_rows` in C, `isTransposed` is `transposed`, `xIsBF16` is `x_bf16`.
private func cName(_ name: String) -> String {
  var words = [""]
  for letter in name.replacing("BF16", with: "Bf16") {
    if letter.isUppercase { words.append("") }
    words[words.count - 1] += letter.lowercased()
  }
  return words.filter { $0 != "is" }.joined(separator: "_")
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
