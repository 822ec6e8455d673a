// SPDX-License-Identifier: Apache-2.0
// The parser's statements, and the entries of sections.

import IR

extension Parser {
  mutating func body() throws(Diagnostic) -> SyntaxBody {
    let (statements, open, close) = try braces { parser throws(Diagnostic) in
      try parser.statement()
    }
    return SyntaxBody(statements: statements, open: open, close: close)
  }

  mutating func statement() throws(Diagnostic) -> SyntaxStatement {
    let start = current.position
    let kind: SyntaxStatement.Kind
    switch current.kind {
    case .keyword("option"):
      advance()
      kind = .option(
        try commaSeparated { parser throws(Diagnostic) in
          let name = try parser.name("the option's name")
          let value: SyntaxExpression? = parser.take("=") ? try parser.expression() : nil
          return SyntaxBinding(name: name, value: value)
        })
    case .keyword("param"): kind = try param()
    case .keyword("part"):
      advance()
      kind = .part(
        try commaSeparated { parser throws(Diagnostic) in
          let name = try parser.name("the part's name")
          let family = try parser.family()
          try parser.expect("=")
          let block = try parser.name("a block")
          guard parser.at("(") else { throw parser.unexpected("'(' with the part's options") }
          return SyntaxPart(
            name: name, family: family, block: block, arguments: try parser.arguments())
        })
    case .keyword("if"): kind = try conditional()
    case .keyword("for"):
      advance()
      let name = try name("the loop's name")
      try expect(keyword: "in")
      let list = try expression()
      kind = .loop(name, list, try body())
    case .keyword("return"):
      advance()
      kind = .returning(try commaSeparated { parser throws(Diagnostic) in try parser.expression() })
    case .keyword(let word)
    where ["block", "forward", "const", "include", "needs", "variant", "model"].contains(word):
      throw error(.misplaced, "'\(word)' stands at the top of a file, not in a body")
    case .keyword("else"):
      throw error(.unexpectedToken, "'else' without an 'if' before it")
    case .name: kind = try assignment()
    default: throw unexpected("a statement")
    }
    return SyntaxStatement(kind: kind, position: start, end: lastEnd)
  }

  private mutating func assignment() throws(Diagnostic) -> SyntaxStatement.Kind {
    let targets = try commaSeparated { parser throws(Diagnostic) in
      let name = try parser.name()
      guard parser.take("[") else { return SyntaxTarget(name: name, index: nil) }
      let index = try parser.expression()
      try parser.expect("]")
      return SyntaxTarget(name: name, index: index)
    }
    guard at("=") else {
      throw error(
        .unexpectedToken, "expected '=', found \(current.spelling)",
        suggestion: "a statement is a declaration, if, for, return, or 'name = value'")
    }
    advance()
    return .assignment(targets, try expression())
  }

  private mutating func param() throws(Diagnostic) -> SyntaxStatement.Kind {
    advance()
    let params = try commaSeparated { parser throws(Diagnostic) in
      let name = try parser.name("the param's name")
      let family = try parser.family()
      guard parser.at("[") else { throw parser.unexpected("the param's shape, such as [dim]") }
      return SyntaxParam(name: name, family: family, shape: try parser.shape())
    }
    var initial: SyntaxWord?
    var group: SyntaxName?
    while case .name(let word) = current.kind {
      let place = current.position
      switch word {
      case "init" where initial == nil:
        advance()
        initial = SyntaxWord(
          name: try name("an init"), arguments: at("(") ? try arguments() : nil)
      case "group" where group == nil:
        advance()
        group = try name("a group")
      case "init", "group":
        throw error(.duplicateEntry, "'\(word)' is given twice", at: place)
      default:
        throw error(
          .unexpectedToken, "'\(word)' is no attribute of a param",
          suggestion: suggestion(for: word, among: ["init", "group"])
            ?? "the attributes are init and group")
      }
    }
    return .param(params, initial: initial, group: group)
  }

  /// `[name in list]`; a shape does not have the `in`.
  private mutating func family() throws(Diagnostic) -> SyntaxFamily? {
    guard at("["), case .name = token(ahead: 1).kind, token(ahead: 2).kind == .keyword("in") else {
      return nil
    }
    advance()
    let name = try name()
    try expect(keyword: "in")
    let list = try expression()
    try expect("]")
    return SyntaxFamily(name: name, list: list)
  }

  private mutating func conditional() throws(Diagnostic) -> SyntaxStatement.Kind {
    advance()
    let condition = try expression()
    let then = try body()
    guard take(keyword: "else") else { return .conditional(condition, then, otherwise: nil) }
    let start = current.position
    let kind: SyntaxStatement.Kind =
      at(keyword: "if")
      ? try nested { parser throws(Diagnostic) in try parser.conditional() }
      : .otherwise(try body())
    return .conditional(
      condition, then,
      otherwise: SyntaxStatement(kind: kind, position: start, end: lastEnd))
  }

  // MARK: Sections

  mutating func entries() throws(Diagnostic) -> SyntaxEntries {
    let (entries, open, close) = try braces { parser throws(Diagnostic) in try parser.entry() }
    return SyntaxEntries(entries: entries, open: open, close: close)
  }

  mutating func entry() throws(Diagnostic) -> SyntaxEntry {
    let start = current.position
    if take(keyword: "if") {
      let condition = try expression()
      let then = try entries()
      var otherwise: SyntaxEntry?
      if take(keyword: "else") {
        let place = current.position
        if at("{") {
          let entries = try entries()
          otherwise = SyntaxEntry(kind: .otherwise(entries), position: place, end: lastEnd)
        } else {
          otherwise = try nested { parser throws(Diagnostic) in try parser.entry() }
        }
      }
      return SyntaxEntry(
        kind: .conditional(condition, then, otherwise: otherwise), position: start, end: lastEnd)
    }
    var atoms: [SyntaxAtom] = []
    while !at("{"), !at("}"), current.kind != .newline, current.kind != .end {
      atoms.append(try atom())
    }
    if atoms.isEmpty { throw unexpected("an entry") }
    let nestedEntries: SyntaxEntries? = at("{") ? try entries() : nil
    return SyntaxEntry(kind: .plain(atoms, nestedEntries), position: start, end: lastEnd)
  }

  mutating func atom() throws(Diagnostic) -> SyntaxAtom {
    let place = current.position
    switch current.kind {
    case .number(let value, let spelling):
      advance()
      return SyntaxAtom(kind: .number(value, spelling: spelling), position: place)
    case .string(let text):
      advance()
      return SyntaxAtom(kind: .string(text), position: place)
    case .name(let text):
      advance()
      let kind: SyntaxAtom.Kind = at("(") ? .call(text, try arguments()) : .name(text)
      return SyntaxAtom(kind: kind, position: place)
    case .keyword("or"):
      // `stop at 100 steps or 60 s`: the one reserved word that entries use.
      advance()
      return SyntaxAtom(kind: .name("or"), position: place)
    case .symbol("["):
      advance()
      let elements = try list(until: "]") { parser throws(Diagnostic) in try parser.expression() }
      return SyntaxAtom(kind: .list(elements), position: place)
    case .symbol("-"), .symbol("+"), .symbol("*"), .symbol("/"), .symbol("//"), .symbol("("):
      throw error(
        .unexpectedToken, "no arithmetic in an entry",
        suggestion: "give the value a name with const")
    default: throw unexpected("a word, number or pattern of the entry")
    }
  }
}
