// SPDX-License-Identifier: Apache-2.0
// Which parameter pays for what in an artifact.

import Formats
import IR

extension PackedArtifact {
  /// The bytes of the file that each parameter takes, by path: its shares of its streams' groups.
  ///
  /// A share is exact where the group's coder counts by tensor, and what the range coder would spend
  /// where codes are stored by another; other numbers share by their count.
  public func storedBytes() throws -> [String: Double] {
    let contents = try contents(Artifact.groups(pieces))
    var sizes: [String: Double] = [:]
    for group in container.groups {
      let members = pieces.filter { $0.group == group.name }
      guard let content = contents[group.name] else { continue }
      let shares = content.bits ?? predictedBits(content.bytes, members)
      let sum = shares.reduce(0, +)
      for (piece, share) in zip(members, shares) where sum > 0 {
        sizes[piece.path, default: 0] += Double(group.frame.count) * share / sum
      }
    }
    return sizes
  }

  private func predictedBits(_ content: [UInt8], _ members: [Artifact.Piece]) -> [Double] {
    let matrices = members.compactMap(\.matrix)
    // Codes out of range are refused where the artifact is unpacked.
    let predicted = try? RangeCoder.predictedBytes(content, matrices).bits
    return predicted ?? members.map { Double($0.bytes) }
  }
}
