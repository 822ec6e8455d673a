// SPDX-License-Identifier: Apache-2.0
// Attributes of nodes: compile-time values, in a closed set of names with fixed kinds.

/// Names of attributes, as spelt in text.
public enum AttributeName: String, Hashable, Sendable, CaseIterable, Comparable {
  case axis, base, beta1, beta2, bits, by, cap, clip, compute, count, decay, dims, epsilon
  case asymmetric, floor, form
  case halfFloor = "half_floor"
  case heads, iteration, limit, momentum, parameter
  case rampFactor = "ramp_factor"
  case rampFrom = "ramp_from"
  case rowNormalise = "row_normalise"
  case shape, slope, squeeze, start, steps, train, vocab

  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A compile-time value.
public enum AttributeValue: Hashable, Sendable, CustomStringConvertible {
  case int(Int)
  case double(Double)
  case bool(Bool)
  case word(String)
  /// A shape, for ops whose result shape is not implied by the operands.
  case dims([Dim])

  public var description: String {
    switch self {
    case .int(let value): return "\(value)"
    case .double(let value): return shortest(value)
    case .bool(let value): return value ? "true" : "false"
    case .word(let value): return value
    case .dims(let value): return "[" + value.map(\.description).joined(separator: ", ") + "]"
    }
  }
}

/// The kind of an attribute in an op's definition, with its default where one exists.
public enum AttributeKind: Hashable, Sendable {
  case int(default: Int? = nil)
  case double(default: Double? = nil)
  case bool(default: Bool? = nil)
  case word([String], default: String? = nil)
  case dims

  public var defaultValue: AttributeValue? {
    switch self {
    case .int(let value): return value.map(AttributeValue.int)
    case .double(let value): return value.map(AttributeValue.double)
    case .bool(let value): return value.map(AttributeValue.bool)
    case .word(_, let value): return value.map(AttributeValue.word)
    case .dims: return nil
    }
  }

  /// True if `value` is of this kind.
  public func admits(_ value: AttributeValue) -> Bool {
    switch (self, value) {
    // Beyond 32 bits no size or place has a meaning, and sums of two could leave 64.
    case (.int, .int(let value)): return Int32(exactly: value) != nil
    case (.double, .double), (.bool, .bool), (.dims, .dims): return true
    case (.word(let words, _), .word(let word)): return words.contains(word)
    default: return false
    }
  }
}

extension AttributeValue {
  /// The value with every open size of a shape in `sizes` replaced by its number.
  public func binding(_ sizes: [String: Int]) -> AttributeValue {
    guard case .dims(let dims) = self else { return self }
    return .dims(TensorType(.tensor, dims).binding(sizes).shape)
  }
}
