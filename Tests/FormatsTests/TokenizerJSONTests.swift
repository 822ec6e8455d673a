// SPDX-License-Identifier: Apache-2.0
// tokenizer.json: ids against those of the Hugging Face library, exactness, and what is refused.

import Formats
import TestSupport
import Testing

@Suite struct TokenizerJSONTests {
  private static let folder = fixture("tokenizer-json")

  private static func text(_ name: String) throws -> String {
    String(decoding: try readFile("\(folder)/\(name).json"), as: UTF8.self)
  }

  @Test func givesTheExpectedIds() throws {
    let expected = try JSONValue.parse(try readFile("\(Self.folder)/expected.json"))
    for entry in try #require(expected["tokenizers"]?.arrayValue) {
      let file = try #require(entry["file"]?.stringValue)
      let tokenizer = try Tokenizer(path: "\(Self.folder)/\(file)")
      #expect(tokenizer.vocabSize == entry["vocab"]?.intValue)
      #expect(tokenizer.isExact == (file == "byte-level.json"))
      for item in try #require(entry["cases"]?.arrayValue) {
        let text = try #require(item["text"]?.stringValue)
        let ids = try tokenizer.encode(text)
        #expect(
          ids.map(Int.init) == item["ids"]?.arrayValue?.compactMap(\.intValue),
          "\(file): \(text.debugDescription)")
      }
    }
  }

  @Test func aByteLevelTokenizerLosesNothing() throws {
    let tokenizer = try Tokenizer(path: "\(Self.folder)/byte-level.json")
    #expect(tokenizer.type(Int(tokenizer.bos)) == .control)
    let table = ByteTable(tokenizer)
    var random = RandomTexts(seed: 19)
    let texts =
      TokenizerTests.nastyTexts.map { Array($0.utf8) } + (0..<2000).map { _ in random.next() }
    for text in texts + [Array("<|endoftext|> in <|endoftext|> text <sep>".utf8)] {
      let ids = try tokenizer.encodeDocument(text)
      #expect(tokenizer.decode(ids) == text)
      #expect(table.bytes(of: ids.map { UInt16($0) }) == text.count)
      #expect(ids.count { $0 == tokenizer.bos } == 1)
    }
    let folder = try TemporaryFolder()
    let documents = [
      "a": sampleText(3000), "b": sampleText(900, seed: 2) + Array("é🙂\u{2581}".utf8),
    ]
    let manifest = try DataFolderTests.prepare(
      folder, documents, tokenizer: .file("\(Self.folder)/byte-level.json"))
    #expect(!manifest.isLossy && manifest.validation.tableBytes == manifest.validation.bytes)
    #expect(try DataFolder.open(folder.file(DataFolderTests.out)).inspect().bytePieces == 256)
  }

  @Test func markedSpacesAreDecoded() throws {
    for name in ["metaspace", "normalizer"] {
      let tokenizer = try Tokenizer(path: "\(Self.folder)/\(name).json")
      for text in ["First Citizen: speak", "日本語 🙂 end", "double  spaces\n"] {
        let ids = try tokenizer.encodeDocument(Array(text.utf8))
        #expect(tokenizer.decode(ids) == Array(text.utf8), "\(name): \(text)")
        #expect(ByteTable(tokenizer).bytes(of: ids.map { UInt16($0) }) == text.utf8.count)
      }
    }
    let plain = try Tokenizer(path: "\(Self.folder)/plain.json")
    #expect(plain.decode(try plain.encode("a 🙂🙂 b")).contains(0xef))
  }

  @Test func longWordsAreMergedInTime() throws {
    let tokenizer = try Tokenizer(path: "\(Self.folder)/byte-level.json")
    let ids = try tokenizer.encode(Array(repeating: UInt8(ascii: "e"), count: 200_000))
    #expect(tokenizer.decode(ids).count == 200_000)
  }

  @Test(arguments: [
    (#""type":"BPE""#, #""type":"Unigram""#, "a model Unigram"),
    (#""type":"BPE""#, #""type":"WordPiece""#, "a model WordPiece"),
    (#""normalizer":null"#, #""normalizer":{"type":"NFC"}"#, "a normalizer NFC"),
    (#""dropout":null"#, #""dropout":0.1"#, "dropout"),
    (#""add_prefix_space":false"#, #""add_prefix_space":true"#, "add_prefix_space"),
    (#""truncation":null"#, #""truncation":{"max_length":9}"#, "truncation"),
    (
      #""pre_tokenizer":{"type":"ByteLevel""#, #""pre_tokenizer":{"type":"BertPreTokenizer""#,
      "a pre_tokenizer BertPreTokenizer"
    ),
    (#""decoder":{"type":"ByteLevel""#, #""decoder":{"type":"WordPiece""#, "a decoder WordPiece"),
    (#""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#, "end_of_word_suffix '</w>'"),
    (
      #""single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false"#,
      #""single_word":true,"lstrip":false,"rstrip":false,"normalized":false,"special":false"#,
      "single_word of the added token '<sep>'"
    ),
    (#""content":"<|endoftext|>""#, #""content":"<|x|>""#, "no special token begins a document"),
  ])
  func namesWhatItLacks(_ from: String, _ to: String, _ words: String) throws {
    let text = try Self.text("byte-level")
    #expect(text.contains(from), "\(from)")
    let error = formatError(.usage) {
      try Tokenizer(model: Array(text.replacing(from, with: to).utf8), file: "t.json")
    }
    #expect(error?.file == "t.json")
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
  }

  @Test func namesEverythingAtOnce() throws {
    let text = try Self.text("byte-level").replacing(#""dropout":null"#, with: #""dropout":0.5"#)
      .replacing(#""normalizer":null"#, with: #""normalizer":{"type":"Lowercase"}"#)
    let error = formatError(.usage) { try Tokenizer(model: Array(text.utf8)) }
    #expect(error?.message.contains("dropout, a normalizer Lowercase") == true)
  }

  @Test func refusesMoreIdsThanAShardHolds() throws {
    let text = try Self.text("byte-level").replacing(#""id":600"#, with: #""id":65536"#)
    let error = formatError(.usage) { try Tokenizer(model: Array(text.utf8)) }
    #expect(
      error?.message.contains("65537 ids, shards hold 65536") == true, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    (#""id":600"#, #""id":602"#, "no piece has id 600"),
    (#"[["Ġ","t"]"#, #"[["Ġ","☃"]"#, "alphabet"),
    (#"[["Ġ","t"]"#, #"[["Ġ"]"#, "merge 0 is no pair"),
    (#"[["Ġ","t"]"#, #"[["Ġt","Ġt"]"#, "the vocabulary lacks"),
    (#""model":"#, #""modul":"#, "no tokenizer.json"),
  ])
  func refusesWhatContradictsItself(_ from: String, _ to: String, _ words: String) throws {
    let text = try Self.text("byte-level")
    #expect(text.contains(from), "\(from)")
    let error = formatError(.corrupt) {
      try Tokenizer(model: Array(text.replacing(from, with: to).utf8))
    }
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
  }

  @Test func survivesFlips() throws {
    let model = try readFile("\(Self.folder)/metaspace.json")
    let text = Array("First Citizen: é 🙂 <sep>\n".utf8)
    for bit in stride(from: 0, to: model.count * 8, by: 211) {
      var flipped = model
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      guard let tokenizer = try? Tokenizer(model: flipped) else { continue }
      let ids = try tokenizer.encodeDocument(text)
      #expect(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabSize })
      _ = tokenizer.decode(ids)
      _ = ByteTable(tokenizer)
    }
  }
}
