// SPDX-License-Identifier: Apache-2.0
// What the bytes of a data folder prove, and that a changed one is refused.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct DataEvidenceTests {
  /// A folder of one text, cut into documents; two shards of training tokens.
  private func prepared(_ folder: TemporaryFolder) throws -> (path: String, manifest: DataManifest)
  {
    let manifest = try DataFolderTests.prepare(
      folder, ["a": sampleText(80_000)], validation: 0.2, tokensPerShard: 20_000)
    return (folder.file(DataFolderTests.out), manifest)
  }

  /// The same folder as another program would have left it.
  private func withoutManifest(_ folder: TemporaryFolder) throws -> String {
    let path = try prepared(folder).path
    try FileManager.default.removeItem(atPath: path + "/manifest.json")
    return path
  }

  private func tokens(_ path: String, _ prefix: String) throws -> [UInt16] {
    let stream = try TokenStream(folder: path, prefix: prefix, vocab: 65536)
    return try stream.read(0..<stream.count)
  }

  /// Replaces the training shards by one with these tokens.
  private func train(_ path: String, on tokens: [UInt16]) throws {
    for name in try FileManager.default.contentsOfDirectory(atPath: path)
    where name.hasPrefix(DataFolder.trainPrefix) {
      try FileManager.default.removeItem(atPath: "\(path)/\(name)")
    }
    try Shard.write("\(path)/fineweb_train_000000.bin", tokens)
  }

  private func edit(_ path: String, _ change: (inout [String: JSONValue]) -> Void) throws {
    let file = path + "/manifest.json"
    var members = try #require(try JSONValue.parse(try readFile(file)).objectValue)
    change(&members)
    try Data(JSONValue.object(members).text.utf8).write(to: URL(fileURLWithPath: file))
  }

  @Test func countsWhatTheShardsHold() throws {
    let folder = try TemporaryFolder()
    let (path, manifest) = try prepared(folder)
    let evidence = try DataFolder.open(path).evidence()
    for (found, recorded) in [
      (evidence.train, manifest.train), (evidence.validation, manifest.validation),
    ] {
      let found = try #require(found)
      #expect(found.shards == recorded.shards)
      #expect(found.documents == recorded.documents)
      #expect(found.tokens == recorded.tokens)
      #expect(found.textBytes == recorded.bytes)
      #expect(found.tableBytes == recorded.tableBytes)
    }
    #expect(evidence.sharedDocuments == 0)
    #expect(evidence.json["validation"]?["documents"]?.intValue == manifest.validation.documents)
    // The manifest is only compared: without it the shards say the same.
    try FileManager.default.removeItem(atPath: path + "/manifest.json")
    #expect(try DataFolder.open(path).evidence() == evidence)
    #expect(
      try evidence.content
        == SHA256.hex(
          DataFolder.open(path).train().contentHash()
            + DataFolder.open(path).validation().contentHash()))
  }

  @Test(arguments: [DataFolder.trainPrefix, DataFolder.validationPrefix])
  func aShardThatDoesNotMatchItsHashIsRefused(_ prefix: String) throws {
    let folder = try TemporaryFolder()
    let path = try prepared(folder).path
    let shard = "\(path)/\(prefix)000000.bin"
    let count = try Shard.read(shard).count
    try Shard.write(shard, (0..<count).map { 40 + UInt16($0 % 2) })
    let error = formatError(.corrupt) { try DataFolder.open(path).evidence() }
    #expect(error?.file == shard)
    #expect(error?.message.contains("graphc data prepare") == true)
    formatError(.corrupt) { try DataFolder.open(path).inspect() }
  }

  @Test func trainingShardsWithTheValidationTextAreFound() throws {
    let folder = try TemporaryFolder()
    let path = try withoutManifest(folder)
    let held = try tokens(path, DataFolder.validationPrefix)
    try train(path, on: held)
    let data = try DataFolder.open(path)
    let documents = try #require(try data.evidence().validation?.documents)
    #expect(documents > 2)
    #expect(try data.verifyDisjoint() == documents)
  }

  @Test func heldOutTextIsFoundHoweverItIsCut() throws {
    let folder = try TemporaryFolder()
    let path = try withoutManifest(folder)
    let held = try tokens(path, DataFolder.validationPrefix)
    let bos = UInt16(try DataFolder.open(path).tokenizer.bos)
    let documents = try #require(try DataFolder.open(path).evidence().validation?.documents)
    // All but the beginning, as one document; then with a cut at every thirtieth token.
    try train(path, on: Array(held[30...].filter { $0 != bos }))
    #expect(try DataFolder.open(path).verifyDisjoint() == documents)
    try train(
      path,
      on: held.enumerated().flatMap { $0.offset % 30 == 7 ? [bos, $0.element] : [$0.element] })
    #expect(try DataFolder.open(path).verifyDisjoint() == documents)
    // Half of the text is not nine tenths of each document.
    try train(path, on: Array(held[..<(held.count / 2)]))
    #expect(try DataFolder.open(path).verifyDisjoint() < documents)
  }

  @Test func aManifestThatWasPatchedForItsShardsIsRefused() throws {
    let folder = try TemporaryFolder()
    let path = try prepared(folder).path
    let held = try tokens(path, DataFolder.validationPrefix)
    try train(path, on: held)
    let shard = "\(path)/fineweb_train_000000.bin"
    let hash = try SHA256.hex(file: shard)
    // The shard is listed with its hash, and the lists of documents sum to its tokens.
    try edit(path) { members in
      var train = members["train"]?.objectValue ?? [:]
      let documents = train["document_tokens"]?.arrayValue ?? []
      let tokens = [held.count - documents.count + 1] + documents.dropFirst().map { _ in 1 }
      train["document_tokens"] = .array(tokens.map { .int($0) })
      train["tokens"] = .int(held.count)
      train["shards"] = [
        [
          "name": "fineweb_train_000000.bin", "tokens": .int(held.count),
          "sha256": .string(hash),
        ]
      ]
      members["train"] = .object(train)
    }
    let error = formatError(.corrupt) { try DataFolder.open(path).evidence() }
    #expect(error?.field == "training document 1")
    // What is not legal is known all the same.
    #expect(try DataFolder.open(path).verifyDisjoint() > 2)
  }

  @Test func longerPiecesWithAPatchedManifestAreRefused() throws {
    let folder = try TemporaryFolder()
    let (path, manifest) = try prepared(folder)
    let model = try readFile(path + "/tokenizer.model")
    let longer = withLongerPieces(model)
    try Data(longer).write(to: URL(fileURLWithPath: path + "/tokenizer.model"))
    try edit(path) { members in
      var tokenizer = members["tokenizer"]?.objectValue ?? [:]
      tokenizer["sha256"] = .string(SHA256.hex(longer))
      members["tokenizer"] = .object(tokenizer)
    }
    let data = try DataFolder.open(path)
    #expect(data.byteTable != ByteTable(try Tokenizer(model: model)))
    let error = formatError(.corrupt) { try data.evidence() }
    #expect(error?.message.contains("do not belong together") == true)
    // What is counted in whole documents does not come from the table.
    let stream = try data.validation()
    #expect(
      try data.originalBytes(ofTargets: 1..<stream.count, in: stream) == manifest.validation.bytes)
  }

  /// Enough to score with, but not what the manifest describes.
  @Test func aFolderWithoutItsTrainingShardsHasEvidenceOfTheRest() throws {
    let folder = try TemporaryFolder()
    let (path, manifest) = try prepared(folder)
    for shard in manifest.train.shards {
      try FileManager.default.removeItem(atPath: "\(path)/\(shard.name)")
    }
    let data = try DataFolder.open(path)
    #expect(try data.evidence().train == nil)
    #expect(try data.evidence().validation?.tokens == manifest.validation.tokens)
    formatError(.notFound) { try data.train() }
    formatError(.notFound) { try data.inspect() }
  }

  @Test func documentsAreFoundInTheirSources() throws {
    let folder = try TemporaryFolder()
    let (path, manifest) = try prepared(folder)
    let data = try DataFolder.open(path)
    let counts = try data.verifyDocuments(against: [folder.file("a")])
    #expect(counts.documents == manifest.train.documents + manifest.validation.documents)
    #expect(counts.validationBytes == manifest.validation.bytes)
    let other = try folder.write("b", sampleText(80_000, seed: 5))
    formatError(.corrupt) { try data.verifyDocuments(against: [other]) }
    formatError(.usage) { try data.verifyDocuments(against: [folder.file("a"), other]) }
    // A manifest whose documents are others than those of its sources.
    try edit(path) { members in
      var split = members["validation"]?.objectValue ?? [:]
      var hashes = split["document_sha256"]?.arrayValue ?? []
      hashes[0] = .string(SHA256.hex("another text"))
      split["document_sha256"] = .array(hashes)
      members["validation"] = .object(split)
    }
    let error = formatError(.corrupt) {
      try DataFolder.open(path).verifyDocuments(against: [folder.file("a")])
    }
    #expect(error?.field == "validation document 1")
  }

  @Test func aShardThatIsCutOrChangedWhileItIsReadIsAnError() throws {
    let folder = try TemporaryFolder()
    let path = try withoutManifest(folder)
    let stream = try DataFolder.open(path).validation()
    let shard = try FileHandle(
      forUpdating: URL(fileURLWithPath: path + "/fineweb_val_000000.bin"))
    try shard.seek(toOffset: UInt64(1024 + 2 * 10))
    try shard.write(contentsOf: Data([0xff, 0xff]))
    let error = formatError(.corrupt) { try stream.read(0..<20) }
    #expect(error?.offset == 1024 + 2 * 10)
    #expect(error?.message.contains("id 65535") == true)
    #expect(try stream.read(0..<10).count == 10)
    try shard.truncate(atOffset: 1024 + 2 * 15)
    #expect(
      formatError(.corrupt) { try stream.read(11..<20) }?.message.contains("cut it") == true)
  }
}

/// A SentencePiece model whose normal pieces of two bytes and more are four bytes longer.
private func withLongerPieces(_ model: [UInt8]) -> [UInt8] {
  func varint(_ bytes: ArraySlice<UInt8>) -> (value: Int, count: Int) {
    var value = 0
    for (index, byte) in bytes.enumerated() {
      value |= Int(byte & 0x7f) << (7 * index)
      if byte < 0x80 { return (value, index + 1) }
    }
    return (value, bytes.count)
  }
  func encoded(_ value: Int) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80] + encoded(value >> 7)
  }
  var result: [UInt8] = []
  var rest = model[...]
  // Pieces come first: field 1, each with its text as field 1.
  while rest.first == 0x0a {
    let (length, count) = varint(rest.dropFirst())
    var body = rest.dropFirst(1 + count).prefix(length)
    rest = rest.dropFirst(1 + count + length)
    let (textLength, textCount) = varint(body.dropFirst())
    let text = body.dropFirst(1 + textCount).prefix(textLength)
    let others = body.dropFirst(1 + textCount + textLength)
    if text.count > 1, text.allSatisfy({ $0 >= 0x61 && $0 <= 0x7a }) {
      body = ([0x0a] + encoded(text.count + 4) + text + Array("zzzz".utf8) + others)[...]
    }
    result += [0x0a] + encoded(body.count) + body
  }
  return result + rest
}
