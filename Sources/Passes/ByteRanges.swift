// SPDX-License-Identifier: Apache-2.0
// Which ranges of bytes overlap, without comparing each with each.

/// Bytes as sorted ranges that do not touch each other.
struct ByteSet {
  private var ranges: [Range<Int>] = []

  /// The first range that ends behind `start`, or at it with `orAt`.
  private func first(endingBehind start: Int, orAt: Bool = false) -> Int {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      let end = ranges[middle].upperBound
      if end < start || (end == start && !orAt) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  func overlaps(_ range: Range<Int>) -> Bool { end(overlapping: range) != nil }

  /// Where the first bytes end that overlap a range; nil if none do.
  func end(overlapping range: Range<Int>) -> Int? {
    let index = first(endingBehind: range.lowerBound)
    return index < ranges.count && ranges[index].overlaps(range) ? ranges[index].upperBound : nil
  }

  /// Adds a range, joining those that it overlaps or touches.
  mutating func insert(_ range: Range<Int>) {
    if range.isEmpty { return }
    let start = first(endingBehind: range.lowerBound, orAt: true)
    var end = start
    var joined = range
    while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
      joined =
        min(
          joined.lowerBound, ranges[end].lowerBound)..<max(
          joined.upperBound, ranges[end].upperBound)
      end += 1
    }
    ranges.replaceSubrange(start..<end, with: [joined])
  }
}

/// Numbers ranges so that two which overlap, directly or through others, have one number.
func regions(of ranges: [Range<Int>]) -> [Int] {
  var numbers = [Int](repeating: 0, count: ranges.count)
  let order = ranges.indices.sorted {
    (ranges[$0].lowerBound, $0) < (ranges[$1].lowerBound, $1)
  }
  var (number, end) = (-1, Int.min)
  for index in order {
    if ranges[index].lowerBound >= end { number += 1 }
    end = max(end, ranges[index].upperBound)
    numbers[index] = number
  }
  return numbers
}
