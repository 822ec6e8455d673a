// SPDX-License-Identifier: Apache-2.0
// The parser's expressions, loosest binding first.

import IR

extension Parser {
  /// How high the tree of an expression may grow; trees are walked recursively.
  private static let highest = 500

  mutating func expression() throws(Diagnostic) -> SyntaxExpression {
    try nested { parser throws(Diagnostic) in try parser.pipes() }
  }

  private mutating func pipes() throws(Diagnostic) -> SyntaxExpression {
    var value = try or()
    while at("|>") {
      try limit(value)
      let place = current.position
      advance()
      guard case .name = current.kind else {
        throw error(.pipeNeedsCall, "expected an op or part after '|>', found \(current.spelling)")
      }
      let callee = try callee()
      let arguments: [SyntaxArgument]? = at("(") ? try arguments() : nil
      value = SyntaxExpression(kind: .pipe(value, callee, arguments), position: place)
      if case .symbol(let symbol) = current.kind,
        ["+", "-", "*", "/", "//", "==", "!=", "<", "<=", ">", ">=", "..<", "[", "(", "."]
          .contains(symbol)
      {
        throw error(
          .pipeNeedsCall, "after a pipe stands a call, not '\(symbol)'",
          suggestion: "put the whole pipe in parentheses: (a |> f) \(symbol) …")
      }
    }
    return value
  }

  /// `name { "." name | "[" expr "]" }`.
  private mutating func callee() throws(Diagnostic) -> SyntaxExpression {
    let first = try name()
    var value = SyntaxExpression(kind: .name(first.text), position: first.position)
    while at(".") || at("[") {
      try limit(value)
      let place = current.position
      if take(".") {
        value = SyntaxExpression(kind: .member(value, try memberName()), position: place)
      } else {
        advance()
        let index = try expression()
        try expect("]")
        value = SyntaxExpression(kind: .index(value, [.at(index)]), position: place)
      }
    }
    return value
  }

  /// Refuses one more operator on top of an expression that is high already.
  private func limit(_ operand: SyntaxExpression) throws(Diagnostic) {
    if operand.height > Parser.highest {
      throw error(
        .tooDeep, "more than \(Parser.highest) operators inside each other in one expression",
        suggestion: "give a part of it a name")
    }
  }

  private mutating func leftAssociative(
    _ operators: Set<String>, _ operand: (inout Parser) throws(Diagnostic) -> SyntaxExpression
  ) throws(Diagnostic) -> SyntaxExpression {
    var left = try operand(&self)
    while let spelled = operatorHere, operators.contains(spelled) {
      try limit(left)
      let place = current.position
      advance()
      let right = try operand(&self)
      left = SyntaxExpression(kind: .binary(spelled, left, right), position: place)
    }
    return left
  }

  private var operatorHere: String? {
    switch current.kind {
    case .symbol(let symbol): symbol
    case .keyword(let word) where ["and", "or", "in"].contains(word): word
    default: nil
    }
  }

  private mutating func or() throws(Diagnostic) -> SyntaxExpression {
    try leftAssociative(["or"]) { parser throws(Diagnostic) in try parser.and() }
  }

  private mutating func and() throws(Diagnostic) -> SyntaxExpression {
    try leftAssociative(["and"]) { parser throws(Diagnostic) in try parser.not() }
  }

  private mutating func not() throws(Diagnostic) -> SyntaxExpression {
    let place = current.position
    guard take(keyword: "not") else { return try compare() }
    let operand = try nested { parser throws(Diagnostic) in try parser.not() }
    return SyntaxExpression(kind: .unary("not", operand), position: place)
  }

  private static let comparisons: Set<String> = ["==", "!=", "<", "<=", ">", ">=", "in"]

  private mutating func compare() throws(Diagnostic) -> SyntaxExpression {
    let left = try range()
    guard let spelled = operatorHere, Parser.comparisons.contains(spelled) else { return left }
    let place = current.position
    advance()
    let right = try range()
    if let again = operatorHere, Parser.comparisons.contains(again) {
      throw error(
        .unexpectedToken, "comparisons do not chain",
        suggestion: "join two comparisons with 'and'")
    }
    return SyntaxExpression(kind: .binary(spelled, left, right), position: place)
  }

  private mutating func range() throws(Diagnostic) -> SyntaxExpression {
    let left = try sum()
    guard at("..<") else { return left }
    let place = current.position
    advance()
    return SyntaxExpression(kind: .binary("..<", left, try sum()), position: place)
  }

  private mutating func sum() throws(Diagnostic) -> SyntaxExpression {
    try leftAssociative(["+", "-"]) { parser throws(Diagnostic) in try parser.product() }
  }

  private mutating func product() throws(Diagnostic) -> SyntaxExpression {
    try leftAssociative(["*", "/", "//"]) { parser throws(Diagnostic) in try parser.unary() }
  }

  private mutating func unary() throws(Diagnostic) -> SyntaxExpression {
    let place = current.position
    guard take("-") else { return try postfix() }
    let operand = try nested { parser throws(Diagnostic) in try parser.unary() }
    return SyntaxExpression(kind: .unary("-", operand), position: place)
  }

  private mutating func postfix() throws(Diagnostic) -> SyntaxExpression {
    var value = try primary()
    while true {
      let place = current.position
      if at("(") {
        try limit(value)
        value = SyntaxExpression(kind: .call(value, try arguments()), position: value.position)
      } else if take("[") {
        try limit(value)
        let subscripts = try list(until: "]") { parser throws(Diagnostic) in
          try parser.subscriptElement()
        }
        if subscripts.isEmpty { throw error(.unexpectedToken, "an index is missing", at: place) }
        value = SyntaxExpression(kind: .index(value, subscripts), position: value.position)
      } else if take(".") {
        try limit(value)
        value = SyntaxExpression(kind: .member(value, try memberName()), position: value.position)
      } else {
        return value
      }
    }
  }

  private mutating func memberName() throws(Diagnostic) -> String {
    if case .number(_, let spelling) = current.kind {
      throw error(
        .unexpectedToken, "expected a name after '.', found '\(spelling)'",
        suggestion: "families are indexed: write [\(spelling)]")
    }
    return try name("a member").text
  }

  private mutating func subscriptElement() throws(Diagnostic) -> SyntaxSubscript {
    let place = current.position
    if take("...") { return .ellipsis(place) }
    let lower: SyntaxExpression? = at(":") ? nil : try expression()
    guard take(":") else {
      guard let lower else { throw unexpected("an index") }
      return .at(lower)
    }
    let upper: SyntaxExpression? = at(",") || at("]") ? nil : try expression()
    return .slice(lower, upper, place)
  }

  private mutating func primary() throws(Diagnostic) -> SyntaxExpression {
    let place = current.position
    switch current.kind {
    case .number(let value, let spelling):
      advance()
      return SyntaxExpression(kind: .number(value, spelling: spelling), position: place)
    case .string(let text):
      advance()
      return SyntaxExpression(kind: .string(text), position: place)
    case .keyword("true"), .keyword("false"):
      defer { advance() }
      return SyntaxExpression(kind: .bool(at(keyword: "true")), position: place)
    case .name(let text):
      advance()
      return SyntaxExpression(kind: .name(text), position: place)
    case .symbol("("):
      advance()
      let inner = try expression()
      guard at(")") else { throw unexpected("')'") }
      advance()
      return SyntaxExpression(kind: .parentheses(inner), position: place)
    case .symbol("["):
      advance()
      let elements = try list(until: "]") { parser throws(Diagnostic) in try parser.expression() }
      return SyntaxExpression(kind: .list(elements), position: place)
    default: throw unexpected("a value")
    }
  }

  mutating func arguments() throws(Diagnostic) -> [SyntaxArgument] {
    try expect("(")
    return try list(until: ")") { parser throws(Diagnostic) in
      var label: SyntaxName?
      if case .name = parser.current.kind, parser.token(ahead: 1).kind == .symbol(":") {
        label = try parser.name()
        parser.advance()
      }
      return SyntaxArgument(label: label, value: try parser.expression())
    }
  }
}
