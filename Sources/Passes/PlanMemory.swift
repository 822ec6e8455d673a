// SPDX-License-Identifier: Apache-2.0
// The last step: lifetimes of buffers to offsets in one arena, conflicts to barriers.

import IR

/// Lowers a graph to a function of a plan: kernel calls with offsets and barriers.
///
/// A buffer lives from its first write to its last use; those that setup and prepare make live
/// always. Buffers get the lowest offset that is free for their whole life, largest first. A barrier
/// stands before a call that touches bytes which a call since the last barrier wrote, or writes
/// bytes which one read.
public func lower(_ graph: Graph, layout: ParameterLayout) throws -> PlanFunction {
  var lowering = Lowering(graph, layout: layout)
  try lowering.run()
  var memory = MemoryPlanner(lowering)
  return memory.plan()
}

private struct MemoryPlanner {
  private var lowering: Lowering
  private var offsets: [Int] = []

  init(_ lowering: Lowering) { self.lowering = lowering }

  mutating func plan() -> PlanFunction {
    var function = lowering.function
    function.arenaBytes = assignOffsets()
    func place(_ slot: Slot) -> BufferReference {
      switch slot.home {
      case .fixed(let space): return BufferReference(space, slot.offset)
      case .virtual(let id): return BufferReference(.arena, offsets[id] + slot.offset)
      }
    }
    func value(_ value: Value, _ name: String) -> PlanValue {
      PlanValue(
        name: name, type: lowering.graph.type(value), buffer: place(lowering.slots[value]!))
    }
    function.inputs = lowering.graph.inputs.map { value($0, lowering.graph.name($0)) }
    function.outputs = lowering.graph.outputs.map { value($0.value, $0.name) }
    func finished(_ stage: Stage) -> [KernelCall] {
      withBarriers(lowering.calls[stage]!, place)
    }
    function.setup = finished(.setup)
    function.prepare = finished(.prepare)
    function.body = finished(.body)
    return function
  }

  // MARK: Offsets

  private struct Lifetime {
    let id: Int
    var first: Int
    var last: Int
    let bytes: Int
  }

  private mutating func assignOffsets() -> Int {
    let stages: [Stage] = [.setup, .prepare, .body]
    let end = stages.reduce(0) { $0 + lowering.calls[$1]!.count } + 1
    var lifetimes = lowering.virtualBytes.enumerated().map {
      Lifetime(id: $0.offset, first: Int.max, last: -1, bytes: ($0.element + 63) / 64 * 64)
    }
    func touch(_ slot: Slot, _ time: Int) {
      guard case .virtual(let id) = slot.home else { return }
      lifetimes[id].first = min(lifetimes[id].first, time)
      lifetimes[id].last = max(lifetimes[id].last, time)
    }
    // Time 0: the driver writes the inputs; time `end`: it reads the outputs.
    for input in lowering.graph.inputs {
      touch(lowering.slots[input]!, 0)
      // Inputs may be set before the first run and kept: they are never overwritten.
      touch(lowering.slots[input]!, end)
    }
    for output in lowering.graph.outputs { touch(lowering.slots[output.value]!, end) }
    var time = 1
    for stage in stages {
      for call in lowering.calls[stage]! {
        for slot in call.slots {
          touch(slot, time)
          if stage != .body {
            touch(slot, 0)
            touch(slot, end)
          }
        }
        time += 1
      }
    }
    offsets = [Int](repeating: 0, count: lifetimes.count)
    var total = 0
    var placed: [Lifetime] = []
    let order = lifetimes.filter { $0.last >= 0 }.sorted {
      ($1.bytes, $0.first, $0.id) < ($0.bytes, $1.first, $1.id)
    }
    for lifetime in order {
      var taken: [(start: Int, end: Int)] = []
      for other in placed where other.first <= lifetime.last && lifetime.first <= other.last {
        taken.append((offsets[other.id], offsets[other.id] + other.bytes))
      }
      taken.sort { $0.start < $1.start }
      var offset = 0
      for range in taken {
        if offset + lifetime.bytes <= range.start { break }
        offset = max(offset, range.end)
      }
      offsets[lifetime.id] = offset
      total = max(total, offset + lifetime.bytes)
      placed.append(lifetime)
    }
    return total
  }

  // MARK: Barriers

  private struct Range {
    let space: BufferReference.Space
    let start: Int
    let end: Int
    func overlaps(_ other: Range) -> Bool {
      space == other.space && start < other.end && other.start < end
    }
  }

  private func withBarriers(
    _ calls: [LoweredCall], _ place: (Slot) -> BufferReference
  ) -> [KernelCall] {
    var read: [Range] = []
    var written: [Range] = []
    var result: [KernelCall] = []
    for call in calls {
      let buffers = call.slots.map(place)
      var reads: [Range] = []
      var writes: [Range] = []
      for (index, buffer) in buffers.enumerated() {
        let range = Range(
          space: buffer.space, start: buffer.offset, end: buffer.offset + call.extents[index])
        if call.written.contains(index) { writes.append(range) } else { reads.append(range) }
      }
      let conflicts =
        written.contains { old in (reads + writes).contains(where: old.overlaps) }
        || read.contains { old in writes.contains(where: old.overlaps) }
      if conflicts {
        read = []
        written = []
      }
      read += reads
      written += writes
      result.append(
        KernelCall(
          call.kernel, buffers: buffers, sizes: call.sizes, scalars: call.scalars,
          program: call.program, source: call.source, barrier: conflicts || result.isEmpty))
    }
    return result
  }
}
