// SPDX-License-Identifier: Apache-2.0
// Which bytes of a memory are taken at which times.

/// A tree over times: the root stands for all of them, the children of a node for half of its times
/// each. Adding a buffer and asking for a free place look at a few nodes on each level.
struct OccupiedBytes {
  /// Leaves of the tree, a power of two.
  private let width: Int
  private let start: Int
  /// The bytes of buffers that live at all times of a node, kept at the largest such nodes.
  private var throughout: [ByteSet]
  /// The bytes of buffers that are kept at a node or below it.
  private var somewhere: [ByteSet]

  init(times: ClosedRange<Int>) {
    start = times.lowerBound
    var width = 1
    while width < times.count { width *= 2 }
    self.width = width
    throughout = [ByteSet](repeating: ByteSet(), count: 2 * width)
    somewhere = throughout
  }

  /// The nodes that stand for these times together, each as large as can be.
  private func nodes(_ times: ClosedRange<Int>) -> [Int] {
    var nodes: [Int] = []
    var low = times.lowerBound - start + width
    var high = times.upperBound - start + width + 1
    while low < high {
      if low % 2 == 1 {
        nodes.append(low)
        low += 1
      }
      if high % 2 == 1 {
        high -= 1
        nodes.append(high)
      }
      low /= 2
      high /= 2
    }
    return nodes
  }

  mutating func insert(_ bytes: Range<Int>, at times: ClosedRange<Int>) {
    for node in nodes(times) {
      throughout[node].insert(bytes)
      var ancestor = node
      while ancestor > 0 {
        somewhere[ancestor].insert(bytes)
        ancestor /= 2
      }
    }
  }

  /// The lowest offset at which `count` bytes are free at all of these times.
  func lowestOffset(of count: Int, at times: ClosedRange<Int>) -> Int {
    let nodes = nodes(times)
    var ancestors: Set<Int> = []
    for node in nodes {
      var ancestor = node / 2
      while ancestor > 0, ancestors.insert(ancestor).inserted { ancestor /= 2 }
    }
    let taken = nodes.map { somewhere[$0] } + ancestors.map { throughout[$0] }
    var offset = 0
    var isFree = false
    while !isFree {
      isFree = true
      for bytes in taken {
        while let end = bytes.end(overlapping: offset..<offset + count) {
          offset = end
          isFree = false
        }
      }
    }
    return offset
  }
}
