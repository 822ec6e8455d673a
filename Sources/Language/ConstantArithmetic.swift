// SPDX-License-Identifier: Apache-2.0
// Exact arithmetic on constants. There is one kind of number.

import Glibc
import IR

/// Why an operation on constants has no result; the evaluator adds the place.
public struct ConstantError: Error, Sendable {
  public var code: DiagnosticCode
  public var message: String
  public var suggestion: String?

  public init(_ code: DiagnosticCode, _ message: String, suggestion: String? = nil) {
    (self.code, self.message, self.suggestion) = (code, message, suggestion)
  }
}

extension ConstantValue {
  /// Longer lists are refused, so that a slip such as `0 ..< 1e9` ends in a message.
  public static let longestList = 65_536

  /// `left symbol right`; `and` and `or` are decided by the caller, which may skip the right side.
  public static func binary(
    _ symbol: String, _ left: ConstantValue, _ right: ConstantValue
  ) throws(ConstantError) -> ConstantValue {
    switch (symbol, left, right) {
    case ("==", _, _): return .bool(left == right)
    case ("!=", _, _): return .bool(left != right)
    case ("in", _, .list(let entries)): return .bool(entries.contains(left))
    case ("+", .list(let a), .list(let b)): return try list(a.count + b.count) { a + b }
    case ("*", .number, .list(let entries)):
      guard let times = left.whole, times >= 0 else {
        throw ConstantError(
          .notWhole, "a list is repeated a whole number of times, not \(left.foundForWhole)")
      }
      let (count, overflow) = entries.count.multipliedReportingOverflow(by: times)
      return try list(overflow ? Int.max : count) {
        (0..<times).flatMap { _ in entries }
      }
    case ("..<", .number, .number):
      guard let lower = left.whole, let upper = right.whole else {
        let wrong = left.whole == nil ? left : right
        throw ConstantError(.notWhole, "a range needs whole numbers, found \(wrong.foundForWhole)")
      }
      guard lower <= upper else {
        throw ConstantError(.badArithmetic, "the range \(lower) ..< \(upper) ends before it begins")
      }
      return try list(upper - lower) { (lower..<upper).map { .number(Double($0)) } }
    case (_, .number(let a), .number(let b)): return try arithmetic(symbol, a, b)
    default:
      throw ConstantError(
        .wrongKind, "'\(symbol)' does not take \(left.kind) and \(right.kind)")
    }
  }

  private static func list(
    _ count: Int, _ entries: () -> [ConstantValue]
  ) throws(ConstantError) -> ConstantValue {
    guard count <= longestList else {
      throw ConstantError(.tooLarge, "a list may have at most \(longestList) entries")
    }
    return .list(entries())
  }

  private static func arithmetic(
    _ symbol: String, _ a: Double, _ b: Double
  ) throws(ConstantError) -> ConstantValue {
    let result: Double
    switch symbol {
    case "<": return .bool(a < b)
    case "<=": return .bool(a <= b)
    case ">": return .bool(a > b)
    case ">=": return .bool(a >= b)
    case "+": result = a + b
    case "-": result = a - b
    case "*": result = a * b
    case "/", "//":
      if b == 0 { throw ConstantError(.badArithmetic, "\(shortest(a)) is divided by zero") }
      result = symbol == "/" ? a / b : (a / b).rounded(.down)
    default: throw ConstantError(.wrongKind, "'\(symbol)' does not take two numbers")
    }
    guard result.isFinite else {
      throw ConstantError(.badArithmetic, "\(shortest(a)) \(symbol) \(shortest(b)) is too large")
    }
    // -0 would print and compare in ways nobody expects of a constant.
    return .number(result == 0 ? 0 : result)
  }

  /// `-value` or `not value`.
  public static func unary(
    _ symbol: String, _ value: ConstantValue
  ) throws(ConstantError) -> ConstantValue {
    switch (symbol, value) {
    case ("-", .number(let number)): return .number(number == 0 ? 0 : -number)
    case ("not", .bool(let bool)): return .bool(!bool)
    default: throw ConstantError(.wrongKind, "'\(symbol)' does not take \(value.kind)")
    }
  }

  /// Entry `index` of a list; negative indices count from the end.
  public func entry(_ index: ConstantValue) throws(ConstantError) -> ConstantValue {
    guard case .list(let entries) = self else {
      throw ConstantError(.wrongKind, "\(kind) has no entries")
    }
    guard let whole = index.whole else {
      throw ConstantError(
        .notWhole, "an index must be a whole number, found \(index.foundForWhole)")
    }
    let place = whole < 0 ? entries.count + whole : whole
    guard entries.indices.contains(place) else {
      throw ConstantError(.badIndex, "index \(whole) lies outside of \(kind)")
    }
    return entries[place]
  }

  /// Entries `lower ..< upper` of a list; nil is the end of the list.
  public func slice(
    _ lower: ConstantValue?, _ upper: ConstantValue?
  ) throws(ConstantError) -> ConstantValue {
    guard case .list(let entries) = self else {
      throw ConstantError(.wrongKind, "\(kind) has no slices")
    }
    var bounds: [Int] = []
    for (bound, value) in [(lower, 0), (upper, entries.count)] {
      guard let bound else {
        bounds.append(value)
        continue
      }
      guard let whole = bound.whole else {
        throw ConstantError(
          .notWhole, "an index must be a whole number, found \(bound.foundForWhole)")
      }
      bounds.append(whole < 0 ? entries.count + whole : whole)
    }
    guard bounds[0] >= 0, bounds[0] <= bounds[1], bounds[1] <= entries.count else {
      throw ConstantError(.badIndex, "the slice \(bounds[0]) : \(bounds[1]) leaves \(kind)")
    }
    return .list(Array(entries[bounds[0]..<bounds[1]]))
  }

  /// The functions of constants, with the number of their arguments.
  public static let functions: [String: Int] = [
    "len": 1, "sqrt": 1, "exp": 1, "abs": 1, "floor": 1, "ceil": 1, "pow": 2, "min": 2, "max": 2,
  ]

  /// The result of a function of constants.
  public static func call(
    _ name: String, _ arguments: [ConstantValue]
  ) throws(ConstantError) -> ConstantValue {
    guard let count = functions[name] else {
      throw ConstantError(
        .unknownCall, "there is no function '\(name)' of constants",
        suggestion: IR.suggestion(for: name, among: functions.keys.sorted()))
    }
    guard arguments.count == count else {
      throw ConstantError(
        .wrongArguments,
        "\(name) takes \(counted(count, "argument", "arguments")), found \(arguments.count)")
    }
    if name == "len" {
      guard case .list(let entries) = arguments[0] else {
        throw ConstantError(.wrongKind, "len takes a list, found \(arguments[0].kind)")
      }
      return .number(Double(entries.count))
    }
    var numbers: [Double] = []
    for argument in arguments {
      guard case .number(let number) = argument else {
        throw ConstantError(.wrongKind, "\(name) takes numbers, found \(argument.kind)")
      }
      numbers.append(number)
    }
    switch name {
    case "sqrt":
      guard numbers[0] >= 0 else {
        throw ConstantError(.badArithmetic, "sqrt of the negative number \(shortest(numbers[0]))")
      }
      return .number(numbers[0].squareRoot())
    case "exp", "pow":
      let result = name == "exp" ? Glibc.exp(numbers[0]) : Glibc.pow(numbers[0], numbers[1])
      guard result.isFinite else {
        let list = numbers.map { shortest($0) }.joined(separator: ", ")
        throw ConstantError(.badArithmetic, "\(name)(\(list)) is no finite number")
      }
      return .number(result == 0 ? 0 : result)
    case "abs": return .number(abs(numbers[0]))
    case "floor": return .number(numbers[0].rounded(.down))
    case "ceil": return .number(numbers[0].rounded(.up))
    case "min": return .number(min(numbers[0], numbers[1]))
    default: return .number(max(numbers[0], numbers[1]))
    }
  }
}
