// SPDX-License-Identifier: Apache-2.0
// The tokenizer of bytes: ids, loading, folders that are made with it.

import Formats
import TestSupport
import Testing

@Suite struct ByteEncoderTests {
  @Test func givesEachByteItsId() throws {
    let tokenizer = Tokenizer.bytes
    #expect(tokenizer.vocabSize == 260 && tokenizer.bos == 1 && tokenizer.isExact)
    #expect((0..<4).map { tokenizer.type($0) } == [.control, .control, .control, .unknown])
    let all = Array(UInt8.min...UInt8.max)
    #expect(try tokenizer.encode(all) == all.map { Int32($0) + 4 })
    #expect(tokenizer.decode(4..<260) == all)
    #expect(tokenizer.decode([1, 0, 2]).isEmpty)
    let table = ByteTable(tokenizer)
    #expect(table.baseBytes == [0, 0, 0, 0] + Array(repeating: 1, count: 256))
    #expect(!table.leadingSpace.contains(true))
    #expect(table.boundary.indices.filter { table.boundary[$0] } == [0, 1, 2, 3])
    for text in TokenizerTests.nastyTexts.map({ Array($0.utf8) }) {
      let ids = try tokenizer.encodeDocument(text)
      #expect(ids == [1] + text.map { Int32($0) + 4 })
      #expect(tokenizer.decode(ids) == text)
      #expect(table.bytes(of: ids.map { UInt16($0) }) == text.count)
    }
  }

  @Test func isReadBackFromItsDocument() throws {
    let read = try Tokenizer(model: Tokenizer.bytes.model)
    #expect(read.sha256 == Tokenizer.bytes.sha256)
    #expect(read.fileName == "tokenizer.json")
    // Other blanks and order, as other programs write it.
    let spelled = """
      {"tokenizer_type": "pure_byte", "config": {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3,
        "byte_offset": 4, "byte_count": 256}, "vocab_size": 260}
      """
    #expect(try Tokenizer(model: Array(spelled.utf8)).vocabSize == 260)
    for (from, to) in [("\"bos_id\": 1", "\"bos_id\": 2"), ("pure_byte", "words"), ("260", "261")] {
      let other = Array(spelled.replacing(from, with: to).utf8)
      let error = formatError(.corrupt) { try Tokenizer(model: other) }
      #expect(error?.message.contains("pure_byte") == true, "\(error?.message ?? "")")
    }
  }

  @Test func makesFoldersThatLoseNothing() throws {
    let folder = try TemporaryFolder()
    var texts: [String: [UInt8]] = [:]
    for (index, text) in TokenizerTests.nastyTexts.enumerated() {
      texts["\(index)"] = sampleText(700, seed: UInt64(index)) + Array(text.utf8)
    }
    let manifest = try DataFolderTests.prepare(folder, texts, tokenizer: .bytes, validation: 0.2)
    #expect(!manifest.isLossy && !manifest.isTokenizerTrained && manifest.vocab == 260)
    for split in [manifest.train, manifest.validation] {
      #expect(split.tableBytes == split.bytes && split.unknownTokens == 0)
      #expect(split.tokens == split.bytes + split.documents)
    }
    let data = try DataFolder.open(folder.file(DataFolderTests.out))
    #expect(try data.inspect().bytePieces == 256)
    let stream = try data.validation()
    let half = stream.count / 2
    let parts = try [1..<half, half..<stream.count].map {
      try data.originalBytes(ofTargets: $0, in: stream) ?? 0
    }
    #expect(parts.reduce(0, +) == manifest.validation.bytes)
    #expect(try data.validationText().bytes.count == manifest.validation.bytes)
    _ = try data.verifyDocuments(against: texts.keys.map { folder.file($0) })
    #expect(data.manifest?.tokenizer == Tokenizer.bytes.sha256)
    #expect(Tokenizer.bytes.originalBytes(ofDocument: [1]) == nil)
  }
}
