// SPDX-License-Identifier: Apache-2.0
// Reorders the calls of a body so that those that work on token rows follow each other, and chains them.

import IR

/// A list scheduler over lowered calls.
///
/// A chain is a run of calls that compute token rows from the same rows of what the chain made before:
/// a thread takes one tile of rows through all of them while it is in cache, and nobody waits in
/// between. While a chain is open, the next call that can join it is taken; then everything that is
/// ready and cannot run in a chain (attention, weight gradients, sums, updates); then the next chain.
/// A call never moves up past an attention, or what the backward pass can compute early would stay in
/// memory all the while.
struct ChainScheduler {
  private let calls: [LoweredCall]
  private var successors: [[Int]]
  private var waiting: [Int]
  private var ready: [Int] = []  // sorted
  private var result: [LoweredCall] = []
  /// Attentions before each call.
  private let phase: [Int]

  init(_ calls: [LoweredCall]) {
    self.calls = calls
    var attentions = 0
    phase = calls.map { call in
      defer { attentions += call.isAttention ? 1 : 0 }
      return attentions
    }
    successors = [[Int]](repeating: [], count: calls.count)
    waiting = [Int](repeating: 0, count: calls.count)
    findDependences()
    ready = calls.indices.filter { waiting[$0] == 0 }
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
    let others = ready.filter { calls[$0].tiling == nil }
    for index in others.filter({ calls[$0].isAttention })
      + others.filter({ !calls[$0].isAttention })
    {
      result.append(calls[index])
      finish(index)
    }
  }

  private mutating func emitChain() {
    guard let first = ready.first(where: { calls[$0].tiling != nil }) else { return }
    let tokens = calls[first].tiling!.tokens
    var members: [Int] = []
    var touched = TouchedRows()
    while let next = ready.first(where: {
      calls[$0].tiling?.tokens == tokens && phase[$0] == phase[first]
        && touched.allows(calls[$0])
    }) {
      members.append(next)
      touched.add(calls[next])
      finish(next)
    }
    for (place, index) in members.enumerated() {
      var call = calls[index]
      call.isChained = place > 0
      // A call on its own is cut as its kernel likes best.
      if members.count > 1, let at = call.tiling!.rowsAt {
        call.sizes[at] = Tiling.rows(tokens: tokens)
      }
      result.append(call)
    }
  }

  private mutating func finish(_ index: Int) {
    if let position = ready.firstIndex(of: index) { ready.remove(at: position) }
    for successor in successors[index] {
      waiting[successor] -= 1
      if waiting[successor] == 0 {
        ready.insert(successor, at: ready.firstIndex { $0 > successor } ?? ready.count)
      }
    }
  }

  /// Orders calls that touch the same bytes, one of them writing.
  private mutating func findDependences() {
    struct Access {
      let call: Int
      let range: Range<Int>
      let isWrite: Bool
    }
    var accesses: [Slot.Home: [Access]] = [:]
    // The last call that was found to depend on each one.
    var dependent = [Int](repeating: -1, count: calls.count)
    for (index, call) in calls.enumerated() {
      for position in call.slots.indices {
        let range = call.range(position)
        let isWrite = call.writes(position)
        for other in accesses[call.slots[position].home] ?? []
        where (isWrite || other.isWrite) && dependent[other.call] != index
          && other.range.overlaps(range)
        {
          dependent[other.call] = index
          waiting[index] += 1
          successors[other.call].append(index)
        }
      }
      for position in call.slots.indices {
        accesses[call.slots[position].home, default: []].append(
          Access(call: index, range: call.range(position), isWrite: call.writes(position)))
      }
    }
  }
}

/// The operands of the calls of one chain.
private struct TouchedRows {
  private struct Access {
    let range: Range<Int>
    let isRowwise: Bool
    let isWrite: Bool
  }
  private var accesses: [Slot.Home: [Access]] = [:]

  /// Whether every byte that the call shares with the chain, one of them writing, lies in the same
  /// rows for both.
  func allows(_ call: LoweredCall) -> Bool {
    call.slots.indices.allSatisfy { position in
      let range = call.range(position)
      return accesses[call.slots[position].home, default: []].allSatisfy { other in
        let isConflict =
          other.range.overlaps(range) && (other.isWrite || call.writes(position))
        return !isConflict
          || (other.isRowwise && call.isRowwise(position) && other.range == range)
      }
    }
  }

  mutating func add(_ call: LoweredCall) {
    for position in call.slots.indices {
      accesses[call.slots[position].home, default: []].append(
        Access(
          range: call.range(position), isRowwise: call.isRowwise(position),
          isWrite: call.writes(position)))
    }
  }
}

extension LoweredCall {
  fileprivate var isAttention: Bool { [.attention, .attentionBackward].contains(kernel) }

  /// The bytes of the home that an operand touches.
  func range(_ position: Int) -> Range<Int> {
    slots[position].offset..<slots[position].offset + extents[position]
  }

  func writes(_ position: Int) -> Bool { position < outputs }

  func isRowwise(_ position: Int) -> Bool { tiling?.rowwise.contains(position) ?? false }
}
