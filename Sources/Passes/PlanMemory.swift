// SPDX-License-Identifier: Apache-2.0
// The last step: lifetimes of buffers to offsets in one arena, conflicts to barriers.

import IR

extension PlanStep {
  /// Gives buffers offsets, and calls barriers.
  ///
  /// A buffer lives from its first write to its last use; those that setup and prepare make live
  /// always. Buffers get the lowest offset that is free for their whole life, largest first. The calls
  /// of a chain happen at one time, tile by tile; a buffer that only they touch, row by row, needs room
  /// for one tile a thread and lies outside the arena. A barrier stands before a call, or a chain, that
  /// touches bytes which a call since the last barrier wrote, or writes bytes which one read.
  static let planMemory = PlanStep(
    "plan-memory", "Give buffers offsets in one arena, calls barriers."
  ) {
    var memory = MemoryPlanner($0)
    $0.function = memory.plan()
    $0.isPlanned = true
  }
}

private struct MemoryPlanner {
  private let lowering: Lowering
  private var offsets: [Int] = []
  /// Bytes of one tile, for buffers that live inside one chain.
  private var tileBytes: [Int: Int] = [:]

  init(_ lowering: Lowering) { self.lowering = lowering }

  mutating func plan() -> PlanFunction {
    var function = lowering.function
    function.arenaBytes = assignOffsets()
    func place(_ slot: Slot) -> BufferReference {
      switch slot.home {
      case .fixed(let space): return BufferReference(space, slot.offset)
      case .virtual(let id):
        if let tileBytes = tileBytes[id] {
          return BufferReference(.tile, offsets[id], tileBytes: tileBytes)
        }
        return BufferReference(.arena, offsets[id] + slot.offset)
      }
    }
    func value(_ value: Value, _ name: String) -> PlanValue {
      PlanValue(
        name: name, type: lowering.graph.type(value), buffer: place(lowering.slot(value)))
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

  /// Returns the bytes of the arena.
  private mutating func assignOffsets() -> Int {
    let end = Stage.allCases.reduce(0) { $0 + lowering.calls[$1]!.count } + 1
    var lifetimes = lowering.virtualBytes.enumerated().map {
      Lifetime(id: $0.offset, first: Int.max, last: -1, bytes: roundedUp($0.element))
    }
    func touch(_ slot: Slot, _ time: Int) {
      guard case .virtual(let id) = slot.home else { return }
      lifetimes[id].first = min(lifetimes[id].first, time)
      lifetimes[id].last = max(lifetimes[id].last, time)
    }
    // Time 0: the driver writes the inputs; time `end`: it reads the outputs.
    for input in lowering.graph.inputs {
      touch(lowering.slot(input), 0)
      // Inputs may be set before the first run and kept: they are never overwritten.
      touch(lowering.slot(input), end)
    }
    for output in lowering.graph.outputs { touch(lowering.slot(output.value), end) }
    var time = 0
    for stage in Stage.allCases {
      for call in lowering.calls[stage]! {
        if !call.isChained { time += 1 }
        for slot in call.slots {
          touch(slot, time)
          if stage != .body {
            touch(slot, 0)
            touch(slot, end)
          }
        }
      }
    }
    offsets = [Int](repeating: 0, count: lifetimes.count)
    let times = timesOfBody()
    for chain in chains() { placeTiles(of: chain, at: times[chain.lowerBound], lifetimes) }
    return place(lifetimes.filter { $0.last >= 0 && tileBytes[$0.id] == nil })
  }

  private func roundedUp(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

  /// Gives offsets, largest first, and returns the bytes of all.
  private mutating func place(_ lifetimes: [Lifetime]) -> Int {
    guard let first = lifetimes.map(\.first).min(), let last = lifetimes.map(\.last).max() else {
      return 0
    }
    var total = 0
    var occupied = OccupiedBytes(times: first...last)
    let order = lifetimes.sorted { ($1.bytes, $0.first, $0.id) < ($0.bytes, $1.first, $1.id) }
    for lifetime in order {
      let times = lifetime.first...lifetime.last
      let offset = occupied.lowestOffset(of: lifetime.bytes, at: times)
      offsets[lifetime.id] = offset
      total = max(total, offset + lifetime.bytes)
      occupied.insert(offset..<offset + lifetime.bytes, at: times)
    }
    return total
  }

  // MARK: Chains

  private func chains() -> [Range<Int>] {
    let calls = lowering.calls[.body]!
    let heads = calls.indices.filter { !calls[$0].isChained } + [calls.count]
    return zip(heads, heads.dropFirst()).map { $0..<$1 }.filter { $0.count > 1 }
  }

  /// Finds the buffers that live inside one chain and gives them offsets in the memory of its tiles.
  private mutating func placeTiles(
    of chain: Range<Int>, at time: Int, _ lifetimes: [Lifetime]
  ) {
    let calls = lowering.calls[.body]!
    let tokens = calls[chain.lowerBound].tokens!
    var inside: [Int: Lifetime] = [:]
    var whole = Set<Int>()
    for (index, call) in zip(chain, calls[chain]) {
      for position in call.slots.indices {
        guard case .virtual(let id) = call.slots[position].home else { continue }
        let lifetime = lifetimes[id]
        let isInside = lifetime.first == time && lifetime.last == time
        let isAllRows = call.accesses[position].bytes == lowering.virtualBytes[id]
        guard isInside, isAllRows, call.isRowwise(position) else {
          whole.insert(id)
          continue
        }
        let bytes = call.accesses[position].bytes / tokens * Tiles.rows(tokens: tokens)
        tileBytes[id] = bytes
        var local =
          inside[id] ?? Lifetime(id: id, first: index, last: index, bytes: roundedUp(bytes))
        local.last = index
        inside[id] = local
      }
    }
    for id in whole {
      tileBytes[id] = nil
      inside[id] = nil
    }
    _ = place(Array(inside.values))
  }

  /// The times at which the calls of the body run, as counted for lifetimes.
  private func timesOfBody() -> [Int] {
    var time = lowering.calls[.setup]!.count + lowering.calls[.prepare]!.count
    return lowering.calls[.body]!.map { call in
      if !call.isChained { time += 1 }
      return time
    }
  }

  // MARK: Barriers

  private func withBarriers(
    _ calls: [LoweredCall], _ place: (Slot) -> BufferReference
  ) -> [KernelCall] {
    var read: [BufferReference.Space: ByteSet] = [:]
    var written: [BufferReference.Space: ByteSet] = [:]
    var result: [KernelCall] = []
    var index = 0
    while index < calls.count {
      // What one call of a chain does to another one's rows happens in the order of the calls.
      let end = calls[(index + 1)...].firstIndex { !$0.isChained } ?? calls.count
      let group = calls[index..<end]
      var reads: [(space: BufferReference.Space, range: Range<Int>)] = []
      var writes: [(space: BufferReference.Space, range: Range<Int>)] = []
      for call in group {
        for (position, slot) in call.slots.enumerated() {
          let buffer = place(slot)
          if buffer.space == .tile { continue }
          let range = buffer.offset..<buffer.offset + call.accesses[position].bytes
          if call.accesses[position].writes {
            writes.append((buffer.space, range))
          } else {
            reads.append((buffer.space, range))
          }
        }
      }
      let conflicts =
        (reads + writes).contains { written[$0.space]?.overlaps($0.range) ?? false }
        || writes.contains { read[$0.space]?.overlaps($0.range) ?? false }
      if conflicts {
        read = [:]
        written = [:]
      }
      for (space, range) in reads { read[space, default: ByteSet()].insert(range) }
      for (space, range) in writes { written[space, default: ByteSet()].insert(range) }
      for call in group {
        result.append(
          KernelCall(
            call.kernel, buffers: call.slots.map(place), tileRows: call.tileRows,
            source: call.source,
            barrier: !call.isChained && (conflicts || result.isEmpty), isChained: call.isChained))
      }
      index = end
    }
    return result
  }
}
