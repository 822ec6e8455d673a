// SPDX-License-Identifier: Apache-2.0
// What list schedulers share: what waits for what, and what is ready.

/// What waits for what, by index.
struct Dependences {
  private(set) var successors: [[Int]]
  /// How many others each waits for.
  private(set) var waiting: [Int]

  init(count: Int) {
    successors = [[Int]](repeating: [], count: count)
    waiting = [Int](repeating: 0, count: count)
  }

  /// Once for each pair.
  mutating func add(_ later: Int, after earlier: Int) {
    waiting[later] += 1
    successors[earlier].append(later)
  }

  /// Those that wait for nothing.
  var free: [Int] { waiting.indices.filter { waiting[$0] == 0 } }

  /// Those that wait for nothing more once this one is done.
  mutating func finish(_ index: Int) -> [Int] {
    for successor in successors[index] { waiting[successor] -= 1 }
    return successors[index].filter { waiting[$0] == 0 }
  }
}

/// For each element how many before it end a phase.
func phases<Element>(_ elements: [Element], endedBy ends: (Element) -> Bool) -> [Int] {
  var ended = 0
  return elements.map { element in
    defer { ended += ends(element) ? 1 : 0 }
    return ended
  }
}

/// Whole numbers in ascending order, each once.
struct SortedIndices: Sequence {
  private(set) var all: [Int] = []

  var isEmpty: Bool { all.isEmpty }

  func makeIterator() -> IndexingIterator<[Int]> { all.makeIterator() }

  /// Where a number stands, or would stand.
  private func place(of number: Int) -> Int {
    var (low, high) = (0, all.count)
    while low < high {
      let middle = (low + high) / 2
      if all[middle] < number { low = middle + 1 } else { high = middle }
    }
    return low
  }

  mutating func insert(_ number: Int) {
    let place = place(of: number)
    if place == all.count || all[place] != number { all.insert(number, at: place) }
  }

  mutating func remove(_ number: Int) {
    let place = place(of: number)
    if place < all.count, all[place] == number { all.remove(at: place) }
  }
}
