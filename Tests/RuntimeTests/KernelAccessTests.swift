// SPDX-License-Identifier: Apache-2.0
// What the arguments of kernels say of buffers, against memory: while a call runs, nothing changes but
// what it says it writes, and that does not depend on anything but what it says it reads.

import CKernels
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct KernelAccessTests {
    @Test(arguments: OpSample.all.filter { $0.isExecutable })
    func callsTouchWhatTheirArgumentsSay(_ sample: OpSample) throws {
      for readingParameters in sample.isUpdate ? [false] : [false, true] {
        let (graph, contents) = try sample.function(readingParameters: readingParameters)
        let function = try lower(graph, layout: ParameterLayout(graph.parameters))
        try Route.withEach { route in
          var watch = MemoryWatch(function, ParameterLayout(graph.parameters), contents)
          let faults = try watch.faults()
          #expect(faults == [], "\(route)")
        }
      }
    }

    /// Chains, row programs and bf16 in memory: a training step and a scorer of a small model.
    @Test(arguments: ComputePrecision.allCases)
    func callsOfWholeFunctionsTouchWhatTheirArgumentsSay(_ compute: ComputePrecision) throws {
      let model = try Repository.model(
        "graphs/tiny.graph",
        set: [
          "vocab": "67", "dim": "32", "heads": "2", "kv_heads": "1", "layers": "2", "seq": "17",
        ],
        windows: .short)
      let target = TargetMachine(machine: "any", isa: "any", compute: compute)
      let sizes = TokenSizes(rows: 2, seq: 17)
      for kind in [FunctionKind.train(variant: 0), .score(last: 1)] {
        let function = try compileFunction(kind, sizes, of: model, target: target)
        let graph = model.graph
        try Route.withEach { route in
          var contents = OpSample.Contents()
          contents.parameters = graph.randomContents(seed: 1)
          for input in function.inputs {
            contents.inputs[input.name] =
              input.type.isReal
              ? .reals([Double](repeating: 0.5, count: input.type.count))
              : .ids((0..<input.type.count).map { Int32($0 * 7 % 67) })
          }
          var watch = MemoryWatch(function, ParameterLayout(graph.parameters), contents)
          let faults = try watch.faults()
          #expect(faults == [], "\(route)")
        }
      }
    }

    /// The watch sees what it is for.
    @Test func understatedAccessesAreFound() throws {
      let sample = try #require(OpSample.all.first { $0.op == .linear })
      let (graph, contents) = try sample.function(readingParameters: false)
      let layout = ParameterLayout(graph.parameters)
      let function = try lower(graph, layout: layout)
      for buffer in 0..<2 {
        var watch = MemoryWatch(function, layout, contents)
        watch.understated = ("matmul", buffer)
        let faults = try watch.faults()
        #expect(!faults.isEmpty, "buffer \(buffer)")
      }
    }
  }
}

/// The memory of one function, watched call by call.
private struct MemoryWatch {
  private let function: PlanFunction
  private var spaces: [BufferReference.Space: Block] = [:]
  private var found: [String] = []
  /// A kernel and the buffer of which it is said to touch four bytes less.
  var understated: (kernel: String, buffer: Int)?

  private final class Block {
    let bytes: UnsafeMutableRawBufferPointer
    init(_ count: Int) {
      bytes = .allocate(byteCount: max(count, 64), alignment: 64)
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }
    deinit { bytes.deallocate() }
  }
  private typealias Snapshot = [BufferReference.Space: [UInt8]]
  /// For each byte of a space whether it is meant.
  private typealias Bytes = [BufferReference.Space: [Bool]]

  init(_ function: PlanFunction, _ layout: ParameterLayout, _ contents: OpSample.Contents) {
    self.function = function
    spaces = [
      .parameter: Block(layout.bytes), .state: Block(function.stateBytes),
      .arena: Block(function.arenaBytes), .constant: Block(function.constants.count * 4),
    ]
    fill(.constant, 0, function.constants)
    for entry in layout.entries {
      fill(.parameter, entry.offset, contents.parameters[entry.parameter.path] ?? [])
    }
    for state in function.states {
      fill(.state, state.offset, contents.parameters[state.path] ?? [])
    }
    for input in function.inputs {
      switch contents.inputs[input.name] {
      case .reals(let reals)?: fill(input.buffer.space, input.buffer.offset, reals)
      case .ids(let ids)?:
        for (index, id) in ids.enumerated() {
          spaces[input.buffer.space]!.bytes.storeBytes(
            of: id, toByteOffset: input.buffer.offset + 4 * index, as: Int32.self)
        }
      case nil: break
      }
    }
  }

  private func fill(_ space: BufferReference.Space, _ offset: Int, _ numbers: [Double]) {
    for (index, number) in numbers.enumerated() {
      spaces[space]!.bytes.storeBytes(
        of: Float(number), toByteOffset: offset + 4 * index, as: Float.self)
    }
  }

  /// Runs everything and returns what was not as said.
  mutating func faults() throws -> [String] {
    for calls in [function.setup, function.prepare, function.body] {
      let bound = BoundCalls(calls) { [spaces] reference in
        spaces[reference.space].map { $0.bytes.baseAddress! + reference.offset }
      }
      try bound.reserve(threads: 1)
      var start = 0
      while start < calls.count {
        var end = start + 1
        while end < calls.count, calls[end].isChained { end += 1 }
        watch(calls[start..<end]) {
          bound.calls.withUnsafeBufferPointer {
            kernels_run($0.baseAddress! + start, Int64(end - start), 1)
          }
        }
        start = end
      }
    }
    return found
  }

  private var snapshot: Snapshot { spaces.mapValues { Array($0.bytes) } }

  private func restore(_ snapshot: Snapshot) {
    for (space, bytes) in snapshot { spaces[space]!.bytes.copyBytes(from: bytes) }
  }

  /// A number that no sample has, as a weight or as a token.
  private static func odd(_ place: Int) -> UInt8 { [0x5a, 0xa5, 0xf1, 0x40][place % 4] }

  private mutating func watch(_ calls: ArraySlice<KernelCall>, _ run: () -> Void) {
    let name = calls.map { "\($0.kernel.name) of \($0.source)" }.joined(separator: ", ")
    let (reads, writes) = ranges(of: calls)
    let before = snapshot
    run()
    let after = snapshot
    for (space, bytes) in after {
      let (old, written) = (before[space]!, writes[space]!)
      if bytes.indices.contains(where: { bytes[$0] != old[$0] && !written[$0] }) {
        found.append("\(name): writes more of \(space) than it says")
      }
    }
    restore(before)
    for (space, block) in spaces {
      let read = reads[space]!
      for place in block.bytes.indices where !read[place] {
        block.bytes[place] = Self.odd(place)
      }
    }
    run()
    for (space, written) in writes {
      let (bytes, same) = (spaces[space]!.bytes, after[space]!)
      // What stays odd was not written: the last line of a panel may be.
      let differs = written.indices.contains {
        written[$0] && bytes[$0] != same[$0] && bytes[$0] != Self.odd($0)
      }
      if differs {
        found.append("\(name): reads more than it says")
      }
    }
    restore(after)
  }

  /// The bytes that calls say they read and write, but for the memory of tiles.
  private func ranges(of calls: ArraySlice<KernelCall>) -> (reads: Bytes, writes: Bytes) {
    var reads = spaces.mapValues { [Bool](repeating: false, count: $0.bytes.count) }
    var writes = reads
    for call in calls {
      for (index, access) in call.kernel.arguments.accesses.enumerated() {
        let buffer = call.buffers[index]
        guard buffer.space != .tile else { continue }
        let isLess =
          understated.map { $0.kernel == call.kernel.name && $0.buffer == index } ?? false
        let range = buffer.offset..<(buffer.offset + access.bytes - (isLess ? 4 : 0))
        for place in range {
          if access.mode != .write { reads[buffer.space]![place] = true }
          if access.writes { writes[buffer.space]![place] = true }
        }
      }
    }
    return (reads, writes)
  }
}
