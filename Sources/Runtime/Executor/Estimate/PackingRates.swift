// SPDX-License-Identifier: Apache-2.0
// How fast this machine compresses groups of an artifact, and hashes weights.

import Formats
import IR

/// Seconds a byte of what packing does, measured on a few.
public struct PackingRates: Sendable {
  /// Of a group that all coders are tried on, and of a large one.
  let (small, large): (Double, Double)
  /// Of hashing.
  let hashing: Double
  private let threads: Int

  /// Measures in some hundredths of a second.
  public init(threads: Int, clock: () -> Double) throws {
    self.threads = threads
    let matrix = CodeMatrix(rows: 64, columns: 256, codes: -31...31)
    let stream = RandomStream(seed: 1, path: "packing")
    let codes = (0..<UInt64(matrix.count)).map { index -> UInt8 in
      // The sum of several uniform numbers is nearly normal.
      let sum = (0..<4).reduce(0) { $0 + Int(stream.bits(4 * index + $1) % 16) }
      return UInt8(bitPattern: Int8(sum - 30))
    }
    func seconds(_ body: () throws -> Void) rethrows -> Double {
      let start = clock()
      try body()
      return (clock() - start) / Double(matrix.count)
    }
    small = try seconds { _ = try StoredGroup(name: "sample", content: codes, matrices: [matrix]) }
    large = try seconds { _ = try RangeCoder.encode(codes, [matrix]) }
    hashing = seconds { _ = SHA256.hex(codes) }
  }

  /// Seconds to compress the groups of a model, some at once, and to read them back.
  func seconds(_ model: Model) -> Double {
    let groups = Artifact.groups(Artifact.pieces(model.forArtifact)).map { group in
      Double(group.bytes) * (group.bytes > StoredGroup.largestForAll ? large : small)
    }
    // The longest one alone may decide.
    return max(groups.reduce(0, +) / Double(threads), groups.max() ?? 0)
  }
}
