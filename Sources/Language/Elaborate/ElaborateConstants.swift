// SPDX-License-Identifier: Apache-2.0
// Where a constant is needed: conditions, sizes, indices, options and attributes.

import IR

extension Elaborator {
  /// The constant an expression stands for.
  mutating func constantValue(_ expression: SyntaxExpression) throws(Failure) -> ConstantValue {
    let meaning = try evaluate(expression)
    guard case .constant(let value) = meaning else {
      throw failure(
        .notConstant, "'\(expression.text)' must be a constant, found \(describe(meaning))",
        at: expression.position)
    }
    return value
  }

  /// The value of a condition, which is decided while elaborating.
  mutating func constantBool(_ expression: SyntaxExpression) throws(Failure) -> Bool {
    let meaning = try evaluate(expression)
    guard case .constant(.bool(let value)) = meaning else {
      if case .constant(let other) = meaning {
        throw failure(
          .wrongKind, "a condition is true or false, '\(expression.text)' is \(other.kind)",
          at: expression.position)
      }
      throw failure(
        .notConstant,
        "'if' is decided before the run, '\(expression.text)' is "
          + describe(meaning),
        at: expression.position)
    }
    return value
  }

  /// The whole number an expression stands for.
  mutating func constantWhole(
    _ expression: SyntaxExpression, atLeast least: Int
  ) throws(Failure) -> Int {
    let value = try constantValue(expression)
    guard let whole = value.whole else {
      throw failure(
        .notWhole,
        "'\(expression.text)' must be a whole number, it is \(value.foundForWhole)",
        at: expression.position,
        suggestion: expression.divides ? "// rounds down" : nil)
    }
    guard whole >= least else {
      throw failure(
        .valueRange, "'\(expression.text)' must be at least \(least), it is \(whole)",
        at: expression.position)
    }
    return whole
  }
}

extension SyntaxExpression {
  /// Whether the outermost operation is an exact division.
  fileprivate var divides: Bool {
    switch kind {
    case .binary("/", _, _): true
    case .parentheses(let inner): inner.divides
    default: false
    }
  }
}
