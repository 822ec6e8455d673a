// SPDX-License-Identifier: Apache-2.0
// Tokenizers that graphc trains: nothing is lost, training repeats, damaged models are refused.

import Formats
import Testing

@Suite struct TokenizerTests {
  static let nastyTexts: [String] = [
    "", " ", "  two leading spaces", "double  spaces   and trailing  ", "\ta tab\tand\t\ttabs",
    "CRLF line\r\nand another\r\n", "\n\n\nonly newlines\n", "no final newline",
    "a \u{2581} mark, \u{2581}\u{2581}two, and\u{2581}inside", "\u{2581}first", " \u{2581} ",
    "\u{2585} the trainer's mark", "emoji 🙂🚀 👩‍👩‍👧 end", "digits 1234567890 3.14159",
    "combining e\u{301} and \u{e9}", "日本語のテキスト, Ελληνικά, русский",
    "<s> </s> <unk> <pad> <0x41> <0xE2><0x96><0x81>", "nbsp \u{a0} zwj \u{200d} bom \u{feff}",
    "\u{10ffff} \u{fffd} \u{7f} \u{1}", "fi \u{fb01} ½ ＡＢＣ", "a\u{0}b",
  ]

  static func trained() throws -> Tokenizer {
    try Tokenizer.train(vocab: 300, next: oneByOne([sampleText(20_000)]))
  }

  @Test func decodesEveryTextToItself() throws {
    let tokenizer = try Self.trained()
    #expect(tokenizer.isExact)
    let table = ByteTable(tokenizer)
    for text in Self.nastyTexts {
      let bytes = Array(text.utf8)
      let ids = try tokenizer.encodeDocument(bytes)
      #expect(tokenizer.decode(ids) == bytes, "\(text.debugDescription)")
      #expect(table.bytes(of: ids.map { UInt16($0) }) == bytes.count, "\(text.debugDescription)")
      #expect(tokenizer.decode(try tokenizer.encode(bytes)) == bytes, "\(text.debugDescription)")
    }
  }

  @Test func keepsASpaceMarkOfTheTextApartFromASpace() throws {
    let tokenizer = try Self.trained()
    let ids = try tokenizer.encode("\u{2581}")
    #expect(ids.map { tokenizer.type(Int($0)) } == [.byte, .byte, .byte])
    let spaced = try tokenizer.encodeDocument(Array(" the".utf8))
    #expect(tokenizer.type(Int(spaced[1])) == .byte)
    #expect(try tokenizer.encode("a\u{2581}b") != tokenizer.encode("a b"))
  }

  @Test func trainsTheSameBytesTwice() throws {
    let first = try Self.trained()
    let second = try Self.trained()
    #expect(first.model == second.model)
    #expect(first.sha256 == second.sha256)
  }

  @Test func learnsFromTextThatSpellsSpecialPieces() throws {
    var text = sampleText(5000)
    for _ in 0..<500 { text += Array("(<unk>) <unk> <s><s> x<0x41>x<0x0A> <pad>\n".utf8) }
    let tokenizer = try Tokenizer.train(vocab: 400, next: oneByOne([text]))
    #expect(tokenizer.decode(try tokenizer.encodeDocument(text)) == text)
    let ids = try tokenizer.encodeDocument(text)
    #expect(ByteTable(tokenizer).bytes(of: ids.map { UInt16($0) }) == text.count)
  }

  @Test func keepsLongLinesForTraining() throws {
    let line = Array(String(repeating: "zyzzyva quux ", count: 2000).utf8)
    let tokenizer = try Tokenizer.train(vocab: 330, next: oneByOne([sampleText(4000), line]))
    #expect(try tokenizer.encode("zyzzyva").count == 1)
  }

  @Test func givesOneTokenToANewline() throws {
    let tokenizer = try Self.trained()
    let ids = try tokenizer.encode("\n\n")
    #expect(ids.count == 2)
    #expect(tokenizer.type(Int(ids[0])) == .userDefined)
    let table = ByteTable(tokenizer)
    #expect(table.bytes(target: Int(ids[1]), previous: Int(ids[0])) == 1)
    #expect(table.bytes(target: Int(tokenizer.bos), previous: Int(ids[0])) == 0)
  }

  @Test func namesTheWayOutWhenTheTextIsTooSmall() throws {
    let error = formatError(.usage) {
      try Tokenizer.train(vocab: 2000, next: oneByOne([Array("too little text".utf8)]))
    }
    #expect(error?.message.contains("supports at most") == true, "\(error?.message ?? "")")
    #expect(error?.exitCode == 2)
    let scripts = formatError(.usage) {
      try Tokenizer.train(vocab: 270, next: oneByOne([Array("日本語のテキスト".utf8) + sampleText(50)]))
    }
    #expect(scripts?.message.contains("need at least") == true, "\(scripts?.message ?? "")")
    formatError(.usage) { try Tokenizer.train(vocab: 100, next: oneByOne([])) }
    formatError(.usage) { try Tokenizer.train(vocab: 300, next: oneByOne([])) }
  }

  @Test func handsOnAFailureOfTheTextSource() throws {
    let failure = FormatError(.io, file: "x", "gone")
    let error = formatError(.io) {
      try Tokenizer.train(vocab: 300, next: { () throws(FormatError) in throw failure })
    }
    #expect(error == failure)
  }
}

@Suite struct DamagedTokenizerTests {
  @Test func refusesEveryCut() throws {
    let model = try TokenizerTests.trained().model
    for count in 0..<model.count {
      let error = formatError(.corrupt) { try Tokenizer(model: Array(model[..<count])) }
      #expect(error?.exitCode == 65)
    }
  }

  @Test func survivesEveryFlip() throws {
    let model = try TokenizerTests.trained().model
    let text = Array("the model reads\nbytes 12 é".utf8)
    for bit in 0..<model.count * 8 {
      var flipped = model
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      do {
        let tokenizer = try Tokenizer(model: flipped)
        let ids = try tokenizer.encodeDocument(text)
        #expect(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabSize })
        _ = tokenizer.decode(ids)
        _ = ByteTable(tokenizer)
      } catch {}
    }
  }

  @Test func refusesOtherFiles() {
    for bytes in [[], Array("hello".utf8), Array(repeating: 0, count: 100), sampleText(1000)] {
      formatError(.corrupt) { try Tokenizer(model: bytes) }
    }
  }

  @Test func survivesFlipsInANormalisationTable() throws {
    let model = try readFile(fixture("tokenizers/fineweb_1024_bpe.model"))
    let text = Array("ﬁne ½ of ＡＢＣ \u{a0}é e\u{301} 12 \t日本語 x₂ ™ 🧿".utf8)
    var state: UInt64 = 7
    var refused = 0
    for _ in 0..<100 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var flipped = model
      // The table is nearly all of the file behind the pieces.
      let index = model.count - 1 - Int(state >> 33) % 240_000
      flipped[index] ^= 1 << UInt8(state >> 20 & 7)
      do {
        _ = try Tokenizer(model: flipped).encodeDocument(text)
      } catch {
        refused += 1
      }
    }
    #expect(refused > 0)
  }

  @Test func refusesATableThatLeadsOutside() throws {
    // One piece, trainer settings, and a normaliser whose trie has one unit with a far offset.
    let trie: [UInt8] = [4, 0, 0, 0, 0, 0xfc, 0xff, 0x7f, 0]
    let piece: [UInt8] = [0x0a, 3, 0x0a, 1, 0x61]
    let model = piece + [0x12, 0, 0x1a, UInt8(trie.count + 2), 0x12, UInt8(trie.count)] + trie
    let error = formatError(.corrupt) { try Tokenizer(model: model) }
    #expect(error?.field == "normalisation table")
    #expect(error?.message.contains("leads outside") == true)
  }
}
