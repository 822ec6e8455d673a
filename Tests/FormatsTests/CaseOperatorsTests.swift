// SPDX-License-Identifier: Apache-2.0
// Case operators: the transform of each kind of run, its inverse, tokenizers that are trained on it.

import Formats
import Foundation
import Testing

@Suite struct CaseOperatorsTests {
  /// Original and transformed text.
  static let examples: [(String, String)] = [
    ("", ""), ("word", "word"), ("NASA", "\u{e002}nasa"), ("The End", "\u{e001}the \u{e001}end"),
    ("A", "\u{e001}a"), ("AB", "\u{e002}ab"), ("iPhone", "i\u{e003}phone"),
    ("McDonald", "\u{e001}mc\u{e003}donald"), ("HELLo", "\u{e001}h\u{e003}e\u{e003}l\u{e003}lo"),
    ("aB", "a\u{e003}b"), ("ABc Def", "\u{e001}a\u{e003}bc \u{e001}def"),
    ("I'm U.S.A.", "\u{e001}i'm \u{e001}u.\u{e001}s.\u{e001}a."), ("É École", "É École"),
    ("x\u{e001}y", "x\u{e004}\u{e001}y"),
    ("\u{e004}\u{e004}A", "\u{e004}\u{e004}\u{e004}\u{e004}\u{e001}a"),
    ("A\u{e002}B", "\u{e001}a\u{e004}\u{e002}\u{e001}b"),
    ("AB\u{e003}cd", "\u{e002}ab\u{e004}\u{e003}cd"),
    ("\u{e000}A\u{e005}B", "\u{e000}\u{e001}a\u{e005}\u{e001}b"),
    ("@[`{ZzAa", "@[`{\u{e001}zz\u{e003}aa"), ("12 ABC3DEF", "12 \u{e002}abc3\u{e002}def"),
  ]

  /// A page of a play: names in capitals, lines that begin with one.
  static let excerpt = """
    First Citizen:
    Before we proceed any further, hear me speak.

    MENENIUS:
    There was a time when all the body's members
    Rebell'd against the belly, thus accused it:

    KING RICHARD III:
    A horse! a horse! my kingdom for a horse! O, McDuff's iPod@NASA (U.S.A.) = \u{e001}Ångström
    """

  @Test func spellsEveryKindOfRun() {
    for (text, wanted) in Self.examples {
      let transformed = CaseOperators.transform(Array(text.utf8))
      #expect(transformed == Array(wanted.utf8), "\(text)")
      #expect(CaseOperators.inverse(transformed) == Array(text.utf8), "\(text)")
    }
  }

  /// Random strings of letters, operators, their neighbours, other scripts and any other character.
  /// GRAPHC_CASE_STRINGS is their number.
  @Test func theInverseIsExact() throws {
    let setting = ProcessInfo.processInfo.environment["GRAPHC_CASE_STRINGS"]
    let count = setting.flatMap { Int($0) } ?? 200_000
    var texts = RandomTexts(seed: 16)
    for _ in 0..<count {
      let text = texts.next()
      let transformed = CaseOperators.transform(text)
      guard CaseOperators.inverse(transformed) == text,
        !transformed.contains(where: { (0x41...0x5a).contains($0) })
      else {
        Issue.record("\(text)")
        return
      }
    }
    #expect(texts.longest > 30)
  }

  /// What a model writes may hold operators anywhere.
  @Test func theTextOfAPrefixIsAPrefix() {
    var texts = RandomTexts(seed: 17)
    for _ in 0..<2000 {
      let written = texts.next()
      let whole = CaseOperators.inverse(written)
      var shown = 0
      for end in 0...written.count {
        let part = CaseOperators.inverse(Array(written[..<end]))
        #expect(whole.starts(with: part) && part.count >= shown)
        shown = part.count
      }
    }
  }

  // MARK: Tokenizers

  static func trained(vocab: Int = 320) throws -> Tokenizer {
    try Tokenizer.train(
      vocab: vocab, caseOperators: true,
      next: oneByOne([sampleText(20_000), Array(excerpt.utf8)]))
  }

  @Test func aTrainedTokenizerLosesNothing() throws {
    let tokenizer = try Self.trained()
    #expect(tokenizer.isExact && tokenizer.hasCaseOperators)
    // As in the published model, the operators come right behind the special pieces.
    for id in 4...7 {
      #expect(tokenizer.piece(id) == Array("\(Unicode.Scalar(0xe001 + id - 4)!)".utf8))
      #expect(tokenizer.type(id) == .userDefined)
    }
    var texts = RandomTexts(seed: 18)
    let random = (0..<3000).map { _ in texts.next() }
    let written = TokenizerTests.nastyTexts + Self.examples.map(\.0) + [Self.excerpt]
    for text in written.map({ Array($0.utf8) }) + random {
      let (ids, bytes) = try tokenizer.encodeDocumentWithBytes(text)
      let plain = try tokenizer.encodeDocument(text)
      #expect(ids == plain)
      #expect(ids.allSatisfy { tokenizer.type(Int($0)) != .unknown })
      #expect(tokenizer.decode(ids) == text)
      #expect(bytes.count == ids.count && bytes[0] == 0)
      #expect(bytes.reduce(0) { $0 + Int($1) } == text.count)
      // Found in the text by the library, and in the tokens alone.
      #expect(tokenizer.originalBytes(ofDocument: ids.map { UInt16($0) }) == bytes)
      #expect(tokenizer.decode(try tokenizer.encode(text)) == text)
    }
  }

  @Test func countsBytesAtTheTokensThatEndThem() throws {
    let tokenizer = try Self.trained()
    let (ids, bytes) = try tokenizer.encodeDocumentWithBytes(Array(" A\u{2581}🙂\u{e001}".utf8))
    #expect(bytes == [0, 1, 0, 1, 0, 0, 3, 0, 0, 0, 4, 0, 3])
    #expect(ids.count == bytes.count)
    #expect(try TokenizerTests.trained().originalBytes(ofDocument: [1, 50]) == nil)
  }

  @Test func oneSpellingServesEveryCase() throws {
    let tokenizer = try Self.trained()
    let small = try tokenizer.encode(" model")
    for text in [" Model", " MODEL"] {
      let ids = try tokenizer.encode(text)
      #expect(ids.filter { !(4...7).contains($0) }.count <= small.count + 1, "\(text)")
    }
  }
}

/// Texts of whole characters, the same for equal seeds.
struct RandomTexts {
  private static let pieces: [[UInt8]] = [
    "a", "b", "z", "A", "B", "Z", "the", "NASA", "McD", " ", " ", "\n", "1", "'", "@", "[", "`",
    "{",
    "\u{e001}", "\u{e002}", "\u{e003}", "\u{e004}", "\u{e000}", "\u{e005}", "\u{e041}", "\u{2581}",
    "é",
    "É", "ß", "ſ", "\u{212a}", "Ａ", "ﬁ", "½", "\u{301}", "日", "Ж", "🙂", "\u{200d}", "\u{0}", "\t",
    "\u{fffd}", "\u{10ffff}",
  ].map { Array($0.utf8) }

  private var state: UInt64
  private(set) var longest = 0

  init(seed: UInt64) { state = seed }

  mutating func next() -> [UInt8] {
    var text: [UInt8] = []
    for _ in 0..<number(below: 24) {
      if number(below: 12) == 0, let scalar = Unicode.Scalar(UInt32(number(below: 0x110000))) {
        text += Array(String(Character(scalar)).utf8)
      } else {
        text += Self.pieces[number(below: Self.pieces.count)]
      }
    }
    longest = max(longest, text.count)
    return text
  }

  private mutating func number(below limit: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % limit
  }
}
