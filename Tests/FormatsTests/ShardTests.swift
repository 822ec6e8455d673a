// SPDX-License-Identifier: Apache-2.0
// Token shards and streams: the exact layout, streams over several shards, refused ids.

import Formats
import TestSupport
import Testing

@Suite struct ShardTests {
  @Test func writesThePublishedLayout() throws {
    let folder = try TemporaryFolder()
    try Shard.write(folder.file("x.bin"), [1, 258, 65535])
    let bytes = try readFile(folder.file("x.bin"))
    #expect(bytes.count == 1024 + 6)
    // 20240520 = 0x0134D888.
    #expect(Array(bytes[..<12]) == [0x88, 0xd8, 0x34, 0x01, 1, 0, 0, 0, 3, 0, 0, 0])
    #expect(bytes[12..<1024].allSatisfy { $0 == 0 })
    #expect(Array(bytes[1024...]) == [1, 0, 2, 1, 255, 255])
    #expect(try Shard.read(folder.file("x.bin")) == [1, 258, 65535])
  }

  @Test func refusesEveryCutAndEveryFlipThatMatters() throws {
    let folder = try TemporaryFolder()
    try Shard.write(folder.file("x.bin"), [1, 2, 3, 4])
    let bytes = try readFile(folder.file("x.bin"))
    try expectEveryCutIsRejected(bytes) { try Shard.read($0) }
    for bit in 0..<96 {
      var flipped = bytes
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      let path = try folder.write("flipped", flipped)
      #expect(formatError(.corrupt) { try Shard.read(path) }?.field != nil)
    }
    let path = try folder.write("long", bytes + [0])
    #expect(formatError(.corrupt) { try Shard.read(path) }?.field == "token count")
  }

  @Test func readsShardsAsOneStreamInNameOrder() throws {
    let folder = try TemporaryFolder()
    try Shard.write(folder.file("fineweb_train_000001.bin"), [4, 5])
    try Shard.write(folder.file("fineweb_train_000000.bin"), [1, 2, 3])
    try Shard.write(folder.file("fineweb_train_000002.bin"), [] as [UInt16])
    try Shard.write(folder.file("fineweb_val_000000.bin"), [9])
    let stream = try TokenStream(folder: folder.path, prefix: "fineweb_train_", vocab: 10)
    #expect(stream.count == 5)
    #expect(try stream.read(0..<5) == [1, 2, 3, 4, 5])
    #expect(try stream.read(2..<4) == [3, 4])
    #expect(try stream.read(3..<3) == [])
    #expect(try stream.contentHash() == SHA256.hex([1, 0, 2, 0, 3, 0, 4, 0, 5, 0]))
    var blocks: [[UInt16]] = []
    try stream.forEachBlock(of: 2) { blocks.append($0) }
    #expect(blocks == [[1, 2], [3, 4], [5]])
  }

  @Test func namesFileOffsetAndIdOutsideTheVocabulary() throws {
    let folder = try TemporaryFolder()
    try Shard.write(folder.file("a0.bin"), [1, 2])
    try Shard.write(folder.file("a1.bin"), [1, 7, 300])
    let error = formatError(.corrupt) {
      try TokenStream(folder: folder.path, prefix: "a", vocab: 300)
    }
    #expect(error?.file == folder.file("a1.bin"))
    #expect(error?.offset == 1024 + 4)
    #expect(error?.message.contains("id 300") == true)
    _ = try TokenStream(folder: folder.path, prefix: "a", vocab: 301)
    _ = try TokenStream(folder: folder.path, prefix: "a", vocab: 65536)
  }

  @Test func tellsHowToMakeShardsWhenThereAreNone() throws {
    let folder = try TemporaryFolder()
    let error = formatError(.notFound) {
      try TokenStream(folder: folder.path, prefix: "fineweb_train_", vocab: 10)
    }
    #expect(error?.message.contains("graphc data prepare") == true)
    formatError(.notFound) { try TokenStream(folder: "/nonexistent", prefix: "a", vocab: 10) }
  }
}
