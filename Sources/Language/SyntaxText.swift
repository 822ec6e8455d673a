// SPDX-License-Identifier: Apache-2.0
// The one-line text of expressions and statements, as the formatter and messages show them.

import IR

extension SyntaxExpression {
  private var isNumber: Bool { if case .number = kind { true } else { false } }

  /// The expression in canonical spelling, on one line.
  public var text: String {
    switch kind {
    case .number(_, let spelling): spelling
    case .string(let text): "\"\(text)\""
    case .bool(let value): value ? "true" : "false"
    case .name(let name): name
    case .list(let elements): "[\(commaSeparated(elements.map(\.text)))]"
    case .parentheses(let inner): "(\(inner.text))"
    case .unary("not", let operand): "not \(operand.text)"
    case .unary(let symbol, let operand): "\(symbol)\(operand.text)"
    case .binary(let symbol, let left, let right): "\(left.text) \(symbol) \(right.text)"
    case .call(let callee, let arguments): callee.text + argumentList(arguments)
    case .index(let base, let subscripts):
      "\(base.text)[\(commaSeparated(subscripts.map(\.text)))]"
    // A point directly behind a number would be a part of it.
    case .member(let base, let name): base.text + (base.isNumber ? " ." : ".") + name
    case .pipe(let value, let callee, let arguments):
      "\(value.text) |> \(callee.text)\(arguments.map(argumentList) ?? "")"
    }
  }
}

extension SyntaxSubscript {
  /// The subscript in canonical spelling.
  public var text: String {
    switch self {
    case .ellipsis: "..."
    case .at(let index): index.text
    case .slice(let lower, let upper, _):
      (lower.map { $0.text + " " } ?? "") + ":" + (upper.map { " " + $0.text } ?? "")
    }
  }
}

extension SyntaxArgument {
  /// `label: value` or `value`.
  public var text: String { (label.map { $0.text + ": " } ?? "") + value.text }
}

extension SyntaxAtom {
  /// The atom in canonical spelling.
  public var text: String {
    switch kind {
    case .number(_, let spelling): spelling
    case .string(let text): "\"\(text)\""
    case .name(let name): name
    case .call(let name, let arguments): name + argumentList(arguments)
    case .list(let elements): "[\(commaSeparated(elements.map(\.text)))]"
    }
  }
}

extension SyntaxBinding {
  /// `name = value`, or the name alone.
  public var text: String { name.text + (value.map { " = " + $0.text } ?? "") }
}

extension SyntaxFamily {
  /// `[name in list]`.
  public var text: String { "[\(name.text) in \(list.text)]" }
}

extension SyntaxParam {
  /// Name, family and shape.
  public var text: String {
    "\(name.text)\(family?.text ?? "") [\(commaSeparated(shape.map(\.text)))]"
  }
}

extension SyntaxPart {
  /// Name, family and instance.
  public var text: String {
    "\(name.text)\(family?.text ?? "") = \(block.text)\(argumentList(arguments))"
  }
}

extension SyntaxWord {
  /// The word with its arguments.
  public var text: String { name.text + (arguments.map(argumentList) ?? "") }
}

extension SyntaxType {
  /// Word and shape.
  public var text: String { "\(word?.text ?? "")[\(commaSeparated(shape.map(\.text)))]" }
}

extension SyntaxInput {
  /// Name, type and default.
  public var text: String {
    name.text + (type.map { ": " + $0.text } ?? "") + (value.map { " = " + $0.text } ?? "")
  }
}

extension SyntaxTarget {
  /// The name with its index.
  public var text: String { name.text + (index.map { "[\($0.text)]" } ?? "") }
}

extension SyntaxStatement {
  /// The text of a statement without a body; nil for `if`, `else` and `for`.
  var simpleText: String? {
    switch kind {
    case .option(let options): "option " + commaSeparated(options.map(\.text))
    case .param(let params, let initial, let group):
      "param " + commaSeparated(params.map(\.text))
        + (initial.map { "  init " + $0.text } ?? "") + (group.map { "  group " + $0.text } ?? "")
    case .part(let parts): "part " + commaSeparated(parts.map(\.text))
    case .assignment(let targets, let value):
      "\(commaSeparated(targets.map(\.text))) = \(value.text)"
    case .returning(let values): "return " + commaSeparated(values.map(\.text))
    case .conditional, .otherwise, .loop: nil
    }
  }
}

func commaSeparated(_ texts: [String]) -> String { texts.joined(separator: ", ") }

private func argumentList(_ arguments: [SyntaxArgument]) -> String {
  "(\(commaSeparated(arguments.map(\.text))))"
}
