// SPDX-License-Identifier: Apache-2.0
// The ready list of a list scheduler.

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
