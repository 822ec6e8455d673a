// SPDX-License-Identifier: Apache-2.0
// Groups are stored by the coder that makes them smallest.

import Formats
import TestSupport
import Testing

@Suite struct StoredGroupTests {
  private static func group(_ content: [UInt8], _ matrices: [CodeMatrix]) throws -> StoredGroup {
    try StoredGroup(name: "g", content: content, matrices: matrices)
  }

  private static func content(_ group: StoredGroup, _ shape: GroupShape) throws -> [UInt8] {
    let bytes = try ArtifactContainer(graph: [], storedGroups: [group]).encoded()
    return try #require(try ArtifactContainer(bytes: bytes).contents { _ in shape }["g"]).bytes
  }

  @Test func theSmallestFrameIsKeptAndReadBack() throws {
    var state: UInt32 = 1
    func noise(_ count: Int) -> [UInt8] {
      (0..<count).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(bitPattern: Int8(Int(state >> 27) + Int(state >> 22 & 31) - 31))
      }
    }
    let text = sampleText(3000)
    let codes = noise(3000)
    let matrix = CodeMatrix(rows: 60, columns: 50, codes: -31...31)
    let bytes = GroupShape(bytes: 3000)
    for (content, matrices) in [(text, []), (codes, [matrix])] {
      let coders: Set<StoredGroup.Coder> = matrices.isEmpty ? [.zstd, .xz] : [.range]
      let group = try Self.group(content, matrices)
      #expect(coders.contains(group.coder))
      #expect(try group.frame.count <= Zstd.compress(content).count)
      #expect(try group.frame.count <= Xz.compress(content).count)
      let shape = matrices.isEmpty ? bytes : GroupShape(matrices: matrices)
      #expect(try Self.content(group, shape) == content)
      #expect(try Self.group(content, matrices) == group)
    }
  }

  /// Columns that repeat far apart by rows follow each other by columns.
  @Test func everyCoderReadsWhatItWrote() throws {
    let matrices = [
      CodeMatrix(rows: 7, columns: 5, codes: -127...127),
      CodeMatrix(rows: 3, columns: 11, codes: -127...127),
    ]
    let content = (0..<68).map { UInt8($0 % 40) }
    var byColumns: [UInt8] = []
    var start = 0
    for matrix in matrices {
      for column in 0..<matrix.columns {
        byColumns += (0..<matrix.rows).map { content[start + $0 * matrix.columns + column] }
      }
      start += matrix.count
    }
    let frames: [(StoredGroup.Coder, [UInt8])] = [
      (.zstd, try Zstd.compress(content)), (.xz, try Xz.compress(content)),
      (.zstdByColumns, try Zstd.compress(byColumns)), (.xzByColumns, try Xz.compress(byColumns)),
      (.range, try #require(try RangeCoder.encode(content, matrices))),
    ]
    #expect(frames.map(\.0) == StoredGroup.Coder.allCases)
    for (coder, frame) in frames {
      let group = StoredGroup(name: "g", coder: coder, frame: frame)
      #expect(try Self.content(group, GroupShape(matrices: matrices)) == content, "\(coder)")
      formatError(.corrupt) { try Self.content(group, GroupShape(bytes: 67)) }
    }
  }

  @Test func xzGivesTheExpectedSizeOnly() throws {
    let content = sampleText(20_000)
    let stream = try Xz.compress(content)
    #expect(try Xz.decompress(stream, expectedSize: content.count) == content)
    #expect(try Xz.decompress(Xz.compress([]), expectedSize: 0) == [])
    for size in [-1, 0, content.count - 1, content.count + 1] {
      formatError(.corrupt) { try Xz.decompress(stream, expectedSize: size) }
    }
    formatError(.corrupt) { try Xz.decompress(stream + [0], expectedSize: content.count) }
    formatError(.corrupt) { try Xz.decompress([], expectedSize: 5) }
    let short = try Xz.compress(sampleText(300))
    for bit in 0..<short.count * 8 {
      var flipped = short
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      do { _ = try Xz.decompress(flipped, expectedSize: 300) } catch {}
    }
  }
}
