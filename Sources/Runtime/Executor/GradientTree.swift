// SPDX-License-Identifier: Apache-2.0
// Sums of gradients between the phases of a training step.

/// Sums the gradients of the parts of one step.
public protocol GradientReducer {
  /// Takes the gradients of one part, a buffer a parameter, always in the same order of parameters.
  mutating func add(_ gradients: [UnsafeMutableBufferPointer<Float>])

  /// The sums in the order of the parameters; the next part begins another step.
  mutating func finish() -> [[Float]]
}

/// Sums parts pairwise in a fixed tree: the order does not depend on who computes them.
public struct GradientTree: GradientReducer {
  /// Sums of 2^level parts that wait for their neighbour.
  private var levels: [[[Float]]?] = []

  public init() {}

  public mutating func add(_ gradients: [UnsafeMutableBufferPointer<Float>]) {
    var carry = gradients.map { Array($0) }
    for level in levels.indices {
      guard let waiting = levels[level] else {
        levels[level] = carry
        return
      }
      carry = GradientTree.sum(waiting, carry)
      levels[level] = nil
    }
    levels.append(carry)
  }

  public mutating func finish() -> [[Float]] {
    var total: [[Float]]?
    for waiting in levels.compactMap({ $0 }) {
      total = total.map { GradientTree.sum(waiting, $0) } ?? waiting
    }
    levels = []
    return total ?? []
  }

  private static func sum(_ left: [[Float]], _ right: [[Float]]) -> [[Float]] {
    zip(left, right).map { left, right in
      var sum = left
      sum.withUnsafeMutableBufferPointer { sum in
        right.withUnsafeBufferPointer { right in
          for index in sum.indices { sum[index] += right[index] }
        }
      }
      return sum
    }
  }
}
