// SPDX-License-Identifier: Apache-2.0
// Reorders the calls of a body so that those that work on token rows follow each other, and chains them.

import IR

extension PlanStep {
  /// Calls that work on the same token rows follow each other, tile by tile.
  static let formChains = PlanStep("form-chains", "Chain calls that work on the same token rows.") {
    var scheduler = ChainScheduler($0.calls[.body]!)
    $0.calls[.body] = scheduler.run()
  }
}

/// A list scheduler over lowered calls.
///
/// A chain is a run of calls that compute token rows from the same rows of what the chain made before:
/// a thread takes one tile of rows through all of them while it is in cache, and nobody waits in
/// between. While a chain is open, the next call that can join it is taken; then everything that is
/// ready and cannot run in a chain (attention, weight gradients, sums, updates); then the next chain.
/// A call never moves up past an attention, or what the backward pass can compute early would stay in
/// memory all the while.
private struct ChainScheduler {
  private let calls: [LoweredCall]
  private var dependences: Dependences
  private var ready = SortedIndices()
  private var result: [LoweredCall] = []
  /// Attentions before each call.
  private let phase: [Int]
  /// The token rows of each call that can run in a chain.
  private let tokens: [Int?]
  /// The region that each operand of each call lies in: operands in different ones share no bytes.
  private let regions: [[Region]]

  init(_ calls: [LoweredCall]) {
    self.calls = calls
    phase = phases(calls) { $0.endsPhase }
    tokens = calls.map(\.tokens)
    regions = Region.regions(of: calls)
    dependences = Dependences(count: calls.count)
    findDependences()
    for index in dependences.free { ready.insert(index) }
  }

  mutating func run() -> [LoweredCall] {
    while !ready.isEmpty {
      emitOthers()
      emitChain()
    }
    return result
  }

  /// Emits what is ready now and cannot be chained. Attention first: its tiles are the largest.
  private mutating func emitOthers() {
    let others = ready.filter { tokens[$0] == nil }
    for index in others.filter({ calls[$0].endsPhase })
      + others.filter({ !calls[$0].endsPhase })
    {
      result.append(calls[index])
      finish(index)
    }
  }

  private mutating func emitChain() {
    guard let first = ready.first(where: { tokens[$0] != nil }), let rows = tokens[first] else {
      return
    }
    var members: [Int] = []
    var touched = TouchedRows()
    while let next = ready.first(where: {
      tokens[$0] == rows && phase[$0] == phase[first] && touched.allows(calls[$0], regions[$0])
    }) {
      members.append(next)
      touched.add(calls[next], regions[next])
      finish(next)
    }
    for (place, index) in members.enumerated() {
      var call = calls[index]
      call.isChained = place > 0
      // A call on its own is cut as its kernel likes best.
      if members.count > 1 { call.cut(intoTilesOf: Tiles.rows(tokens: rows)) }
      result.append(call)
    }
  }

  private mutating func finish(_ index: Int) {
    ready.remove(index)
    for next in dependences.finish(index) { ready.insert(next) }
  }

  /// Orders calls that touch the same bytes, one of them writing.
  private mutating func findDependences() {
    struct Access {
      let call: Int
      let range: Range<Int>
    }
    var reads: [Region: [Access]] = [:]
    var writes: [Region: [Access]] = [:]
    // The last call that was found to depend on each one.
    var dependent = [Int](repeating: -1, count: calls.count)
    for (index, call) in calls.enumerated() {
      func follow(_ others: [Access]?, _ range: Range<Int>) {
        for other in others ?? []
        where dependent[other.call] != index && other.range.overlaps(range) {
          dependent[other.call] = index
          dependences.add(index, after: other.call)
        }
      }
      for (position, region) in regions[index].enumerated() {
        let range = call.range(position)
        follow(writes[region], range)
        if call.accesses[position].writes { follow(reads[region], range) }
      }
      for (position, region) in regions[index].enumerated() {
        let access = Access(call: index, range: call.range(position))
        if call.accesses[position].writes {
          writes[region, default: []].append(access)
        } else {
          reads[region, default: []].append(access)
        }
      }
    }
  }
}

/// Bytes of one home that no operand outside of the region touches.
private struct Region: Hashable {
  let home: Slot.Home
  let number: Int

  /// The regions of all operands of calls, in their order.
  static func regions(of calls: [LoweredCall]) -> [[Region]] {
    var places: [Slot.Home: [(call: Int, position: Int, range: Range<Int>)]] = [:]
    for (index, call) in calls.enumerated() {
      for (position, slot) in call.slots.enumerated() {
        places[slot.home, default: []].append((index, position, call.range(position)))
      }
    }
    var result = calls.map { $0.slots.map { Region(home: $0.home, number: 0) } }
    for (home, places) in places {
      for (place, number) in zip(places, Passes.regions(of: places.map(\.range))) {
        result[place.call][place.position] = Region(home: home, number: number)
      }
    }
    return result
  }
}

/// The operands of the calls of one chain.
private struct TouchedRows {
  private struct Access {
    let range: Range<Int>
    let isRowwise: Bool
  }
  private var reads: [Region: [Access]] = [:]
  private var writes: [Region: [Access]] = [:]

  /// Whether every byte that the call shares with the chain, one of them writing, lies in the same
  /// rows for both.
  func allows(_ call: LoweredCall, _ regions: [Region]) -> Bool {
    regions.enumerated().allSatisfy { position, region in
      let range = call.range(position)
      func fit(_ others: [Access]?) -> Bool {
        (others ?? []).allSatisfy { other in
          !other.range.overlaps(range)
            || (other.isRowwise && call.isRowwise(position) && other.range == range)
        }
      }
      return fit(writes[region]) && (!call.accesses[position].writes || fit(reads[region]))
    }
  }

  mutating func add(_ call: LoweredCall, _ regions: [Region]) {
    for (position, region) in regions.enumerated() {
      let access = Access(range: call.range(position), isRowwise: call.isRowwise(position))
      if call.accesses[position].writes {
        writes[region, default: []].append(access)
      } else {
        reads[region, default: []].append(access)
      }
    }
  }
}
