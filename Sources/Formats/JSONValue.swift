// SPDX-License-Identifier: Apache-2.0
// A JSON document as a value, and its one canonical spelling. Reading is in JSONParser.swift.

/// A JSON value. Integers stay integers, doubles print with the fewest digits that read back.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// Canonical text: one line, no blanks, keys sorted by their bytes.
  ///
  /// JSON has no spelling for numbers that are not finite; they are null, as nothing is known of
  /// what they should have been.
  public var text: String {
    var out = ""
    print(to: &out, indent: nil, depth: 0)
    return out
  }

  /// The same document over several lines, for people.
  public var prettyText: String {
    var out = ""
    print(to: &out, indent: "  ", depth: 0)
    return out
  }

  /// The member of an object, or nil.
  public subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { members[key] } else { nil }
  }

  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  public var intValue: Int? { if case .int(let value) = self { value } else { nil } }
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

  public var objectValue: [String: JSONValue]? {
    if case .object(let value) = self { value } else { nil }
  }

  /// The number, also when it was written as an integer.
  public var doubleValue: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  private func print(to out: inout String, indent: String?, depth: Int) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .int(let value): out += String(value)
    case .double(let value):
      out += value.isFinite ? value.description : "null"
    case .string(let value): JSONValue.quote(value, to: &out)
    case .array(let values):
      // Arrays of numbers and strings stay on one line: manifests hold long ones.
      let isFlat = values.allSatisfy { $0.objectValue == nil && $0.arrayValue == nil }
      JSONValue.list(values, "[", "]", &out, isFlat ? nil : indent, depth) { value, out in
        value.print(to: &out, indent: indent, depth: depth + 1)
      }
    case .object(let members):
      JSONValue.list(members.keys.sortedByBytes(), "{", "}", &out, indent, depth) { key, out in
        JSONValue.quote(key, to: &out)
        out += indent == nil ? ":" : ": "
        members[key]?.print(to: &out, indent: indent, depth: depth + 1)
      }
    }
  }

  private static func list<Element>(
    _ elements: [Element], _ open: String, _ close: String, _ out: inout String,
    _ indent: String?, _ depth: Int, each: (Element, inout String) -> Void
  ) {
    out += open
    for (index, element) in elements.enumerated() {
      if index > 0 { out += "," }
      if let indent { out += "\n" + String(repeating: indent, count: depth + 1) }
      each(element, &out)
    }
    if let indent, !elements.isEmpty { out += "\n" + String(repeating: indent, count: depth) }
    out += close
  }

  private static func quote(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case "\0"..<" ":
        out += "\\u00" + [UInt8(scalar.value)].hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(nilLiteral: ()) { self = .null }

  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { _, last in last }))
  }
}
