// SPDX-License-Identifier: Apache-2.0
// Batches of random tokens, for measurements that need no data.

import IR

/// Uniform random tokens.
public struct SyntheticBatch {
  private let tokens: [Int32]

  public init(_ index: Int, rows: Int, seq: Int, vocabulary: Int) {
    let stream = RandomStream(seed: UInt64(index), path: "bench")
    tokens = (0..<(rows * (seq + 1))).map { Int32(stream.bits(UInt64($0)) % UInt64(vocabulary)) }
  }

  /// Writes ids and targets; `scored` of these a row, its last ones.
  public func load(_ executable: Executable, rows: Int, seq: Int, scored: Int) {
    let ids = executable.ids([rows, seq])
    let targets = executable.tokens(.targets, [rows, scored])
    for row in 0..<rows {
      for position in 0..<seq { ids[row * seq + position] = tokens[row * (seq + 1) + position] }
      for position in 0..<scored {
        targets[row * scored + position] = tokens[row * (seq + 1) + seq - scored + position + 1]
      }
    }
    if executable.hasInput(.weights) {
      executable.input(.weights).update(repeating: 1 / Float(rows * seq))
    }
  }
}
