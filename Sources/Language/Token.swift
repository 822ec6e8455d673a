// SPDX-License-Identifier: Apache-2.0
// The tokens of the graph language and its reserved words.

import IR

/// A place in a syntax tree. All places are equal: they take no part in comparing trees.
public struct SyntaxPosition: Sendable, Equatable {
  public var line: Int
  public var column: Int
  /// Scalars before it in the text.
  public var offset: Int

  public init(line: Int, column: Int, offset: Int) {
    (self.line, self.column, self.offset) = (line, column, offset)
  }

  public static func == (a: SyntaxPosition, b: SyntaxPosition) -> Bool { true }
}

/// A comment with its `#`, without trailing spaces.
public struct SyntaxComment: Sendable, Equatable {
  public let text: String
  public let position: SyntaxPosition
}

/// One token. Punctuation and operators are `.symbol`, reserved words `.keyword`.
struct Token: Sendable {
  enum Kind: Equatable, Sendable {
    case name(String)
    case keyword(String)
    case number(Double, spelling: String)
    case string(String)
    case symbol(String)
    case newline
    case end
  }

  var kind: Kind
  var position: SyntaxPosition
  /// Where the token ends.
  var end: SyntaxPosition

  /// How a message names the token.
  var spelling: String {
    switch kind {
    case .name(let name): "'\(name)'"
    case .keyword(let word): "the reserved word '\(word)'"
    case .number(_, let spelling): "'\(spelling)'"
    case .string(let text): "\"\(text)\""
    case .symbol(let symbol): "'\(symbol)'"
    case .newline: "the end of the line"
    case .end: "the end of the file"
    }
  }

  /// Words that cannot be names.
  static let reservedWords: Set<String> = [
    "model", "include", "needs", "const", "preset", "variant", "block", "forward", "option",
    "param",
    "part", "if", "else", "for", "in", "return", "and", "or", "not", "true", "false",
  ]

  /// Reserved words that begin a statement or declaration.
  static let statementWords: Set<String> = [
    "model", "include", "needs", "const", "preset", "variant", "block", "forward", "option",
    "param",
    "part", "return",
  ]

  /// Symbols, longest first, so that the first match is the longest.
  static let symbols = [
    "..<", "...", "|>", "->", "==", "!=", "<=", ">=", "//",
    "(", ")", "[", "]", "{", "}", "=", "<", ">", "+", "-", "*", "/", ",", ":", ".",
  ]

  /// Whether a line cannot end after this token, so that the statement goes on in the next line.
  var continuesLine: Bool {
    switch kind {
    case .symbol(let symbol):
      [
        "+", "-", "*", "/", "//", "==", "!=", "<", "<=", ">", ">=", "..<", "|>", ",", "=", "->",
      ].contains(symbol)
    case .keyword(let word): ["and", "or", "in"].contains(word)
    default: false
    }
  }
}
