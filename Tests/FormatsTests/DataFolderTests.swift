// SPDX-License-Identifier: Apache-2.0
// From texts to a data folder and back: splits, losslessness, refusals, tampering.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct DataFolderTests {
  static let out = "out"

  @discardableResult
  static func prepare(
    _ folder: TemporaryFolder, _ texts: [String: [UInt8]], vocab: Int = 300,
    tokenizer: DataPreparation.Source? = nil, hasCaseOperators: Bool = false,
    validation: Double = 0.05, tokensPerShard: Int = 5000, notes: (String) -> Void = { _ in }
  ) throws -> DataManifest {
    for (name, text) in texts { _ = try folder.write(name, text) }
    var preparation = DataPreparation(
      texts: texts.keys.map { folder.file($0) }, tokenizer: tokenizer ?? .trained(vocab: vocab),
      hasCaseOperators: hasCaseOperators, validation: validation, out: folder.file(out))
    preparation.tokensPerShard = tokensPerShard
    return try preparation.run(progress: notes)
  }

  @Test func cutsASingleFileAndHoldsOutDocumentSeven() throws {
    let folder = try TemporaryFolder()
    let text = sampleText(60_000)
    let manifest = try Self.prepare(folder, ["a.txt": text], tokensPerShard: 2000)
    #expect(manifest.train.bytes + manifest.validation.bytes == text.count)
    #expect(manifest.validation.documents == 1)
    #expect(manifest.sources.map(\.split) == ["both"])
    #expect(manifest.train.documentBytes.allSatisfy { $0 >= 2000 })
    #expect(!manifest.isLossy)
    #expect(manifest.train.shards.count > 1)
    #expect(manifest.train.shards.dropLast().allSatisfy { $0.tokens == 2000 })

    let data = try DataFolder.open(folder.file(Self.out))
    #expect(try data.train().count == manifest.train.tokens)
    #expect(data.byteTable.vocab == 300)
    let (bytes, isOriginal) = try data.validationText()
    #expect(isOriginal)
    let start = manifest.train.documentBytes[..<7].reduce(0, +)
    #expect(bytes == Array(text[start..<start + bytes.count]))
    #expect(data.originalValidationBytes == bytes.count)
    #expect(try data.verifyDisjoint() == 0)
    _ = try data.evidence()
  }

  @Test func takesEachOfSeveralFilesAsOneDocument() throws {
    let folder = try TemporaryFolder()
    var texts: [String: [UInt8]] = ["empty.txt": []]
    for index in 0..<45 { texts["\(index).txt"] = sampleText(700, seed: UInt64(index)) }
    var notes: [String] = []
    let manifest = try Self.prepare(folder, texts) { notes.append($0) }
    #expect(manifest.train.documents + manifest.validation.documents == 45)
    // In order of name bytes, documents 7 and 27 of 45 are held out.
    let names = texts.keys.sorted().filter { $0 != "empty.txt" }
    let held = manifest.sources.filter { $0.split == "validation" }.map(\.name)
    #expect(held == [names[7], names[27]])
    #expect(notes.contains { $0.contains("empty.txt is empty") })
    let data = try DataFolder.open(folder.file(Self.out))
    let text = try data.validationText().bytes
    #expect(text == texts[names[7]].map { $0 + (texts[names[27]] ?? []) })
  }

  @Test func holdsOutTheLastOfFewDocuments() throws {
    let folder = try TemporaryFolder()
    let texts = [
      "a": sampleText(3000), "b": sampleText(3000, seed: 2), "c": sampleText(900, seed: 3),
    ]
    let manifest = try Self.prepare(folder, texts)
    #expect(manifest.sources.map(\.split) == ["train", "train", "validation"])
    let none = try TemporaryFolder()
    #expect(try Self.prepare(none, texts, validation: 0).validation.documents == 0)
    let half = try TemporaryFolder()
    let halves = try Self.prepare(half, texts, validation: 0.5)
    #expect(halves.sources.map(\.split) == ["train", "validation", "train"])
  }

  @Test func losesNothingOfNastyTexts() throws {
    let folder = try TemporaryFolder()
    var texts: [String: [UInt8]] = [:]
    for (index, text) in TokenizerTests.nastyTexts.enumerated() {
      texts["\(100 + index)"] = Array(text.utf8)
      texts["\(200 + index)"] = sampleText(900, seed: UInt64(index)) + Array(text.utf8)
    }
    let manifest = try Self.prepare(folder, texts, vocab: 360)
    #expect(!manifest.isLossy)
    #expect(manifest.train.tableBytes == manifest.train.bytes)
    #expect(manifest.validation.tableBytes == manifest.validation.bytes)
    #expect(manifest.train.unknownTokens == 0)
  }

  @Test func givesTheSameBytesTwiceAndSaysUpToDate() throws {
    let first = try TemporaryFolder()
    let second = try TemporaryFolder()
    let texts = ["a.txt": sampleText(30_000)]
    try Self.prepare(first, texts)
    try Self.prepare(second, texts)
    let names = try FileManager.default.contentsOfDirectory(atPath: first.file(Self.out))
    #expect(names.count >= 4)
    for name in names {
      #expect(try readFile(first.file("out/\(name)")) == readFile(second.file("out/\(name)")))
    }
    var notes: [String] = []
    try Self.prepare(first, texts) { notes.append($0) }
    #expect(notes.count == 1 && notes[0].contains("up to date"))
    let error = formatError(.usage) { try Self.prepare(first, texts, vocab: 301) }
    #expect(error?.message.contains("other texts or settings") == true)
    formatError(.usage) { try Self.prepare(first, ["a.txt": sampleText(30_001)]) }
  }

  @Test func startsAfreshAfterAnInterruption() throws {
    let folder = try TemporaryFolder()
    let partial = folder.file("out.partial")
    try FileManager.default.createDirectory(atPath: partial, withIntermediateDirectories: true)
    _ = try folder.write("out.partial/fineweb_train_000007.bin", [1, 2])
    try Self.prepare(folder, ["a": sampleText(9000)])
    #expect(folder.names == ["a", "out"])
    _ = try DataFolder.open(folder.file(Self.out)).train()
  }

  @Test func leavesNoFolderBehindAFailure() throws {
    let folder = try TemporaryFolder()
    formatError(.usage) { try Self.prepare(folder, ["a": sampleText(5000)], vocab: 30_000) }
    #expect(folder.names == ["a"])
    _ = try folder.write("stranger", [])
    try FileManager.default.createDirectory(
      atPath: folder.file("out"), withIntermediateDirectories: true)
    _ = try folder.write("out/stranger", [])
    let error = formatError(.usage) { try Self.prepare(folder, ["a": sampleText(9000)]) }
    #expect(error?.message.contains("not empty") == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("out")).count == 1)
  }

  @Test func refusesTextsThatCannotBePrepared() throws {
    let folder = try TemporaryFolder()
    let latin = formatError(.corrupt) {
      try Self.prepare(folder, ["a": Array("caf".utf8) + [0xe9, 0x0a]])
    }
    #expect(latin?.offset == 3)
    #expect(latin?.message.contains("iconv") == true)
    formatError(.usage) { try Self.prepare(folder, ["a": sampleText(1000)]) }
    formatError(.usage) { try Self.prepare(folder, ["a": []]) }
    formatError(.usage) { try Self.prepare(folder, [:]) }
    formatError(.usage) { try Self.prepare(folder, ["a": sampleText(9000)], validation: 0.9) }
    formatError(.notFound) {
      try DataPreparation(
        texts: [folder.file("none")], tokenizer: .trained(vocab: 300), out: folder.file("o")
      ).run()
    }
  }

  @Test func countsWhatAPublishedTokenizerLoses() throws {
    let model = fixture("tokenizers/fineweb_1024_bpe.model")
    let folder = try TemporaryFolder()
    let texts = ["a": sampleText(3000), "b": Array("tab\there, 日本語  end \n".utf8)]
    var notes: [String] = []
    let manifest = try Self.prepare(folder, texts, tokenizer: .file(model)) { notes.append($0) }
    #expect(manifest.isLossy)
    #expect(manifest.vocab == 1024)
    #expect(manifest.validation.unknownTokens > 0)
    #expect(manifest.validation.tableBytes < manifest.validation.bytes)
    #expect(notes.contains { $0.contains("lossy") })
    let data = try DataFolder.open(folder.file(Self.out))
    #expect(try data.validationText().isOriginal == false)
    #expect(data.originalValidationBytes == texts["b"]?.count)
    let count = manifest.validation.tokens
    let stream = try data.validation()
    #expect(try data.originalBytes(ofTargets: 1..<count, in: stream) == texts["b"]?.count)
    #expect(try data.originalBytes(ofTargets: 2..<count, in: stream) == nil)
  }

  @Test func countsOriginalBytesOfAnyRangeWithoutLoss() throws {
    let folder = try TemporaryFolder()
    var texts: [String: [UInt8]] = [:]
    for index in 0..<30 { texts["\(index)"] = sampleText(400, seed: UInt64(index)) }
    let manifest = try Self.prepare(folder, texts, validation: 0.5)
    let data = try DataFolder.open(folder.file(Self.out))
    let documents = try #require(data.validationDocuments)
    #expect(documents.count == 15)
    #expect(documents.allSatisfy { $0.bytes == 400 })
    #expect(documents.last?.tokens.upperBound == manifest.validation.tokens)
    let count = manifest.validation.tokens
    let stream = try data.validation()
    #expect(try data.originalBytes(ofTargets: 1..<count, in: stream) == 6000)
    #expect(try data.originalBytes(ofTargets: 1..<count + 1, in: stream) == nil)
    let middle = documents[7].tokens.lowerBound + 5
    let left = try #require(try data.originalBytes(ofTargets: 1..<middle, in: stream))
    let right = try #require(try data.originalBytes(ofTargets: middle..<count, in: stream))
    #expect(left + right == 6000)
    #expect(try data.originalBytes(ofTargets: documents[3].tokens, in: stream) == 400)
  }

  @Test func findsValidationDocumentsAmongTheTrainingDocuments() throws {
    let folder = try TemporaryFolder()
    let texts = ["a": sampleText(3000), "b": sampleText(900), "c": [0x0a] + sampleText(900)]
    var notes: [String] = []
    let manifest = try Self.prepare(folder, texts) { notes.append($0) }
    #expect(manifest.duplicates == 1)
    #expect(notes.contains { $0.contains("1 validation documents are also training documents") })
    #expect(try DataFolder.open(folder.file(Self.out)).verifyDisjoint() == 1)
  }

  @Test func worksWithoutAManifest() throws {
    let folder = try TemporaryFolder()
    try Self.prepare(folder, ["a": sampleText(40_000)], tokensPerShard: 1000)
    let full = try DataFolder.open(folder.file(Self.out))
    let facts = try full.inspect()
    try FileManager.default.removeItem(atPath: folder.file("out/manifest.json"))
    let bare = try DataFolder.open(folder.file(Self.out))
    #expect(bare.originalValidationBytes == nil)
    #expect(try bare.validationText().bytes == full.validationText().bytes)
    #expect(try bare.validationText().isOriginal == false)
    #expect(try bare.verifyDisjoint() == 0)
    let bareFacts = try bare.inspect()
    #expect(bareFacts.train?.documents == facts.train?.documents)
    #expect(bareFacts.train?.tableBytes == facts.train?.tableBytes)
    #expect(bareFacts.train?.tokens == facts.train?.tokens)
    #expect(facts.validation?.originalBytes == facts.validation?.tableBytes)
    #expect(facts.json["train"]?["tokens"]?.intValue == facts.train?.tokens)
    #expect(facts.json["duplicates"] == 0)
    #expect(bareFacts.json["duplicates"] == 0)

    let model = folder.file("elsewhere.model")
    try FileManager.default.moveItem(atPath: folder.file("out/tokenizer.model"), toPath: model)
    let error = formatError(.notFound) { try DataFolder.open(folder.file(Self.out)) }
    #expect(error?.message.contains("--tokenizer") == true)
    _ = try DataFolder.open(folder.file(Self.out), tokenizer: model).train()
  }

  @Test func noticesAChangedFolder() throws {
    let folder = try TemporaryFolder()
    let manifest = try Self.prepare(folder, ["a": sampleText(40_000)], tokensPerShard: 4000)
    let path = folder.file(Self.out)
    let missing = formatError(.notFound) { try DataFolder.open(folder.file("nowhere")) }
    #expect(missing?.message.contains("graphc data prepare") == true)

    let other = try Tokenizer.train(vocab: 299, next: oneByOne([sampleText(9000)]))
    let model = try folder.write("other.model", other.model)
    #expect(
      formatError(.corrupt) { try DataFolder.open(path, tokenizer: model) }?.field == "SHA-256")

    let shard = try #require(manifest.train.shards.first?.name)
    var tokens = try Shard.read("\(path)/\(shard)")
    tokens[5] ^= 1
    try Shard.write("\(path)/\(shard)", tokens)
    formatError(.corrupt) { try DataFolder.open(path).evidence() }
    try Shard.write("\(path)/fineweb_train_000099.bin", [1])
    formatError(.corrupt) { try DataFolder.open(path).train() }
    try FileManager.default.removeItem(atPath: "\(path)/fineweb_train_000099.bin")
    tokens[5] = 300
    try Shard.write("\(path)/\(shard)", tokens)
    #expect(formatError(.corrupt) { try DataFolder.open(path).train() }?.offset == 1024 + 10)
  }

  @Test func refusesEveryCutManifestAndSurvivesFlips() throws {
    let folder = try TemporaryFolder()
    try Self.prepare(folder, ["a": sampleText(5000)])
    let bytes = try readFile(folder.file("out/manifest.json"))
    for count in 0..<bytes.count - 1 {
      _ = try folder.write("out/manifest.json", Array(bytes[..<count]))
      formatError { try DataFolder.open(folder.file(Self.out)) }
    }
    for bit in stride(from: 0, to: bytes.count * 8, by: 5) {
      var flipped = bytes
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      _ = try folder.write("out/manifest.json", flipped)
      do {
        let data = try DataFolder.open(folder.file(Self.out))
        _ = try data.validationText()
        _ = try data.originalBytes(ofTargets: 1..<9, in: data.validation())
      } catch {}
    }
  }
}
