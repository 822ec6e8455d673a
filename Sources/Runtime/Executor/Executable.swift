// SPDX-License-Identifier: Apache-2.0
// A function of a plan with its memory: binds kernel calls to addresses once, then runs them.

import CKernels
import IR

/// One loaded function. Not safe for use by two threads at once: its arena is one.
public final class Executable {
  public let function: PlanFunction
  public let parameters: ParameterBlock
  public let states: MemoryBlock
  private let arena: MemoryBlock
  private let constants: MemoryBlock
  private let programs: UnsafeMutablePointer<row_program>
  private let programCount: Int
  private var setup: [kernel_call] = []
  private var prepare: [kernel_call] = []
  /// Those of `prepare` whose results depend on parameters that may change after the first time.
  private var prepareAgain: [kernel_call] = []
  private var isPrepared = false
  private var body: [kernel_call] = []
  /// Threads of the next run; the results do not depend on it.
  public var threads: Int

  /// Loads a function over a block of parameters; constant tables are computed here. States are
  /// zero, or those of another function that has the same ones. Parameters that are not among
  /// `changing` must keep their values from the first `prepareParameters` on; nil: all may change.
  public init(
    _ function: PlanFunction, parameters: ParameterBlock, threads: Int,
    sharing shared: MemoryBlock? = nil, changing: [String]? = nil
  ) throws(OutOfMemory) {
    self.function = function
    self.parameters = parameters
    self.threads = threads
    arena = try MemoryBlock(bytes: function.arenaBytes)
    states = if let shared { shared } else { try MemoryBlock(bytes: function.stateBytes) }
    precondition(states.bytes == function.stateBytes)
    constants = try MemoryBlock(bytes: function.constants.count * 4)
    let floats = constants.base.assumingMemoryBound(to: Float.self)
    for (index, value) in function.constants.enumerated() { floats[index] = Float(value) }
    let calls = function.setup + function.prepare + function.body
    programCount = calls.count { $0.kernel.program != nil }
    programs = .allocate(capacity: max(programCount, 1))
    var next = 0
    setup = bind(function.setup, &next)
    prepare = bind(function.prepare, &next)
    body = bind(function.body, &next)
    setup.withUnsafeMutableBufferPointer { kernels_layout($0.baseAddress, Int64($0.count)) }
    prepare.withUnsafeMutableBufferPointer { kernels_layout($0.baseAddress, Int64($0.count)) }
    body.withUnsafeMutableBufferPointer { kernels_layout($0.baseAddress, Int64($0.count)) }
    prepareAgain = changing.map { callsToPrepareAgain(after: $0) } ?? prepare
    execute(setup)
  }

  deinit { programs.deallocate() }

  // MARK: Running

  /// Recomputes what depends on the parameters alone. Call it after they changed.
  public func prepareParameters() {
    execute(isPrepared ? prepareAgain : prepare)
    isPrepared = true
  }

  /// The calls of `prepare` that read one of the parameters, or what such a call touched.
  private func callsToPrepareAgain(after changing: [String]) -> [kernel_call] {
    let ranges = changing.compactMap { path in
      parameters.layout[path].map { $0.offset..<$0.offset + $0.parameter.type.count * 4 }
    }
    var touched = Set<Int>()
    var isBarrierDue = false
    var result: [kernel_call] = []
    for (call, bound) in zip(function.prepare, prepare) {
      isBarrierDue = isBarrierDue || call.barrier
      let depends = call.buffers.contains { buffer in
        buffer.space == .parameter
          ? ranges.contains { $0.contains(buffer.offset) } : touched.contains(buffer.offset)
      }
      guard depends else { continue }
      touched.formUnion(call.buffers.filter { $0.space == .arena }.map(\.offset))
      var kept = bound
      kept.barrier = isBarrierDue ? 1 : 0
      isBarrierDue = false
      result.append(kept)
    }
    return result
  }

  /// Runs the body once.
  public func run() { execute(body) }

  /// Runs the body once as `run` does (with `preparing`, `prepareParameters` before it) and records
  /// what every thread did.
  public func profile(preparing: Bool = false) -> Profile {
    func recorded(_ bound: [kernel_call], _ calls: [KernelCall]) -> Profile {
      Profile(
        name: function.name, threads: threads, calls: calls,
        events: bound.isEmpty ? [] : recordedEvents(bound, threads: threads))
    }
    guard preparing else { return recorded(body, function.body) }
    var profile = recorded(prepare, function.prepare)
    profile.append(recorded(body, function.body))
    return profile
  }

  private func execute(_ calls: [kernel_call]) {
    guard !calls.isEmpty else { return }
    calls.withUnsafeBufferPointer {
      kernels_run($0.baseAddress, Int64($0.count), Int32(threads))
    }
  }

  // MARK: Values

  /// The place of a real input.
  public func input(_ name: String) -> UnsafeMutableBufferPointer<Float> {
    guard let value = function.inputs.first(where: { $0.name == name }) else {
      preconditionFailure("\(function.name) has no input \(name)")
    }
    return floats(value)
  }

  /// Whether the function has an input of that name.
  public func hasInput(_ name: String) -> Bool { function.inputs.contains { $0.name == name } }

  /// Writes a scalar input, if the function has it.
  public func setScalar(_ name: String, _ number: Double) {
    if hasInput(name) { input(name)[0] = Float(number) }
  }

  /// The place of an input of tokens, [rows, positions]. The caller says how many it will write: a
  /// function that was planned for other sizes would compute other rows than are counted.
  public func tokens(_ name: String, _ sizes: [Int]) -> UnsafeMutableBufferPointer<Int32> {
    guard let value = function.inputs.first(where: { $0.name == name }) else {
      preconditionFailure("\(function.name) has no input \(name)")
    }
    requireSizes(value, sizes)
    let start = address(value.buffer).assumingMemoryBound(to: Int32.self)
    return UnsafeMutableBufferPointer(start: start, count: value.type.count)
  }

  /// The place of an output of the sizes that the caller counts, valid until the next run.
  public func output(_ name: String, _ sizes: [Int]) -> UnsafeMutableBufferPointer<Float> {
    if let value = function.outputs.first(where: { $0.name == name }) { requireSizes(value, sizes) }
    return output(name)
  }

  private func requireSizes(_ value: PlanValue, _ sizes: [Int]) {
    precondition(
      value.type.sizes == sizes,
      "\(function.name) was planned for \(value.name) \(value.type), it is run at \(sizes)")
  }

  /// The place of an output, valid until the next run.
  public func output(_ name: String) -> UnsafeMutableBufferPointer<Float> {
    guard let value = function.outputs.first(where: { $0.name == name }) else {
      preconditionFailure("\(function.name) has no output \(name)")
    }
    return floats(value)
  }

  /// The values of one state.
  public func state(_ path: String) -> UnsafeMutableBufferPointer<Float>? {
    guard let state = function.states.first(where: { $0.path == path }) else { return nil }
    let start = (states.base + state.offset).assumingMemoryBound(to: Float.self)
    return UnsafeMutableBufferPointer(start: start, count: state.type.count)
  }

  private func floats(_ value: PlanValue) -> UnsafeMutableBufferPointer<Float> {
    let start = address(value.buffer).assumingMemoryBound(to: Float.self)
    return UnsafeMutableBufferPointer(start: start, count: value.type.count)
  }

  // MARK: Binding

  private func address(_ reference: BufferReference) -> UnsafeMutableRawPointer {
    switch reference.space {
    case .parameter: return parameters.memory.base + reference.offset
    case .state: return states.base + reference.offset
    case .arena: return arena.base + reference.offset
    case .constant: return constants.base + reference.offset
    case .tile: preconditionFailure("a buffer of a tile has no address")
    }
  }

  private func bind(_ calls: [KernelCall], _ nextProgram: inout Int) -> [kernel_call] {
    var bound = calls.map { bind($0, &nextProgram) }
    var head = 0
    for (index, call) in calls.enumerated() {
      if !call.isChained { head = index }
      bound[head].chain = Int32(index - head + 1)
    }
    return bound
  }

  private func bind(_ call: KernelCall, _ nextProgram: inout Int) -> kernel_call {
    var program: UnsafePointer<row_program>?
    if let rows = call.kernel.program {
      programs[nextProgram] = row_program(rows)
      program = UnsafePointer(programs + nextProgram)
      nextProgram += 1
    }
    var bound = kernel_call(call, program: program)
    withUnsafeMutableBytes(of: &bound.buffer) { bytes in
      let buffers = bytes.bindMemory(to: UnsafeMutableRawPointer?.self)
      for (index, reference) in call.buffers.enumerated() {
        buffers[index] =
          reference.space == .tile
          ? UnsafeMutableRawPointer(bitPattern: reference.offset) : address(reference)
      }
    }
    withUnsafeMutableBytes(of: &bound.advance) { bytes in
      let advance = bytes.bindMemory(to: Int32.self)
      for (index, reference) in call.buffers.enumerated() {
        advance[index] = Int32(reference.tileBytes)
      }
    }
    bound.local = call.buffers.enumerated().reduce(0) { mask, buffer in
      mask | (buffer.element.space == .tile ? 1 << UInt32(buffer.offset) : 0)
    }
    return bound
  }
}
