// SPDX-License-Identifier: Apache-2.0
// Recursive descent over the tokens: the entry point, token access, recovery, and the items of a
// file. Statements are in ParserStatements.swift, expressions in ParserExpressions.swift.

import IR

/// Parses a source text; throws every syntax error found in it.
public func parseGraph(_ source: SourceFile) throws(Diagnostics) -> SyntaxFile {
  try parseGraph(source, firstLine: 1)
}

/// Parses some lines of a text, which begin at line `start` of it, counted from 0.
func parseGraph(
  _ path: String, lines: some Sequence<String>, from start: Int
) throws(Diagnostics) -> SyntaxFile {
  let text = lines.joined(separator: "\n")
  return try parseGraph(SourceFile(path: path, text: text), firstLine: start + 1)
}

private func parseGraph(
  _ source: SourceFile, firstLine: Int
) throws(Diagnostics) -> SyntaxFile {
  var parser = Parser(source, firstLine: firstLine)
  let lexical = Set(parser.diagnostics.compactMap(\.location?.line))
  let file = parser.file()
  // What the parser makes of a line with a lexical error is noise.
  parser.diagnostics.removeAll { diagnostic in
    diagnostic.code == .unexpectedToken && lexical.contains(diagnostic.location?.line ?? 0)
  }
  if !parser.diagnostics.isEmpty { throw Diagnostics(parser.diagnostics, sources: [source]) }
  return file
}

/// Parses one expression on its own, such as the value of `--set`.
public func parseExpression(_ source: SourceFile) throws(Diagnostics) -> SyntaxExpression {
  var parser = Parser(source)
  do throws(Diagnostic) {
    parser.skipLineEnds()
    let expression = try parser.expression()
    parser.skipLineEnds()
    if parser.current.kind != .end { throw parser.unexpected("the end of the expression") }
    if parser.diagnostics.isEmpty { return expression }
  } catch {
    parser.diagnostics.append(error)
  }
  throw Diagnostics(parser.diagnostics, sources: [source])
}

struct Parser {
  let path: String
  let tokens: [Token]
  let comments: [SyntaxComment]
  var next = 0
  var depth = 0
  var diagnostics: [Diagnostic]

  init(_ source: SourceFile, firstLine: Int = 1) {
    let lexer = Lexer(source, firstLine: firstLine)
    path = source.path
    tokens = lexer.tokens
    comments = lexer.comments
    diagnostics = lexer.diagnostics
  }

  // MARK: Tokens

  var current: Token { tokens[next] }

  func token(ahead: Int) -> Token { tokens[min(next + ahead, tokens.count - 1)] }

  /// Where the last consumed token ends.
  var lastEnd: SyntaxPosition { next > 0 ? tokens[next - 1].end : current.position }

  mutating func advance() { if next < tokens.count - 1 { next += 1 } }

  func at(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }

  func at(keyword: String) -> Bool { current.kind == .keyword(keyword) }

  mutating func take(_ symbol: String) -> Bool {
    guard at(symbol) else { return false }
    advance()
    return true
  }

  mutating func take(keyword: String) -> Bool {
    guard at(keyword: keyword) else { return false }
    advance()
    return true
  }

  @discardableResult
  mutating func expect(_ symbol: String) throws(Diagnostic) -> SyntaxPosition {
    guard at(symbol) else { throw unexpected("'\(symbol)'") }
    defer { advance() }
    return current.position
  }

  mutating func expect(keyword: String) throws(Diagnostic) {
    guard take(keyword: keyword) else { throw unexpected("'\(keyword)'") }
  }

  mutating func name(_ what: String = "a name") throws(Diagnostic) -> SyntaxName {
    switch current.kind {
    case .name(let text):
      defer { advance() }
      return SyntaxName(text: text, position: current.position)
    case .keyword(let word):
      throw error(.reservedWord, "'\(word)' is reserved and cannot be \(what)")
    default: throw unexpected(what)
    }
  }

  func error(
    _ code: DiagnosticCode, _ message: String, at place: SyntaxPosition? = nil,
    suggestion: String? = nil
  ) -> Diagnostic {
    let place = place ?? current.position
    return Diagnostic(
      code, message, at: SourceLocation(path: path, line: place.line, column: place.column),
      suggestion: suggestion)
  }

  func unexpected(_ expected: String) -> Diagnostic {
    var suggestion: String?
    if case .symbol(let symbol) = current.kind {
      switch symbol {
      case "+", "-", "*", "/", "//", "==", "<", ">":
        suggestion = "a line cannot begin with '\(symbol)': put it at the end of the line before"
      default: break
      }
    }
    return error(
      .unexpectedToken, "expected \(expected), found \(current.spelling)", suggestion: suggestion)
  }

  /// Keeps an error, up to as many as anybody reads.
  mutating func report(_ error: Diagnostic) {
    if diagnostics.count < Diagnostics.limit { diagnostics.append(error) }
  }

  // MARK: Line ends and recovery

  mutating func skipLineEnds() { while current.kind == .newline { advance() } }

  /// Consumes the end of a statement: a line end, or nothing before `}` and the end of the file.
  mutating func endOfStatement() throws(Diagnostic) {
    if at("}") || current.kind == .end { return }
    guard current.kind == .newline else { throw unexpected("the end of the line") }
    skipLineEnds()
  }

  /// Skips to the end of the statement in which an error was found, over bodies in braces.
  mutating func recover() {
    var nesting = 0
    while current.kind != .end {
      if nesting == 0, current.kind == .newline || at("}") { break }
      if at("{") { nesting += 1 }
      if at("}") { nesting -= 1 }
      advance()
    }
    skipLineEnds()
  }

  /// Runs `parse` one level deeper.
  mutating func nested<Result>(
    _ parse: (inout Parser) throws(Diagnostic) -> Result
  ) throws(Diagnostic) -> Result {
    guard depth < 60 else {
      throw error(.tooDeep, "nested more than 60 levels deep", suggestion: "name inner parts")
    }
    depth += 1
    defer { depth -= 1 }
    return try parse(&self)
  }

  /// Parses `element` between `{` and `}`, an error in one leaving the others.
  mutating func braces<Element>(
    _ element: (inout Parser) throws(Diagnostic) -> Element
  ) throws(Diagnostic) -> (elements: [Element], open: SyntaxPosition, close: SyntaxPosition) {
    let open = try expect("{")
    var elements: [Element] = []
    skipLineEnds()
    while !at("}"), current.kind != .end {
      let start = next
      do throws(Diagnostic) {
        elements.append(try nested(element))
        try endOfStatement()
      } catch {
        report(error)
        recover()
        if next == start { advance() }
      }
    }
    let close = try expect("}")
    return (elements, open, close)
  }

  // MARK: Items

  mutating func file() -> SyntaxFile {
    var file = SyntaxFile(path: path, model: nil, items: [], comments: comments)
    skipLineEnds()
    if at(keyword: "model") {
      do throws(Diagnostic) {
        advance()
        file.model = try name("the model's name")
        try endOfStatement()
      } catch {
        report(error)
        recover()
      }
    }
    while current.kind != .end {
      let start = next
      do throws(Diagnostic) {
        file.items.append(try item())
        try endOfStatement()
        if at("}") { throw unexpected("a declaration") }
      } catch {
        report(error)
        recover()
        if next == start || at("}") { advance() }
        skipLineEnds()
      }
    }
    return file
  }

  private mutating func item() throws(Diagnostic) -> SyntaxItem {
    let start = current.position
    let kind: SyntaxItem.Kind
    switch current.kind {
    case .keyword("model"):
      throw error(
        .misplaced, "'model' stands once, before everything else",
        suggestion: "a file without it is a library")
    case .keyword("include"):
      advance()
      guard case .string(let path) = current.kind else { throw unexpected("a path in quotes") }
      advance()
      kind = .include(path)
    case .keyword("needs"):
      advance()
      kind = .needs(try commaSeparated { parser throws(Diagnostic) in try parser.name() })
    case .keyword("const"):
      advance()
      kind = .const(
        try commaSeparated { parser throws(Diagnostic) in
          let name = try parser.name("the const's name")
          try parser.expect("=")
          return SyntaxBinding(name: name, value: try parser.expression())
        })
    case .keyword("preset"):
      advance()
      let name = try name("the preset's name")
      let (bindings, open, close) = try bindings()
      kind = .preset(name, bindings, open: open, close: close)
    case .keyword("variant"): kind = try variant()
    case .keyword("block"):
      advance()
      let name = try name("the block's name")
      kind = .block(name, try inputs(), try body())
    case .keyword("forward"):
      advance()
      let inputs = try inputs()
      try expect("->")
      kind = .forward(inputs, try type(), try body())
    case .name(let word) where isSection(word):
      let section = try name()
      var variety: SyntaxName? = at("{") ? nil : try name("the section's kind")
      var preset: SyntaxName?
      if variety?.text == "under", !at("{") {
        (preset, variety) = (try name("the preset's name"), nil)
      }
      kind = .section(section, kind: variety, under: preset, try entries())
    default: kind = .statement(try statement())
    }
    return SyntaxItem(kind: kind, position: start, end: lastEnd)
  }

  /// `train {`, `ttt score_first {` or `expect under small {`: no statement begins like this.
  private func isSection(_ word: String) -> Bool {
    let names = (1...2).prefix { if case .name = token(ahead: $0).kind { true } else { false } }
    return token(ahead: names.count + 1).kind == .symbol("{")
  }

  /// `{ const = value … }`.
  private mutating func bindings() throws(Diagnostic) -> (
    elements: [SyntaxBinding], open: SyntaxPosition, close: SyntaxPosition
  ) {
    try braces { parser throws(Diagnostic) in try parser.binding() }
  }

  private mutating func binding() throws(Diagnostic) -> SyntaxBinding {
    let name = try name("a const's name")
    try expect("=")
    return SyntaxBinding(name: name, value: try expression())
  }

  private mutating func variant() throws(Diagnostic) -> SyntaxItem.Kind {
    advance()
    let name = try name("the variant's name")
    guard case .name("from") = current.kind else { throw unexpected("'from'") }
    advance()
    var atoms: [SyntaxAtom] = []
    while !at("{"), current.kind != .newline, current.kind != .end { atoms.append(try atom()) }
    if atoms.isEmpty { throw unexpected("the variant's start") }
    var bindings: [SyntaxBinding] = []
    let (entries, open, close) = try braces { parser throws(Diagnostic) -> SyntaxEntry? in
      guard case .name = parser.current.kind, parser.token(ahead: 1).kind == .symbol("=") else {
        return try parser.entry()
      }
      bindings.append(try parser.binding())
      return nil
    }
    let body = SyntaxEntries(entries: entries.compactMap(\.self), open: open, close: close)
    return .variant(SyntaxVariant(name: name, start: atoms, bindings: bindings, entries: body))
  }

  mutating func inputs() throws(Diagnostic) -> [SyntaxInput] {
    try expect("(")
    let inputs = try list(until: ")") { parser throws(Diagnostic) in
      let name = try parser.name("an input's name")
      let type: SyntaxType? = parser.take(":") ? try parser.type() : nil
      let value: SyntaxExpression? = parser.take("=") ? try parser.expression() : nil
      return SyntaxInput(name: name, type: type, value: value)
    }
    return inputs
  }

  mutating func type() throws(Diagnostic) -> SyntaxType {
    var word: SyntaxName?
    if case .name(let text) = current.kind {
      guard ["tokens", "index", "dist"].contains(text) else {
        throw error(
          .unexpectedToken, "'\(text)' is not a type",
          suggestion: suggestion(for: text, among: ["tokens", "index", "dist"])
            ?? "a type is a shape [B, T], or one after tokens, index or dist")
      }
      word = try name()
    }
    return SyntaxType(word: word, shape: try shape())
  }

  mutating func shape() throws(Diagnostic) -> [SyntaxExpression] {
    try expect("[")
    return try list(until: "]") { parser throws(Diagnostic) in try parser.expression() }
  }

  // MARK: Lists

  /// `element { "," element }`, a comma at the end of a line continuing it.
  mutating func commaSeparated<Element>(
    _ element: (inout Parser) throws(Diagnostic) -> Element
  ) throws(Diagnostic) -> [Element] {
    var elements = [try element(&self)]
    while take(",") { elements.append(try element(&self)) }
    return elements
  }

  /// Elements up to the closer, which is consumed; a trailing comma is allowed.
  mutating func list<Element>(
    until closer: String, _ element: (inout Parser) throws(Diagnostic) -> Element
  ) throws(Diagnostic) -> [Element] {
    var elements: [Element] = []
    while !at(closer) {
      elements.append(try nested(element))
      guard take(",") else { break }
    }
    guard at(closer) else { throw unexpected("',' or '\(closer)'") }
    advance()
    return elements
  }
}
