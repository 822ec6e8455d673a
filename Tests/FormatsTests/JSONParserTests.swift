// SPDX-License-Identifier: Apache-2.0
// JSON values: one canonical spelling, exact numbers, strict reading.

import Formats
import Testing

@Suite struct JSONParserTests {
  @Test func printsSortedKeysOnOneLine() {
    let value: JSONValue = ["b": [1, 2.5, nil, true], "a": "x\"\\\n\u{1}é", "ab": [:]]
    #expect(value.text == "{\"a\":\"x\\\"\\\\\\n\\u0001é\",\"ab\":{},\"b\":[1,2.5,null,true]}")
  }

  @Test func readsBackWhatItPrints() throws {
    let value: JSONValue = [
      "ints": [.int(.max), .int(.min), 0],
      "doubles": [0.1, 1e-5, 1e300, -0.0, .double(.leastNonzeroMagnitude), 1.0, 1e16],
      "text": "🙂\u{2028}\u{7f}", "nested": [["deep": [[]]], []],
    ]
    #expect(try JSONValue.parse(value.text) == value)
    #expect(try JSONValue.parse(value.prettyText) == value)
    #expect(try JSONValue.parse(value.text).text == value.text)
  }

  @Test func keepsIntegersAndDoublesApart() throws {
    #expect(try JSONValue.parse("1") == .int(1))
    #expect(try JSONValue.parse("1.0") == .double(1))
    #expect(JSONValue.double(1).text == "1.0")
    #expect(try JSONValue.parse("18446744073709551616") == .double(18_446_744_073_709_551_616))
    #expect(JSONValue.double(.nan).text == "null")
    #expect(JSONValue.double(-.infinity).text == "null")
    #expect(try JSONValue.parse("3").doubleValue == 3)
  }

  @Test func readsEscapes() throws {
    let text = try JSONValue.parse(#""\u0041\ud83d\ude42\/\b\f\n\r\t\\\"""#)
    #expect(text == "A🙂/\u{8}\u{c}\n\r\t\\\"")
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "01", "-", "1.", "1e", "+1", ".5", "nul",
    "tru", "\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\u12g4\"", "\"\n\"", "[1 2]",
    "{1:2}", "{} x", "1e999", "NaN", "'a'", "\u{feff}1", "\"\\u\"", "[\u{b}1]",
  ])
  func refuses(_ text: String) {
    #expect(formatError(.corrupt) { try JSONValue.parse(text) }?.offset != nil)
  }

  @Test func refusesDeepNestingAndBadUTF8() {
    formatError(.corrupt) { try JSONValue.parse(String(repeating: "[", count: 100_000)) }
    formatError(.corrupt) { try JSONValue.parse([0x22, 0xc0, 0x80, 0x22]) }
  }

  @Test(
    arguments: [
      ([0x61, 0xc3, 0xa9], nil), ([0xc0, 0x80], 0), ([0x61, 0xe0, 0x80, 0x80], 1),
      ([0xed, 0xa0, 0x80], 0), ([0xf4, 0x90, 0x80, 0x80], 0), ([0xf0, 0x80, 0x80, 0x80], 0),
      ([0xf0, 0x9f, 0x99], 0), ([0x61, 0xff], 1), ([0x80], 0), ([0xf4, 0x8f, 0xbf, 0xbf], nil),
      ([0xc2], 0), ([0xe2, 0x96, 0x61], 0), ([0xef, 0xbf, 0xbf], nil), ([], nil),
    ] as [([UInt8], Int?)])
  func findsInvalidUTF8(_ bytes: [UInt8], offset: Int?) {
    #expect(firstInvalidUTF8(bytes) == offset)
  }
}

@Suite struct HashTests {
  @Test func matchesPublishedVectors() {
    #expect(
      SHA256.hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      SHA256.hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    var hasher = Hasher256()
    hasher.update(Array("a".utf8))
    hasher.update(Array("bc".utf8))
    #expect(hasher.hex() == SHA256.hex("abc"))
  }
}
