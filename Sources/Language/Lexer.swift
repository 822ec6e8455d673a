// SPDX-License-Identifier: Apache-2.0
// Text to tokens: numbers, strings, names, symbols, and the rule for line ends. Comments are kept
// aside.

import IR

/// Splits a source text into tokens and comments. All line-end rules are decided here.
struct Lexer {
  private let path: String
  private let scalars: [Unicode.Scalar]
  private var index = 0
  private var line: Int
  private var column = 1
  private var open: [Token] = []
  private(set) var tokens: [Token] = []
  private(set) var comments: [SyntaxComment] = []
  private(set) var diagnostics: [Diagnostic] = []

  init(_ source: SourceFile, firstLine: Int) {
    path = source.path
    line = firstLine
    scalars = Array(source.text.unicodeScalars)
    run()
  }

  private var position: SyntaxPosition {
    SyntaxPosition(line: line, column: column, offset: index)
  }

  private func peek(_ ahead: Int = 0) -> Unicode.Scalar? {
    index + ahead < scalars.count ? scalars[index + ahead] : nil
  }

  private mutating func advance() {
    if scalars[index] == "\n" {
      line += 1
      column = 1
    } else {
      column += 1
    }
    index += 1
  }

  private mutating func run() {
    while let scalar = peek() {
      let start = position
      switch scalar {
      case " ", "\t", "\r": advance()
      case "\n":
        advance()
        add(.newline, from: start)
      case ";":
        advance()
        add(.newline, from: start)
      case "#": comment()
      case "\"": string()
      case "0"..."9": number()
      case _ where Lexer.beginsName(scalar): name()
      default: symbol()
      }
    }
    close(open.count, at: position, what: "the end of the file")
    add(.newline, from: position)
    tokens.append(Token(kind: .end, position: position, end: position))
    removeIgnoredLineEnds()
  }

  private static func beginsName(_ scalar: Unicode.Scalar) -> Bool {
    ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
  }

  private static func isDigit(_ scalar: Unicode.Scalar?) -> Bool {
    scalar.map { ("0"..."9").contains($0) } ?? false
  }

  private static func continuesName(_ scalar: Unicode.Scalar?) -> Bool {
    scalar.map { beginsName($0) || isDigit($0) } ?? false
  }

  private func text(_ range: Range<Int>) -> String {
    String(String.UnicodeScalarView(scalars[range]))
  }

  private mutating func add(_ kind: Token.Kind, from start: SyntaxPosition) {
    let token = Token(kind: kind, position: start, end: position)
    match(token)
    tokens.append(token)
  }

  private mutating func report(
    _ code: DiagnosticCode, _ message: String, at place: SyntaxPosition, suggestion: String? = nil,
    notes: [Diagnostic.Note] = []
  ) {
    guard diagnostics.count < Diagnostics.limit else { return }
    diagnostics.append(
      Diagnostic(code, message, at: location(place), notes: notes, suggestion: suggestion))
  }

  private func location(_ place: SyntaxPosition) -> SourceLocation {
    SourceLocation(path: path, line: place.line, column: place.column)
  }

  private mutating func comment() {
    let start = position
    while let scalar = peek(), scalar != "\n" { advance() }
    var end = index
    while end > start.offset, [" ", "\t", "\r"].contains(scalars[end - 1]) { end -= 1 }
    comments.append(SyntaxComment(text: text(start.offset..<end), position: start))
  }

  private mutating func string() {
    let start = position
    advance()
    while let scalar = peek(), scalar != "\"", scalar != "\n" { advance() }
    let content = text((start.offset + 1)..<index)
    if peek() == "\"" {
      advance()
    } else {
      report(.unterminatedString, "the string has no closing '\"' on its line", at: start)
    }
    add(.string(content), from: start)
  }

  private mutating func number() {
    let start = position
    func digits(_ lexer: inout Lexer) {
      while Lexer.isDigit(lexer.peek()) || lexer.peek() == "_" { lexer.advance() }
    }
    digits(&self)
    if tokens.last?.kind == .symbol(".") {
      // `blocks.3.attn`: the parser says what to write instead.
    } else if peek() == ".", Lexer.isDigit(peek(1)) {
      advance()
      digits(&self)
    } else if peek() == ".", peek(1) != "." {
      let dot = position
      advance()
      report(
        .malformedNumber, "a number needs a digit on both sides of its point", at: dot,
        suggestion: "write \(text(start.offset..<(index - 1))).0")
    }
    if peek() == "e" || peek() == "E" {
      let signed = peek(1) == "-" || peek(1) == "+"
      if Lexer.isDigit(peek(signed ? 2 : 1)) {
        advance()
        if signed { advance() }
        digits(&self)
      }
    }
    if Lexer.continuesName(peek()) {
      while Lexer.continuesName(peek()) { advance() }
      report(
        .malformedNumber, "'\(text(start.offset..<index))' is neither a number nor a name",
        at: start)
      add(.number(0, spelling: "0"), from: start)
      return
    }
    let spelling = text(start.offset..<index)
    var cleaned = spelling.filter { $0 != "_" }
    if cleaned.last == "." { cleaned.append("0") }
    let value = Double(cleaned) ?? .infinity
    if spelling.last == "_" || spelling.contains("__") || !value.isFinite {
      report(.malformedNumber, "'\(spelling)' is not a number", at: start)
    }
    add(.number(value.isFinite ? value : 0, spelling: spelling), from: start)
  }

  private mutating func name() {
    let start = position
    while Lexer.continuesName(peek()) { advance() }
    let word = text(start.offset..<index)
    add(Token.reservedWords.contains(word) ? .keyword(word) : .name(word), from: start)
  }

  private mutating func symbol() {
    let start = position
    for symbol in Token.symbols {
      let length = symbol.unicodeScalars.count
      guard index + length <= scalars.count, text(index..<(index + length)) == symbol else {
        continue
      }
      for _ in 0..<length { advance() }
      add(.symbol(symbol), from: start)
      return
    }
    let scalar = scalars[index]
    advance()
    let suggestion =
      switch scalar {
      case "'": "strings stand in double quotes"
      case "!": "write 'not'"
      case "&": "write 'and'"
      case "|": "write 'or', or |> for a pipe"
      case "%": "there is no remainder; a - a // b * b gives it"
      default: nil as String?
      }
    report(
      .unexpectedCharacter, "unexpected character '\(scalar)'", at: start, suggestion: suggestion)
  }

  // MARK: Delimiters and line ends

  private static let partner = ["(": ")", "[": "]", "{": "}"]

  /// Keeps the stack of open delimiters; closes those that the token shows to be forgotten.
  private mutating func match(_ token: Token) {
    switch token.kind {
    case .symbol("("), .symbol("["), .symbol("{"): open.append(token)
    case .symbol("}"):
      // It closes a body even if a ( or [ in it was forgotten.
      guard let body = open.lastIndex(where: { $0.kind == .symbol("{") }) else {
        close(open.count, at: token.position, what: "'}'")
        return
      }
      close(open.count - body - 1, at: token.position, what: "'}'")
      open.removeLast()
    case .symbol(let closer) where [")", "]"].contains(closer):
      // A mismatch is the parser's.
      if case .symbol(let symbol)? = open.last?.kind, Lexer.partner[symbol] == closer {
        open.removeLast()
      }
    case .keyword(let word) where Token.statementWords.contains(word) && beginsLine:
      let body = open.lastIndex { $0.kind == .symbol("{") } ?? -1
      close(open.count - body - 1, at: token.position, what: "'\(word)'")
    default: break
    }
  }

  private var beginsLine: Bool { tokens.last.map { $0.kind == .newline } ?? true }

  /// Reports the innermost openers, `count` of them, and puts their partners at the end of the last
  /// line that had tokens; a `}` stands in a line of its own.
  private mutating func close(_ count: Int, at place: SyntaxPosition, what: String) {
    let openers = open.suffix(count).reversed()
    open.removeLast(count)
    guard openers.first != nil else { return }
    var lineEnds: [Token] = []
    while tokens.last?.kind == .newline { lineEnds.append(tokens.removeLast()) }
    for opener in openers {
      guard case .symbol(let symbol) = opener.kind, let closer = Lexer.partner[symbol] else {
        continue
      }
      report(
        .unclosedDelimiter, "'\(symbol)' is never closed", at: opener.position,
        suggestion: "'\(closer)' is missing before \(what) in line \(place.line)")
      if symbol == "{" {
        tokens += lineEnds.reversed()
        lineEnds = []
      }
      let at = tokens.last?.end ?? place
      tokens.append(Token(kind: .symbol(closer), position: at, end: at))
    }
    tokens += lineEnds.reversed()
  }

  /// Drops the line ends inside ( ) and [ ], after a token that continues, and before `|>` and
  /// `else`.
  private mutating func removeIgnoredLineEnds() {
    // Whether the first token behind a line end, other line ends apart, goes on with the statement.
    var goesOn = [Bool](repeating: false, count: tokens.count)
    var next = false
    for (index, token) in tokens.enumerated().reversed() {
      if token.kind == .newline {
        goesOn[index] = next
      } else {
        next = token.kind == .symbol("|>") || token.kind == .keyword("else")
      }
    }
    var kept: [Token] = []
    var nesting: [Bool] = []  // whether line ends count
    for (index, token) in tokens.enumerated() {
      switch token.kind {
      case .symbol("("), .symbol("["): nesting.append(false)
      case .symbol("{"): nesting.append(true)
      case .symbol(")"), .symbol("]"), .symbol("}"): _ = nesting.popLast()
      case .newline:
        guard nesting.last ?? true, !goesOn[index], kept.last.map({ !$0.continuesLine }) ?? true
        else { continue }
      default: break
      }
      kept.append(token)
    }
    tokens = kept
  }
}
