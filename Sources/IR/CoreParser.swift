// SPDX-License-Identifier: Apache-2.0
// Reads the core form: functions as CorePrinter writes them. Checks every op through the builder.

/// Reads functions in core form from lines of text.
public struct CoreParser {
  private let path: String
  private let lines: [String]
  private var lineIndex: Int
  var rest: Substring = ""
  private var builder = Builder(name: "")
  private var named: [String: Value] = [:]

  /// Reads a text from its beginning.
  public init(path: String, text: String) {
    self.init(SourceFile(path: path, text: text))
  }

  /// Reads a text from a line on, counted from 0.
  public init(_ source: SourceFile, firstLine: Int = 0) {
    path = source.path
    lines = source.lines
    lineIndex = firstLine
  }

  /// The first line, from 0, that was not read.
  public var nextLine: Int { lineIndex }

  /// Reads one function and stops at the first line that cannot belong to it.
  public mutating func function() throws(Diagnostics) -> Graph {
    do {
      return try readFunction()
    } catch let error as OpError {
      let column = (lineIndex < lines.count ? lines[lineIndex].count - rest.count : 0) + 1
      let place = SourceLocation(path: path, line: lineIndex + 1, column: column)
      throw Diagnostics([Diagnostic(.badCore, error.message, at: place)])
    } catch {
      throw Diagnostics([Diagnostic(.badCore, "\(error)", at: nil)])
    }
  }

  private mutating func readFunction() throws -> Graph {
    skipBlank()
    guard take("function ") else { throw OpError("expected 'function NAME'") }
    builder = Builder(name: try word("a function name"))
    named = [:]
    try endLine()
    while skipBlank() {
      if take("param ") {
        try declaration(.param)
      } else if take("state ") {
        try declaration(.state)
      } else if take("average ") {
        try declaration(.average)
      } else if take("input ") {
        try expect("%")
        let name = try valueName()
        try expect(":")
        if named["%" + name] != nil { throw OpError("%\(name) is declared twice") }
        named["%" + name] = builder.input(name, try type())
        try endLine()
      } else if take("write ") {
        let target = try value()
        try expect("=")
        builder.write(target, try value())
        try endLine()
      } else if take("return ") {
        let name = try word("an output name")
        try expect("=")
        builder.output(name, try value())
        try endLine()
      } else if rest.hasPrefix("%") || rest.hasPrefix("fused ") {
        try node()
      } else {
        break
      }
    }
    return builder.graph
  }

  // MARK: Lines

  @discardableResult
  private mutating func skipBlank() -> Bool {
    while lineIndex < lines.count {
      rest = lines[lineIndex][...].drop { $0 == " " }
      if !rest.isEmpty, !rest.hasPrefix("#") { return true }
      lineIndex += 1
    }
    rest = ""
    return false
  }

  private mutating func endLine() throws {
    skipSpace()
    if !rest.isEmpty { throw OpError("unexpected '\(rest.prefix(20))' at the end of the line") }
    lineIndex += 1
  }

  private mutating func location() -> String {
    skipSpace()
    guard rest.hasPrefix("at ") else { return "" }
    let text = String(rest.dropFirst(3))
    rest = ""
    return text
  }

  // MARK: Statements

  private mutating func declaration(_ role: Parameter.Role) throws {
    try expect("@")
    let path = try valueName()
    if named["@" + path] != nil { throw OpError("@\(path) is declared twice") }
    try expect(":")
    let type = try self.type()
    var group = ""
    var initial = Initializer.zeros
    var precision: Precision?
    try expect("{")
    repeat {
      let name = try word("group or init")
      try expect("=")
      switch name {
      case "group": group = try word("a group")
      case "init": initial = try initializer()
      case "precision": precision = try self.precision()
      default: throw OpError("unknown attribute \(name); group, init and precision are known")
      }
    } while take(",")
    try expect("}")
    let parameter = Parameter(
      role: role, path: path, type: type, group: group, initial: initial, precision: precision,
      location: location())
    named["@" + path] = builder.declare(parameter)
    try endLine()
  }

  private mutating func initializer() throws -> Initializer {
    let name = try word("an init")
    var numbers: [Double] = []
    if take("(") { numbers = try self.numbers(until: ")") }
    switch (name, numbers.count) {
    case ("zeros", 0): return .zeros
    case ("ones", 0): return .ones
    case ("uniform", 0): return .uniform
    case ("orthogonal", 0): return .orthogonal(1)
    case ("orthogonal", 1): return .orthogonal(numbers[0])
    case ("constant", 1): return .constant(numbers[0])
    case ("normal", 1): return .normal(numbers[0])
    case ("overtone", 1): return .overtone(numbers[0])
    case ("rows", 1...): return .rows(numbers)
    default: throw OpError("unknown init \(name) with \(numbers.count) numbers")
    }
  }

  /// Numbers with commas between, and what ends them.
  mutating func numbers(until end: String) throws -> [Double] {
    var numbers: [Double] = []
    if take(end) { return [] }
    repeat { numbers.append(try number()) } while take(",")
    try expect(end)
    return numbers
  }

  private mutating func node() throws {
    if take("fused ") {
      try expect("{")
      try endLine()
      let start = builder.graph.nodes.count
      while skipBlank(), !rest.hasPrefix("}") {
        if rest.hasPrefix("fused") || !rest.hasPrefix("%") {
          throw OpError("expected a node or '}'")
        }
        try node()
      }
      try expect("}")
      guard take("yields ") else { throw OpError("expected 'yields'") }
      var results: [Value] = []
      repeat { results.append(try value()) } while take(",")
      builder.regroup(from: start, results: results, location: location())
      return try endLine()
    }
    var names: [String] = []
    repeat {
      try expect("%")
      names.append(try valueName())
    } while take(",")
    try expect("=")
    let spelling = try word("an op")
    guard let op = Op(rawValue: spelling), op != .fused else {
      let hint = suggestion(for: spelling, among: Op.allCases.map(\.rawValue)).map { "; " + $0 }
      throw OpError("unknown op '\(spelling)'\(hint ?? "")")
    }
    try expect("(")
    var operands: [Value] = []
    if !take(")") {
      repeat { operands.append(try value()) } while take(",")
      try expect(")")
    }
    let attributes = try self.attributes(op)
    try expect(":")
    var types: [TensorType] = []
    repeat { types.append(try type()) } while take(",")
    builder.location = location()
    for name in names where named["%" + name] != nil { throw OpError("%\(name) is made twice") }
    let results = try builder.apply(op, operands, attributes, names: names)
    guard results.count == names.count else {
      throw OpError("\(op.rawValue) has \(results.count) results, found \(names.count)")
    }
    guard types.count == names.count else {
      throw OpError("\(names.count) results need as many types, found \(types.count)")
    }
    for (index, result) in results.enumerated() {
      if builder.type(result) != types[index] {
        throw OpError(
          "\(op.rawValue) makes \(builder.type(result)), the text says \(types[index])")
      }
      named["%" + names[index]] = result
    }
    try endLine()
  }

  private mutating func attributes(_ op: Op) throws -> [AttributeName: AttributeValue] {
    var attributes: [AttributeName: AttributeValue] = [:]
    guard take("{") else { return attributes }
    repeat {
      let spelling = try word("an attribute")
      let name = AttributeName(spelling)
      guard let kind = op.definition.attributes[name]
      else { throw OpError("\(op.rawValue) has no attribute \(spelling)") }
      try expect("=")
      switch kind {
      case .int:
        let value = try number()
        guard let whole = Int(exactly: value) else { throw OpError("\(spelling) must be whole") }
        attributes[name] = .int(whole)
      case .double: attributes[name] = .double(try number())
      case .bool: attributes[name] = .bool(try word("true or false") == "true")
      case .word: attributes[name] = .word(try word("a word"))
      case .doubles:
        try expect("[")
        attributes[name] = .doubles(try numbers(until: "]"))
      case .dims: attributes[name] = .dims(try dims())
      }
    } while take(",")
    try expect("}")
    return attributes
  }

  // MARK: Tokens

  mutating func skipSpace() { rest = rest.drop { $0 == " " } }

  mutating func take(_ text: String) -> Bool {
    skipSpace()
    guard rest.hasPrefix(text) else { return false }
    rest = rest.dropFirst(text.count)
    return true
  }

  mutating func expect(_ text: String) throws {
    if !take(text) {
      let found = rest.isEmpty ? "the end of the line" : "'\(rest.prefix(12))'"
      throw OpError("expected '\(text)', found \(found)")
    }
  }

  mutating func word(_ what: String) throws -> String {
    skipSpace()
    let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." || $0 == "-" }
    if word.isEmpty { throw OpError("expected \(what)") }
    rest = rest.dropFirst(word.count)
    return String(word)
  }

  private mutating func valueName() throws -> String {
    let name = rest.prefix { $0.isLetter || $0.isNumber || "_.'~".contains($0) }
    if name.isEmpty { throw OpError("expected a value name") }
    rest = rest.dropFirst(name.count)
    return String(name)
  }

  private mutating func value() throws -> Value {
    skipSpace()
    let sigil = rest.first.map(String.init) ?? ""
    guard sigil == "@" || sigil == "%" else { throw OpError("expected a value, @NAME or %NAME") }
    rest = rest.dropFirst()
    let name = try valueName()
    guard let value = named[sigil + name] else {
      throw OpError("\(sigil)\(name) is not made before this line")
    }
    return value
  }

  mutating func number() throws -> Double {
    skipSpace()
    let text = rest.prefix {
      $0.isNumber || "+-.eE".contains($0) || $0 == "i" || $0 == "n" || $0 == "f"
    }
    guard let value = Double(String(text)), value.isFinite else {
      throw OpError("expected a number")
    }
    rest = rest.dropFirst(text.count)
    return value
  }

  private mutating func dims() throws -> [Dim] {
    try expect("[")
    var dims: [Dim] = []
    if take("]") { return dims }
    repeat {
      let text = try word("a size")
      if let number = Int(text) {
        guard number >= 1, number < 1 << 40 else { throw OpError("size \(text) is out of range") }
        dims.append(.number(number))
      } else {
        dims.append(.open(text))
      }
    } while take(",")
    try expect("]")
    return dims
  }

  /// A type with fewer elements than any memory holds, so that products of its sizes are exact.
  private mutating func type() throws -> TensorType {
    let type = try spelledType()
    var count = 1
    for number in type.shape.compactMap(\.number) {
      let (product, overflow) = count.multipliedReportingOverflow(by: max(number, 1))
      if overflow || product > 1 << 40 { throw OpError("\(type) is too large") }
      count = product
    }
    return type
  }

  private mutating func spelledType() throws -> TensorType {
    let spelling = try word("a type")
    switch spelling {
    case "f32": return TensorType(.tensor, try dims())
    case "tokens": return TensorType(.tokens, try dims())
    case "dist": return TensorType(.dist, try dims())
    case "index":
      try expect("<")
      let bound = try number()
      try expect(">")
      return TensorType(.index(bound: Int(exactly: bound) ?? 0), try dims())
    default: throw OpError("unknown type \(spelling); f32, tokens, index and dist are known")
    }
  }
}
