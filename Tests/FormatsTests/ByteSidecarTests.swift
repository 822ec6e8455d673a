// SPDX-License-Identifier: Apache-2.0
// Folders of tokenizers with case operators: bytes come from the sidecar, and a wrong one is refused.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct ByteSidecarTests {
  private static let caseModel = fixture("tokenizers/fineweb_8192_bpe_caseops.model")

  /// Texts whose documents are of nasty pieces, some with a character that no training text has.
  private static let texts: [String: [UInt8]] = {
    var texts: [String: [UInt8]] = [:]
    for (index, text) in TokenizerTests.nastyTexts.enumerated() {
      texts["\(100 + index)"] =
        sampleText(600, seed: UInt64(index)) + Array((text + CaseOperatorsTests.excerpt).utf8)
    }
    return texts
  }()

  private static func prepare(
    _ folder: TemporaryFolder, tokenizer: DataPreparation.Source = .trained(vocab: 360),
    notes: (String) -> Void = { _ in }
  ) throws -> (data: DataFolder, manifest: DataManifest) {
    let manifest = try DataFolderTests.prepare(
      folder, texts, tokenizer: tokenizer, hasCaseOperators: true, validation: 0.25,
      tokensPerShard: 700, notes: notes)
    return (try DataFolder.open(folder.file(DataFolderTests.out)), manifest)
  }

  private static func counts(_ data: DataFolder) throws -> [UInt16] {
    let sidecar = try #require(try data.sidecar())
    return try sidecar.read(0..<sidecar.count)
  }

  @Test func countsTheOriginalBytesOfEveryDocument() throws {
    let folder = try TemporaryFolder()
    let (data, manifest) = try Self.prepare(folder)
    #expect(!manifest.isLossy)
    #expect(manifest.train.sidecar.isEmpty && manifest.validation.sidecar.count > 1)
    for split in [manifest.train, manifest.validation] { #expect(split.tableBytes == split.bytes) }
    let counts = try Self.counts(data)
    let stream = try data.validation()
    let tokens = try stream.read(0..<stream.count)
    #expect(try data.bytes(ofValidation: tokens, at: 0) == counts)
    // The byte table would count the operators.
    #expect(data.byteTable.bytes(of: tokens) > manifest.validation.bytes)
    for document in try #require(data.validationDocuments) {
      #expect(counts[document.tokens].reduce(0) { $0 + Int($1) } == document.bytes)
      #expect(counts[document.tokens.lowerBound] == 0)
    }
    let facts = try data.inspect()
    #expect(facts.hasCaseOperators && facts.validation?.tableBytes == manifest.validation.bytes)
    #expect(facts.json["tokenizer"]?["case_ops"] == true)
    #expect(try data.validationText().bytes.count == manifest.validation.bytes)
    // Any cut of the targets: what was counted in the texts is what is scored.
    for cut in stride(from: 2, to: stream.count, by: 7) {
      let original = try data.originalBytes(ofTargets: 1..<cut, in: stream)
      #expect(original == counts[..<cut].reduce(0) { $0 + Int($1) })
    }
    let evidence = try data.evidence()
    #expect(evidence.validation?.sidecar == manifest.validation.sidecar)
    #expect(evidence.json["validation"]?["sidecar"]?.arrayValue?.isEmpty == false)
    try data.requireUnchanged(validation: tokens, bytes: counts)
    formatError(.corrupt) {
      try data.requireUnchanged(validation: tokens, bytes: counts.reversed())
    }
    // The manifest is only compared.
    try FileManager.default.removeItem(atPath: data.path + "/manifest.json")
    #expect(try DataFolder.open(data.path).evidence() == evidence)
  }

  @Test func aModelThatNormalisesIsNamedLossy() throws {
    let folder = try TemporaryFolder()
    var notes: [String] = []
    let (data, manifest) = try Self.prepare(folder, tokenizer: .file(Self.caseModel)) {
      notes.append($0)
    }
    #expect(manifest.isLossy && !data.tokenizer.isExact && data.tokenizer.hasCaseOperators)
    #expect(notes.contains { $0.hasPrefix("lossy: the tokenizer normalises text") })
    #expect(notes.contains { $0.contains("byte sidecar counts") })
    let counts = try Self.counts(data)
    let texts = manifest.sources.filter { $0.split == "validation" }.compactMap {
      Self.texts[$0.name]
    }
    for (document, text) in zip(try #require(data.validationDocuments), texts) {
      // White space at the ends is normalised away, and nothing else is left out.
      let blanks = Set(" \t\n\r".utf8)
      let dropped =
        text.prefix { blanks.contains($0) }.count
        + text.reversed().prefix { blanks.contains($0) }.count
      #expect(counts[document.tokens].reduce(0) { $0 + Int($1) } == text.count - dropped)
    }
    #expect(try data.evidence().validation?.tableBytes == counts.reduce(0) { $0 + Int($1) })
    #expect(try data.originalBytes(ofTargets: 2..<50, in: data.validation()) == nil)
  }

  @Test func theFlagAndTheTokenizerMustAgree() throws {
    let folder = try TemporaryFolder()
    let cased = formatError(.usage) {
      try DataFolderTests.prepare(folder, Self.texts, tokenizer: .file(Self.caseModel))
    }
    #expect(cased?.message.contains("add --case-ops") == true)
    for source: DataPreparation.Source in [
      .file(fixture("tokenizers/fineweb_8192_bpe.model")), .bytes,
    ] {
      let plain = formatError(.usage) { try Self.prepare(folder, tokenizer: source) }
      #expect(plain?.message.contains("drop --case-ops") == true)
    }
  }

  @Test func aChangedSidecarIsRefused() throws {
    let folder = try TemporaryFolder()
    let (data, manifest) = try Self.prepare(folder)
    let shard = "\(data.path)/\(manifest.validation.sidecar[0].name)"
    let counts = try Shard.read(shard)
    func refused(_ changed: [UInt16], _ words: String) throws {
      try Shard.write(shard, changed)
      let error = formatError(.corrupt) { try DataFolder.open(data.path).evidence() }
      #expect("\(try #require(error))".contains(words), "\(words)")
    }
    // The begin of a document counts, bytes move from one token to another, one token is missing.
    let place = try #require(counts.indices.first { counts[$0] > 1 && counts[$0 + 1] > 0 })
    var moved = counts
    moved[place] -= 1
    moved[place + 1] += 1
    try refused(moved, "SHA-256")
    try refused(Array(counts.dropLast()), "do not belong together")
    try FileManager.default.removeItem(atPath: data.path + "/manifest.json")
    try refused(moved, "validation document 1: the sidecar counts")
    try refused([1] + counts.dropFirst(), "at its token 0, which stands for 0")
    try Shard.write(shard, counts)
    _ = try DataFolder.open(data.path).evidence()
  }

  @Test func sumsThatAManifestDoesNotKnowAreRefused() throws {
    let folder = try TemporaryFolder()
    let (data, manifest) = try Self.prepare(folder, tokenizer: .file(Self.caseModel))
    let shard = "\(data.path)/\(manifest.validation.sidecar[0].name)"
    var counts = try Shard.read(shard)
    counts[1] += 1000
    let hash = try Shard.write(shard, counts)
    let file = data.path + "/manifest.json"
    var text = String(decoding: try readFile(file), as: UTF8.self)
    text = text.replacing(manifest.validation.sidecar[0].sha256, with: hash)
    try Data(text.utf8).write(to: URL(fileURLWithPath: file))
    let error = formatError(.corrupt) { try DataFolder.open(data.path).evidence() }
    #expect(error?.message.contains("bytes by the sidecar") == true, "\(error?.message ?? "")")
  }

  @Test func aSidecarThatIsMissingOrTooMuchIsNamed() throws {
    let folder = try TemporaryFolder()
    let (data, manifest) = try Self.prepare(folder)
    let names = manifest.validation.sidecar.map(\.name)
    try FileManager.default.removeItem(atPath: "\(data.path)/\(names[0])")
    let fewer = formatError(.corrupt) { try DataFolder.open(data.path).sidecar() }
    #expect(fewer?.message.contains("the manifest lists \(names.count)") == true)
    for name in names.dropFirst() {
      try FileManager.default.removeItem(atPath: "\(data.path)/\(name)")
    }
    let missing = formatError(.notFound) { try DataFolder.open(data.path).evidence() }
    #expect(missing?.message.contains("fineweb_val_bytes_*.bin") == true)

    let plain = try TemporaryFolder()
    try DataFolderTests.prepare(plain, ["a": sampleText(30_000)])
    let path = plain.file(DataFolderTests.out)
    try Shard.write("\(path)/fineweb_val_bytes_000000.bin", [0, 1])
    let stray = formatError(.corrupt) { try DataFolder.open(path).evidence() }
    #expect(stray?.message.contains("without case operators") == true)
  }

  @Test func countsThatDoNotFitAreRefused() throws {
    let folder = try TemporaryFolder()
    let long = sampleText(500) + Array(repeating: UInt8(ascii: " "), count: 70_000) + sampleText(9)
    let error = formatError(.corrupt) {
      try DataFolderTests.prepare(
        folder, ["a": long], tokenizer: .file(Self.caseModel), hasCaseOperators: true,
        validation: 0)
    }
    #expect(error?.file == "a")
    #expect(error?.message.contains("one token stands for") == true, "\(error?.message ?? "")")
  }
}
