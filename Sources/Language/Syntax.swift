// SPDX-License-Identifier: Apache-2.0
// The syntax tree of a source file, as written: names are not resolved, nothing is evaluated.
// Trees compare without their positions.

import IR

/// A name with its place.
public struct SyntaxName: Equatable, Sendable {
  public var text: String
  public var position: SyntaxPosition
}

/// An expression.
public struct SyntaxExpression: Equatable, Sendable {
  public indirect enum Kind: Equatable, Sendable {
    /// The spelling is kept for the formatter.
    case number(Double, spelling: String)
    case string(String)
    case bool(Bool)
    case name(String)
    case list([SyntaxExpression])
    case parentheses(SyntaxExpression)
    /// `-` or `not`.
    case unary(String, SyntaxExpression)
    case binary(String, SyntaxExpression, SyntaxExpression)
    case call(SyntaxExpression, [SyntaxArgument])
    case index(SyntaxExpression, [SyntaxSubscript])
    case member(SyntaxExpression, String)
    /// `value |> callee` or `value |> callee(arguments)`.
    case pipe(SyntaxExpression, SyntaxExpression, [SyntaxArgument]?)
  }

  public let kind: Kind
  /// The first token, or the operator's.
  public var position: SyntaxPosition
  /// The longest way down to a leaf. Trees are walked recursively, so the parser bounds it.
  public let height: Int

  public init(kind: Kind, position: SyntaxPosition) {
    (self.kind, self.position) = (kind, position)
    height = 1 + (kind.children.lazy.map(\.height).max() ?? 0)
  }
}

extension SyntaxExpression.Kind {
  /// The expressions inside.
  fileprivate var children: [SyntaxExpression] {
    switch self {
    case .number, .string, .bool, .name: []
    case .list(let elements): elements
    case .parentheses(let inner), .unary(_, let inner), .member(let inner, _): [inner]
    case .binary(_, let left, let right): [left, right]
    case .call(let callee, let arguments): [callee] + arguments.map(\.value)
    case .pipe(let value, let callee, let arguments):
      [value, callee] + (arguments ?? []).map(\.value)
    case .index(let base, let subscripts):
      subscripts.reduce(into: [base]) { children, element in
        switch element {
        case .ellipsis: break
        case .at(let index): children.append(index)
        case .slice(let lower, let upper, _): children += [lower, upper].compactMap { $0 }
        }
      }
    }
  }
}

/// An argument of a call, `label: value` or `value`.
public struct SyntaxArgument: Equatable, Sendable {
  public var label: SyntaxName?
  public var value: SyntaxExpression
}

/// What stands between `[` and `]` after a value.
public enum SyntaxSubscript: Equatable, Sendable {
  case ellipsis(SyntaxPosition)
  case at(SyntaxExpression)
  case slice(SyntaxExpression?, SyntaxExpression?, SyntaxPosition)
}

/// `name = value` with an optional value: an option, a const, an entry of a variant.
public struct SyntaxBinding: Equatable, Sendable {
  public var name: SyntaxName
  public var value: SyntaxExpression?
}

/// `[name in list]` behind the name of a param or part.
public struct SyntaxFamily: Equatable, Sendable {
  public var name: SyntaxName
  public var list: SyntaxExpression
}

/// One name of a `param` statement.
public struct SyntaxParam: Equatable, Sendable {
  public var name: SyntaxName
  public var family: SyntaxFamily?
  public var shape: [SyntaxExpression]
}

/// One name of a `part` statement.
public struct SyntaxPart: Equatable, Sendable {
  public var name: SyntaxName
  public var family: SyntaxFamily?
  public var block: SyntaxName
  public var arguments: [SyntaxArgument]
}

/// A word with optional arguments: an init, an entry's rule.
public struct SyntaxWord: Equatable, Sendable {
  public var name: SyntaxName
  public var arguments: [SyntaxArgument]?
}

/// The type of an input or of `forward`: a word (empty for a plain tensor) and a shape.
public struct SyntaxType: Equatable, Sendable {
  public var word: SyntaxName?
  public var shape: [SyntaxExpression]
}

/// An input of a block or of `forward`.
public struct SyntaxInput: Equatable, Sendable {
  public var name: SyntaxName
  public var type: SyntaxType?
  public var value: SyntaxExpression?
}

/// What is assigned to: a name, or an entry of an indexed name.
public struct SyntaxTarget: Equatable, Sendable {
  public var name: SyntaxName
  public var index: SyntaxExpression?
}

/// Statements between braces.
public struct SyntaxBody: Equatable, Sendable {
  public var statements: [SyntaxStatement]
  /// Where `{` and `}` stand.
  public var open: SyntaxPosition
  public var close: SyntaxPosition
}

/// One statement of a body.
public struct SyntaxStatement: Equatable, Sendable {
  public indirect enum Kind: Equatable, Sendable {
    case option([SyntaxBinding])
    case param([SyntaxParam], initial: SyntaxWord?, group: SyntaxName?)
    case part([SyntaxPart])
    case conditional(SyntaxExpression, SyntaxBody, otherwise: SyntaxStatement?)
    /// The final `else` of a conditional.
    case otherwise(SyntaxBody)
    case loop(SyntaxName, SyntaxExpression, SyntaxBody)
    case assignment([SyntaxTarget], SyntaxExpression)
    case returning([SyntaxExpression])
  }

  public var kind: Kind
  public var position: SyntaxPosition
  /// Where the last token ends.
  public var end: SyntaxPosition
}

/// One word of a section's entry.
public struct SyntaxAtom: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    case number(Double, spelling: String)
    case string(String)
    case name(String)
    case call(String, [SyntaxArgument])
    case list([SyntaxExpression])
  }

  public var kind: Kind
  public var position: SyntaxPosition
}

/// An entry of a section.
public struct SyntaxEntry: Equatable, Sendable {
  public indirect enum Kind: Equatable, Sendable {
    case plain([SyntaxAtom], SyntaxEntries?)
    case conditional(SyntaxExpression, SyntaxEntries, otherwise: SyntaxEntry?)
    /// `else { … }` of a conditional.
    case otherwise(SyntaxEntries)
  }

  public var kind: Kind
  public var position: SyntaxPosition
  public var end: SyntaxPosition
}

/// Entries between braces.
public struct SyntaxEntries: Equatable, Sendable {
  public var entries: [SyntaxEntry]
  public var open: SyntaxPosition
  public var close: SyntaxPosition
}

/// `variant name from start { const = value … entry … }`.
public struct SyntaxVariant: Equatable, Sendable {
  public var name: SyntaxName
  public var start: [SyntaxAtom]
  public var bindings: [SyntaxBinding]
  /// What is no binding.
  public var entries: SyntaxEntries
}

/// One item of a file.
public struct SyntaxItem: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    case include(String)
    case needs([SyntaxName])
    case const([SyntaxBinding])
    case preset(SyntaxName, [SyntaxBinding], open: SyntaxPosition, close: SyntaxPosition)
    case variant(SyntaxVariant)
    case block(SyntaxName, [SyntaxInput], SyntaxBody)
    case forward([SyntaxInput], SyntaxType, SyntaxBody)
    /// `under` is the preset that it is for.
    case section(SyntaxName, kind: SyntaxName?, under: SyntaxName?, SyntaxEntries)
    case statement(SyntaxStatement)
  }

  public var kind: Kind
  public var position: SyntaxPosition
  public var end: SyntaxPosition
}

/// A parsed file. Without a model name it is a library.
public struct SyntaxFile: Equatable, Sendable {
  public var path: String
  public var model: SyntaxName?
  public var items: [SyntaxItem]
  /// Comments in order of their place.
  public var comments: [SyntaxComment]
}
