// SPDX-License-Identifier: Apache-2.0
// Strict JSON reading: duplicate keys, bad UTF-8, deep nesting and trailing text are errors.

extension JSONValue {
  /// Reads one document. `file` and `base` only serve the error: base is added to its offset.
  public static func parse(
    _ bytes: [UInt8], file: String? = nil, base: Int = 0
  ) throws(FormatError) -> JSONValue {
    if let offset = firstInvalidUTF8(bytes) {
      throw FormatError(.corrupt, file: file, offset: base + offset, "this is not valid UTF-8")
    }
    var parser = JSONParser(bytes: bytes, file: file, base: base)
    let value = try parser.value(depth: 0)
    parser.skipBlanks()
    guard parser.offset == bytes.count else {
      throw parser.error("unexpected text after the end of the JSON document")
    }
    return value
  }

  /// Reads one document from text.
  public static func parse(_ text: String) throws(FormatError) -> JSONValue {
    try parse(Array(text.utf8))
  }
}

/// Recursive descent over bytes known to be UTF-8.
private struct JSONParser {
  static let deepest = 64

  let bytes: [UInt8]
  let file: String?
  let base: Int
  var offset = 0

  func error(_ message: String) -> FormatError {
    FormatError(.corrupt, file: file, field: "JSON", offset: base + offset, message)
  }

  var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  mutating func skipBlanks() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      offset += 1
    }
  }

  mutating func value(depth: Int) throws(FormatError) -> JSONValue {
    guard depth < JSONParser.deepest else {
      throw error("nested deeper than \(JSONParser.deepest) levels")
    }
    skipBlanks()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case let byte? where byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte):
      return try number()
    case nil: throw error("the text ends where a value is expected")
    default: throw error("found \(shown), expected a value")
    }
  }

  private var shown: String {
    guard let byte = next else { return "the end" }
    return (0x21..<0x7f).contains(byte) ? "'\(Character(UnicodeScalar(byte)))'" : "byte \(byte)"
  }

  private mutating func expect(_ character: Character) throws(FormatError) {
    skipBlanks()
    guard next == character.asciiValue else {
      throw error("found \(shown), expected '\(character)'")
    }
    offset += 1
  }

  private mutating func word(_ word: String, _ value: JSONValue) throws(FormatError) -> JSONValue {
    guard bytes[offset...].starts(with: word.utf8) else { throw error("expected \(word)") }
    offset += word.utf8.count
    return value
  }

  private mutating func object(depth: Int) throws(FormatError) -> JSONValue {
    var members: [String: JSONValue] = [:]
    try expect("{")
    skipBlanks()
    if next == UInt8(ascii: "}") {
      offset += 1
      return .object(members)
    }
    while true {
      skipBlanks()
      guard next == UInt8(ascii: "\"") else { throw error("found \(shown), expected a key") }
      let start = offset
      let key = try string()
      try expect(":")
      let member = try value(depth: depth + 1)
      guard members.updateValue(member, forKey: key) == nil else {
        offset = start
        let isSpelledAgain = !members.keys.contains { Array($0.utf8) == Array(key.utf8) }
        throw error(
          "key \"\(key)\" appears twice"
            + (isSpelledAgain ? ", in two spellings that Unicode holds equal" : ""))
      }
      skipBlanks()
      if next == UInt8(ascii: ",") {
        offset += 1
      } else {
        try expect("}")
        return .object(members)
      }
    }
  }

  private mutating func array(depth: Int) throws(FormatError) -> JSONValue {
    var values: [JSONValue] = []
    try expect("[")
    skipBlanks()
    if next == UInt8(ascii: "]") {
      offset += 1
      return .array(values)
    }
    while true {
      values.append(try value(depth: depth + 1))
      skipBlanks()
      if next == UInt8(ascii: ",") {
        offset += 1
      } else {
        try expect("]")
        return .array(values)
      }
    }
  }

  private mutating func number() throws(FormatError) -> JSONValue {
    let start = offset
    if next == UInt8(ascii: "-") { offset += 1 }
    let leading = next
    let whole = digits()
    guard whole > 0, whole == 1 || leading != UInt8(ascii: "0") else {
      throw error("a number needs digits and no leading zero")
    }
    var isInteger = true
    if next == UInt8(ascii: ".") {
      offset += 1
      isInteger = false
      guard digits() > 0 else { throw error("digits are expected after the point") }
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      offset += 1
      isInteger = false
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { offset += 1 }
      guard digits() > 0 else { throw error("digits are expected in the exponent") }
    }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    if isInteger, let value = Int(text) { return .int(value) }
    guard let value = Double(text), value.isFinite else {
      throw error("the number \(text) is too large")
    }
    return .double(value)
  }

  private mutating func digits() -> Int {
    let start = offset
    while let byte = next, (0x30...0x39).contains(byte) { offset += 1 }
    return offset - start
  }

  private mutating func string() throws(FormatError) -> String {
    offset += 1
    var out: [UInt8] = []
    while let byte = next {
      offset += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: out, as: UTF8.self)
      case UInt8(ascii: "\\"): try escape(into: &out)
      case 0..<0x20: throw error("a control character inside a string must be escaped")
      default: out.append(byte)
      }
    }
    throw error("the text ends inside a string")
  }

  private mutating func escape(into out: inout [UInt8]) throws(FormatError) {
    guard let kind = next else { throw error("the text ends inside a string") }
    offset += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(kind)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0c)
    case UInt8(ascii: "n"): out.append(0x0a)
    case UInt8(ascii: "r"): out.append(0x0d)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xd800..<0xdc00).contains(code) {
        guard bytes[offset...].starts(with: [0x5c, 0x75]) else {
          throw error("half of a surrogate pair")
        }
        offset += 2
        let low = try hexadecimal()
        guard (0xdc00..<0xe000).contains(low) else { throw error("half of a surrogate pair") }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = UnicodeScalar(code) else { throw error("half of a surrogate pair") }
      out += Array(String(Character(scalar)).utf8)
    default: throw error("unknown escape in a string")
    }
  }

  private mutating func hexadecimal() throws(FormatError) -> UInt32 {
    let digits = bytes[offset..<min(offset + 4, bytes.count)]
    guard digits.count == 4, digits.allSatisfy({ UnicodeScalar($0).properties.isASCIIHexDigit }),
      let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw error("four hexadecimal digits are expected after \\u") }
    offset += 4
    return value
  }
}
