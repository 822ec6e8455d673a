// SPDX-License-Identifier: Apache-2.0
// zstd frames, ordinary compressors, and the artifact container.

import Formats
import TestSupport
import Testing

@Suite struct CompressionTests {
  @Test func decompressesToTheExpectedSizeOnly() throws {
    let content = sampleText(50_000)
    let frame = try Zstd.compress(content)
    #expect(frame.count < 25_000)
    #expect(try frame == Zstd.compress(content))
    #expect(try Zstd.decompress(frame, expectedSize: content.count) == content)
    formatError(.corrupt) { try Zstd.decompress(frame, expectedSize: content.count - 1) }
    formatError(.corrupt) { try Zstd.decompress(frame, expectedSize: content.count + 1) }
    formatError(.corrupt) { try Zstd.decompress(frame, expectedSize: -1) }
    formatError(.corrupt) { try Zstd.decompress(frame, expectedSize: content.count, limit: 100) }
  }

  @Test func refusesWhatFollowsAFrame() throws {
    let frame = try Zstd.compress([1, 2, 3])
    formatError(.corrupt) { try Zstd.decompress(frame + [0], expectedSize: 3) }
    formatError(.corrupt) { try Zstd.decompress(frame + frame, expectedSize: 3) }
    formatError(.corrupt) { try Zstd.decompress(frame + frame, expectedSize: 6) }
    let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]
    formatError(.corrupt) { try Zstd.decompress(skippable, expectedSize: 0) }
  }

  @Test func compressesNothingAndIncompressibleBytes() throws {
    #expect(try Zstd.decompress(try Zstd.compress([]), expectedSize: 0) == [])
    var state: UInt32 = 1
    let noise = (0..<5000).map { _ -> UInt8 in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(state >> 24)
    }
    #expect(try Zstd.decompress(try Zstd.compress(noise), expectedSize: 5000) == noise)
  }

  @Test func survivesEveryFlipAndCutOfAFrame() throws {
    let content = sampleText(600)
    let frame = try Zstd.compress(content)
    for bit in 0..<frame.count * 8 {
      var flipped = frame
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      do { _ = try Zstd.decompress(flipped, expectedSize: content.count) } catch {}
    }
    for count in 0..<frame.count {
      formatError(.corrupt) { try Zstd.decompress(Array(frame[..<count]), expectedSize: 600) }
    }
  }

  @Test func measuresOrdinaryCompressors() {
    let sizes = ordinaryCompressors(sampleText(100_000))
    #expect(sizes.map(\.name) == ["gzip -9", "xz -9e", "zstd -22 --ultra --long=27"])
    for size in sizes.dropFirst() {
      #expect(size.size.map { (1000..<60_000).contains($0) } == true)
    }
  }
}

@Suite struct ArtifactTests {
  static let graph = Array(String(repeating: "x = rms_norm(x)\n", count: 20).utf8)
  static let codes = CodeMatrix(rows: 10, columns: 30, codes: -127...127)
  static let groups = [
    ArtifactContainer.Content(name: "attn", content: Array(repeating: 3, count: 500)),
    .init(name: "mlp", content: sampleText(300), matrices: [codes]),
    .init(name: "scales", content: []),
  ]

  static func shape(_ name: String) -> GroupShape? {
    groups.first { $0.name == name }.map {
      $0.matrices.isEmpty ? GroupShape(bytes: $0.content.count) : GroupShape(matrices: $0.matrices)
    }
  }

  static func contents(_ path: String) throws -> [String: [UInt8]] {
    try ArtifactContainer.read(path).contents(shape: shape).mapValues(\.bytes)
  }

  @Test func readsWhatItWrote() throws {
    let folder = try TemporaryFolder()
    let artifact = try ArtifactContainer(graph: Self.graph, groups: Self.groups)
    let size = try artifact.write(folder.file("m.gca"))
    #expect(try readFile(folder.file("m.gca")).count == size)
    let read = try ArtifactContainer.read(folder.file("m.gca"))
    #expect(read.graph == Self.graph)
    #expect(read.groups == artifact.groups)
    let contents = try Self.contents(folder.file("m.gca"))
    for group in Self.groups { #expect(contents[group.name] == group.content) }
    #expect(
      try artifact.encoded()
        == ArtifactContainer(graph: Self.graph, groups: Self.groups).encoded())
  }

  @Test func storesAShortGraphPlainly() throws {
    let artifact = try ArtifactContainer(graph: Array("abc".utf8), groups: [])
    let read = try ArtifactContainer(bytes: try artifact.encoded())
    #expect(read.graph == Array("abc".utf8))
    #expect(try artifact.encoded().count == 8 + 4 + 4 + 1 + 4 + 3 + 4 + 32)
  }

  @Test func refusesEveryCutAndEveryFlip() throws {
    let bytes = try ArtifactContainer(graph: Self.graph, groups: Self.groups).encoded()
    try expectEveryCutIsRejected(bytes) { try Self.contents($0) }
    #expect(try acceptedFlips(bytes) { try Self.contents($0) } == 0)
  }

  @Test func takesSizesFromTheGraphOnly() throws {
    let artifact = try ArtifactContainer(graph: Self.graph, groups: Self.groups)
    let wrong = formatError(.corrupt) { try artifact.contents { _ in GroupShape(bytes: 499) } }
    #expect(wrong?.field == "group attn")
    let unknown = formatError(.corrupt) { try artifact.contents { _ in nil } }
    #expect(unknown?.message.contains("no such group") == true)
  }

  @Test func hasOneMessageForEachKindOfDamage() throws {
    var bytes = try ArtifactContainer(graph: Self.graph, groups: Self.groups).encoded()
    func message(_ bytes: [UInt8]) -> String {
      formatError(.corrupt) { try ArtifactContainer(bytes: bytes, file: "m.gca") }?.description
        ?? ""
    }
    #expect(message([]).contains("empty"))
    #expect(message(Array("GIF89a--".utf8)).contains("not a graphc artifact"))
    #expect(message(Array(bytes.dropLast(40))).contains("cut off"))
    #expect(message(bytes + [0]).contains("follow the artifact"))
    bytes[bytes.count - 40] ^= 1
    #expect(message(bytes).contains("damaged"))
    bytes[8] = 9
    #expect(message(bytes).contains("found 9, this graphc reads 1 to 2"))
  }

  @Test func refusesGroupsWithOneName() {
    formatError(.usage) {
      try ArtifactContainer(
        graph: [], groups: [.init(name: "a", content: []), .init(name: "a", content: [])])
    }
  }
}
