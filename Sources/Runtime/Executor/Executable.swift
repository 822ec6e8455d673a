// SPDX-License-Identifier: Apache-2.0
// A function of a plan with its memory: binds kernel calls to addresses once, then runs them.

import CKernels
import IR

/// One loaded function. Not safe for use by two threads at once: its arena is one.
public final class Executable {
  public let function: PlanFunction
  public let parameters: ParameterBlock
  public let states: MemoryBlock
  private let spaces: MemorySpaces
  private let prepare: BoundCalls
  /// Those of `prepare` whose results depend on parameters that may change after the first time.
  private var prepareAgain: [kernel_call] = []
  private var isPrepared = false
  private let body: BoundCalls
  /// Threads of every run; the results do not depend on their number.
  public let threads: Int

  /// Loads a function over a block of parameters; constant tables are computed here. States are
  /// zero, or those of another function that has the same ones. Parameters that are not among
  /// `changing` must keep their values from the first `prepareParameters` on; nil: all may change.
  public init(
    _ function: PlanFunction, parameters: ParameterBlock, threads: Int,
    sharing shared: MemoryBlock? = nil, changing: [String]? = nil
  ) throws(OutOfMemory) {
    (self.function, self.parameters, self.threads) = (function, parameters, threads)
    let states = if let shared { shared } else { try MemoryBlock(bytes: function.stateBytes) }
    precondition(states.bytes == function.stateBytes)
    let constants = try MemoryBlock(bytes: function.constants.count * 4)
    let floats = constants.base.assumingMemoryBound(to: Float.self)
    for (index, value) in function.constants.enumerated() { floats[index] = Float(value) }
    self.states = states
    let spaces = MemorySpaces(
      parameters: parameters.memory, states: states,
      arena: try MemoryBlock(bytes: function.arenaBytes), constants: constants)
    self.spaces = spaces
    func bound(_ calls: [KernelCall]) throws(OutOfMemory) -> BoundCalls {
      let bound = BoundCalls(calls, address: spaces.address)
      try bound.reserve(threads: threads)
      return bound
    }
    prepare = try bound(function.prepare)
    body = try bound(function.body)
    let setup = try bound(function.setup)
    prepareAgain = changing.map { callsToPrepareAgain(after: $0) } ?? prepare.calls
    // The calls point to the programs that `setup` holds.
    withExtendedLifetime(setup) { execute(setup.calls) }
  }

  // MARK: Running

  /// Recomputes what depends on the parameters alone. Call it after they changed.
  public func prepareParameters() {
    execute(isPrepared ? prepareAgain : prepare.calls)
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
    for (call, bound) in zip(function.prepare, prepare.calls) {
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
  public func run() { execute(body.calls) }

  /// Runs the body once as `run` does (with `preparing`, `prepareParameters` before it) and records
  /// what every thread did.
  public func profile(preparing: Bool = false) -> Profile {
    func recorded(_ bound: [kernel_call], _ calls: [KernelCall]) -> Profile {
      Profile(
        name: function.name, threads: threads, calls: calls,
        events: bound.isEmpty ? [] : recordedEvents(bound, threads: threads))
    }
    guard preparing else { return recorded(body.calls, function.body) }
    var profile = recorded(prepare.calls, function.prepare)
    profile.append(recorded(body.calls, function.body))
    return profile
  }

  /// Runs some chains of the body, by the places of their first calls, twice, and records the second time. What
  /// they compute is of no use: others are missing between them.
  func profile(units heads: Set<Int>) -> Profile {
    var (bound, calls): ([kernel_call], [KernelCall]) = ([], [])
    for head in heads.sorted() {
      let end = function.body[(head + 1)...].firstIndex { !$0.isChained } ?? function.body.count
      bound += body.calls[head..<end]
      calls += function.body[head..<end]
      bound[bound.count - (end - head)].barrier = 1
    }
    execute(bound)
    return Profile(
      name: function.name, threads: threads, calls: calls,
      events: bound.isEmpty ? [] : recordedEvents(bound, threads: threads))
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
    floats(value(name, of: function.inputs))
  }

  /// Whether the function has an input of that name.
  public func hasInput(_ name: String) -> Bool { function.inputs.contains { $0.name == name } }

  /// Writes a scalar input, if the function has it.
  public func setScalar(_ name: String, _ number: Double) {
    if hasInput(name) { input(name)[0] = Float(number) }
  }

  /// The place of the ids that the function reads, [rows, positions].
  public func ids(_ sizes: [Int]) -> UnsafeMutableBufferPointer<Int32> {
    tokens(function.inputs[0].name, sizes)
  }

  /// The place of an input of tokens, [rows, positions]. The caller says how many it will write: a
  /// function that was planned for other sizes would compute other rows than are counted.
  public func tokens(_ name: String, _ sizes: [Int]) -> UnsafeMutableBufferPointer<Int32> {
    let value = value(name, of: function.inputs)
    requireSizes(value, sizes)
    let start = start(of: value).assumingMemoryBound(to: Int32.self)
    return UnsafeMutableBufferPointer(start: start, count: value.type.count)
  }

  /// The place of an output of the sizes that the caller counts, valid until the next run.
  public func output(_ name: String, _ sizes: [Int]) -> UnsafeMutableBufferPointer<Float> {
    requireSizes(value(name, of: function.outputs), sizes)
    return output(name)
  }

  private func value(_ name: String, of values: [PlanValue]) -> PlanValue {
    guard let value = values.first(where: { $0.name == name }) else {
      preconditionFailure("\(function.name) has no input or output \(name)")
    }
    return value
  }

  private func requireSizes(_ value: PlanValue, _ sizes: [Int]) {
    precondition(
      value.type.sizes == sizes,
      "\(function.name) was planned for \(value.name) \(value.type), it is run at \(sizes)")
  }

  /// The place of an output, valid until the next run.
  public func output(_ name: String) -> UnsafeMutableBufferPointer<Float> {
    floats(value(name, of: function.outputs))
  }

  /// The values of one state.
  public func state(_ path: String) -> UnsafeMutableBufferPointer<Float>? {
    guard let state = function.states.first(where: { $0.path == path }) else { return nil }
    let start = (states.base + state.offset).assumingMemoryBound(to: Float.self)
    return UnsafeMutableBufferPointer(start: start, count: state.type.count)
  }

  private func start(of value: PlanValue) -> UnsafeMutableRawPointer {
    guard let start = spaces.address(value.buffer) else {
      preconditionFailure("\(value.name) has no address")
    }
    return start
  }

  private func floats(_ value: PlanValue) -> UnsafeMutableBufferPointer<Float> {
    let start = start(of: value).assumingMemoryBound(to: Float.self)
    return UnsafeMutableBufferPointer(start: start, count: value.type.count)
  }
}

extension Executable {
  public func input(_ port: Port) -> UnsafeMutableBufferPointer<Float> { input(port.name) }
  public func hasInput(_ port: Port) -> Bool { hasInput(port.name) }
  public func setScalar(_ port: Port, _ number: Double) { setScalar(port.name, number) }
  public func tokens(_ port: Port, _ sizes: [Int]) -> UnsafeMutableBufferPointer<Int32> {
    tokens(port.name, sizes)
  }
  public func output(_ port: Port) -> UnsafeMutableBufferPointer<Float> { output(port.name) }
  public func output(_ port: Port, _ sizes: [Int]) -> UnsafeMutableBufferPointer<Float> {
    output(port.name, sizes)
  }
}

/// The blocks of one loaded function.
private struct MemorySpaces {
  let parameters: MemoryBlock
  let states: MemoryBlock
  let arena: MemoryBlock
  let constants: MemoryBlock

  /// nil in the memory of a tile, which each thread has for itself.
  func address(_ buffer: BufferReference) -> UnsafeMutableRawPointer? {
    let block: MemoryBlock
    switch buffer.space {
    case .parameter: block = parameters
    case .state: block = states
    case .arena: block = arena
    case .constant: block = constants
    case .tile: return nil
    }
    return block.base + buffer.offset
  }
}
