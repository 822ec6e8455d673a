// SPDX-License-Identifier: Apache-2.0
// The consts of a file: overrides, and the evaluation of expressions.

import IR

/// What the command line makes of a file: one of its presets, and consts.
public struct Choices: Sendable {
  /// The name behind --preset.
  public var preset: String?
  /// In order; the last of equal names wins, and all of them over the preset.
  public var constants: [ConstantOverride]

  public init(preset: String? = nil, constants: [ConstantOverride] = []) {
    (self.preset, self.constants) = (preset, constants)
  }

  /// The first of them as it was written; nil if nothing was chosen.
  public var first: String? {
    constants.first.map { "--set \($0.name)" } ?? preset.map { "--preset \($0)" }
  }
}

/// A replacement for the right-hand side of a const: `--set dim=256`, or one of a preset or variant.
public struct ConstantOverride: Sendable {
  public let name: String
  public let expression: SyntaxExpression
  public let origin: ConstantOrigin
  /// The path under which positions of the expression are shown.
  public let path: String
  /// The text of a flag, for messages.
  public let source: SourceFile?

  /// An override from the command line; throws if `text` is no expression.
  public init(flag name: String, text: String) throws(Diagnostics) {
    self.name = name
    path = Self.path(name)
    let source = SourceFile(path: path, text: text)
    self.source = source
    expression = try parseExpression(source)
    origin = .flag
  }

  /// The path under which the override of a const is shown, and stands among a model's sources.
  public static func path(_ name: String) -> String { "--set \(name)" }

  /// A binding of a preset or variant.
  init?(_ binding: SyntaxBinding, of origin: ConstantOrigin, path: String) {
    guard let expression = binding.value else { return nil }
    (name, self.expression, self.path) = (binding.name.text, expression, path)
    source = nil
    self.origin = origin
  }
}

/// Evaluates expressions in which every name is a constant.
public struct ConstantEvaluator {
  /// The path for positions in messages.
  public var path: String
  /// Consts by name.
  public var lookup: (String) -> ConstantValue?
  /// Names for suggestions.
  public var names: () -> [String]

  public init(
    path: String, names: @escaping () -> [String], lookup: @escaping (String) -> ConstantValue?
  ) {
    (self.path, self.names, self.lookup) = (path, names, lookup)
  }

  private func location(_ place: SyntaxPosition) -> SourceLocation {
    SourceLocation(path: path, line: place.line, column: place.column)
  }

  /// Runs an operation on constants, giving its error the place of `expression`.
  private func at<Result>(
    _ expression: SyntaxExpression, _ operation: () throws(ConstantError) -> Result
  ) throws(Diagnostic) -> Result {
    do throws(ConstantError) {
      return try operation()
    } catch {
      throw Diagnostic(
        error.code, error.message, at: location(expression.position), suggestion: error.suggestion)
    }
  }

  /// The value of an expression.
  public func value(_ expression: SyntaxExpression) throws(Diagnostic) -> ConstantValue {
    switch expression.kind {
    case .number(let number, _): return .number(number)
    case .bool(let bool): return .bool(bool)
    case .parentheses(let inner): return try value(inner)
    case .name(let name):
      if let constant = lookup(name) { return constant }
      throw Diagnostic(
        .unknownName, "there is no const '\(name)' above",
        at: location(expression.position), suggestion: suggestion(for: name, among: names()))
    case .list(let elements): return .list(try values(elements))
    case .unary(let symbol, let operand):
      let operand = try value(operand)
      return try at(expression) { () throws(ConstantError) in
        try ConstantValue.unary(symbol, operand)
      }
    case .binary(let symbol, let left, let right) where symbol == "and" || symbol == "or":
      let first = try bool(left)
      if first == (symbol == "or") { return .bool(first) }
      return .bool(try bool(right))
    case .binary(let symbol, let left, let right):
      let (left, right) = (try value(left), try value(right))
      return try at(expression) { () throws(ConstantError) in
        try ConstantValue.binary(symbol, left, right)
      }
    case .call(let callee, let arguments):
      guard case .name(let name) = callee.kind, arguments.allSatisfy({ $0.label == nil }) else {
        throw notConstant(expression)
      }
      return try call(name, try values(arguments.map(\.value)), expression)
    case .pipe(let first, let callee, let arguments):
      guard case .name(let name) = callee.kind,
        arguments?.allSatisfy({ $0.label == nil }) ?? true
      else { throw notConstant(expression) }
      return try call(
        name, try values([first] + (arguments ?? []).map(\.value)), expression)
    case .index(let base, let subscripts):
      let base = try value(base)
      guard subscripts.count == 1 else {
        throw Diagnostic(
          .wrongKind, "a list has one index, found \(subscripts.count)",
          at: location(expression.position))
      }
      return try element(of: base, subscripts[0], expression)
    case .string, .member: throw notConstant(expression)
    }
  }

  private func values(_ elements: [SyntaxExpression]) throws(Diagnostic) -> [ConstantValue] {
    var values: [ConstantValue] = []
    for element in elements { values.append(try value(element)) }
    return values
  }

  private func call(
    _ name: String, _ arguments: [ConstantValue], _ expression: SyntaxExpression
  ) throws(Diagnostic) -> ConstantValue {
    try at(expression) { () throws(ConstantError) in try ConstantValue.call(name, arguments) }
  }

  private func element(
    of base: ConstantValue, _ subscriptElement: SyntaxSubscript, _ expression: SyntaxExpression
  ) throws(Diagnostic) -> ConstantValue {
    switch subscriptElement {
    case .at(let index):
      let index = try value(index)
      return try at(expression) { () throws(ConstantError) in try base.entry(index) }
    case .slice(let lower, let upper, _):
      var bounds: [ConstantValue?] = []
      for bound in [lower, upper] {
        if let bound { bounds.append(try value(bound)) } else { bounds.append(nil) }
      }
      return try at(expression) { () throws(ConstantError) in
        try base.slice(bounds[0], bounds[1])
      }
    case .ellipsis: throw notConstant(expression)
    }
  }

  /// The value of a condition.
  public func bool(_ expression: SyntaxExpression) throws(Diagnostic) -> Bool {
    let value = try value(expression)
    guard case .bool(let bool) = value else {
      throw Diagnostic(
        .wrongKind, "a condition is true or false, '\(expression.text)' is \(value.kind)",
        at: location(expression.position))
    }
    return bool
  }

  private func notConstant(_ expression: SyntaxExpression) -> Diagnostic {
    Diagnostic(
      .notConstant, "'\(expression.text)' is not a constant expression",
      at: location(expression.position))
  }
}
