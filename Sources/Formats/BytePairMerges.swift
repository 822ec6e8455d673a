// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding of one word: the pair that was learnt first is merged first.

/// What pairs of ids become, and in which order.
struct BytePairMerges: Sendable {
  private struct Merge: Sendable {
    let rank: Int
    let id: Int32
  }

  private var merges: [UInt64: Merge] = [:]

  /// Adds the next merge.
  mutating func add(_ left: Int32, _ right: Int32, becomes id: Int32) {
    // Of a pair that is listed twice the later rank counts, as in other readers.
    merges[Self.key(left, right)] = Merge(rank: count, id: id)
    count += 1
  }

  /// Merges that were added.
  private(set) var count = 0

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// The ids after all merges: of those that are possible always the one of the least rank, and of equal
  /// ones the leftmost. Takes n log n steps.
  func apply(_ ids: [Int32]) -> [Int32] {
    guard ids.count > 1 else { return ids }
    // A list of what is left: the neighbours of a place that was merged away are not read.
    var symbols = ids
    var next = Array(1...ids.count)
    var previous = Array(-1..<ids.count - 1)
    var isLeft = [Bool](repeating: true, count: ids.count)
    var queue = MergeQueue()
    func candidate(_ place: Int) -> MergeQueue.Entry? {
      guard place >= 0, next[place] < ids.count,
        let merge = merges[Self.key(symbols[place], symbols[next[place]])]
      else { return nil }
      return MergeQueue.Entry(rank: merge.rank, place: place, id: merge.id)
    }
    for place in 0..<ids.count - 1 { if let entry = candidate(place) { queue.push(entry) } }
    while let entry = queue.pop() {
      let place = entry.place
      // The pair may have changed since it was queued.
      guard isLeft[place], let now = candidate(place), now.id == entry.id else { continue }
      let right = next[place]
      symbols[place] = entry.id
      isLeft[right] = false
      next[place] = next[right]
      if next[place] < ids.count { previous[next[place]] = place }
      for changed in [previous[place], place] {
        if let entry = candidate(changed) { queue.push(entry) }
      }
    }
    return symbols.indices.filter { isLeft[$0] }.map { symbols[$0] }
  }
}

/// A heap of merges: the least rank first, then the leftmost place.
private struct MergeQueue {
  struct Entry {
    let rank: Int
    let place: Int
    let id: Int32

    func isBefore(_ other: Entry) -> Bool {
      (rank, place) < (other.rank, other.place)
    }
  }

  private var entries: [Entry] = []

  mutating func push(_ entry: Entry) {
    entries.append(entry)
    var child = entries.count - 1
    while child > 0, entries[child].isBefore(entries[(child - 1) / 2]) {
      entries.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Entry? {
    guard let first = entries.first, let last = entries.popLast() else { return nil }
    guard !entries.isEmpty else { return first }
    entries[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count {
        if entries[child].isBefore(entries[least]) { least = child }
      }
      if least == parent { return first }
      entries.swapAt(parent, least)
      parent = least
    }
  }
}
