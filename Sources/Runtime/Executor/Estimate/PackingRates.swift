// SPDX-License-Identifier: Apache-2.0
// How fast this machine compresses groups of an artifact, and hashes weights.

import Formats
import IR

/// Seconds of what packing does, measured on a few bytes.
public struct PackingRates: Sendable {
  /// Of any group, whatever its size.
  private let group: Double
  /// Of a byte of a group that all coders are tried on, and of a large one.
  private let (small, large): (Double, Double)
  /// Of hashing a byte.
  let hashing: Double
  private let threads: Int

  /// Measures in some hundredths of a second.
  public init(threads: Int, clock: () -> Double) throws {
    self.threads = threads
    let stream = RandomStream(seed: 1, path: "packing")
    /// Codes in rows of 256. The sum of several uniform numbers is nearly normal.
    func codes(rows: Int) -> (codes: [UInt8], matrix: CodeMatrix) {
      let codes = (0..<UInt64(rows * 256)).map { index -> UInt8 in
        let sum = (0..<4).reduce(0) { $0 + Int(stream.bits(4 * index + UInt64($1)) % 16) }
        return UInt8(bitPattern: Int8(sum - 30))
      }
      return (codes, CodeMatrix(rows: rows, columns: 256, codes: -31...31))
    }
    func seconds(_ body: () throws -> Void) rethrows -> Double {
      let start = clock()
      try body()
      return clock() - start
    }
    let (few, many) = (codes(rows: 1), codes(rows: 128))
    let count = Double(many.codes.count)
    func store(_ sample: (codes: [UInt8], matrix: CodeMatrix)) throws -> Double {
      try seconds {
        _ = try StoredGroup(name: "sample", content: sample.codes, matrices: [sample.matrix])
      }
    }
    group = try store(few)
    small = max(0, try store(many) - group) / count
    large = try seconds { _ = try RangeCoder.encode(many.codes, [many.matrix]) } / count
    hashing = seconds { _ = SHA256.hex(many.codes) } / count
  }

  /// Seconds to compress the groups of a model and its text, some at once.
  func seconds(_ model: Model) -> Double {
    let groups = Artifact.groups(Artifact.pieces(model.forArtifact)).map { group in
      self.group
        + Double(group.bytes) * (group.bytes > StoredGroup.largestForAll ? large : small)
    }
    // The longest one alone may decide; the text is compressed by itself.
    return max(groups.reduce(0, +) / Double(threads), groups.max() ?? 0) + group
  }
}
