// SPDX-License-Identifier: Apache-2.0
// Attributes of nodes: compile-time values. An op's definition says which it has, of which kind.

/// The name of an attribute, as spelt in text. Names that one family of ops has alone may stand with it.
public struct AttributeName: Hashable, Sendable, Comparable {
  public let rawValue: String

  public init(_ rawValue: String) { self.rawValue = rawValue }

  public static let (asymmetric, axis, base) = (Self("asymmetric"), Self("axis"), Self("base"))
  public static let (bits, by, cap, clip) = (Self("bits"), Self("by"), Self("cap"), Self("clip"))
  public static let (compute, count, dims) = (Self("compute"), Self("count"), Self("dims"))
  public static let (floor, form, halfFloor) = (Self("floor"), Self("form"), Self("half_floor"))
  public static let (heads, limit, parameters) = (Self("heads"), Self("limit"), Self("parameters"))
  public static let (rampFactor, rampFrom) = (Self("ramp_factor"), Self("ramp_from"))
  public static let (shape, slope, squeeze) = (Self("shape"), Self("slope"), Self("squeeze"))
  public static let (buckets, except) = (Self("buckets"), Self("except"))
  public static let (start, train, vocab) = (Self("start"), Self("train"), Self("vocab"))

  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A compile-time value.
public enum AttributeValue: Hashable, Sendable, CustomStringConvertible {
  case int(Int)
  case double(Double)
  case bool(Bool)
  case word(String)
  case doubles([Double])
  /// A shape, for ops whose result shape is not implied by the operands.
  case dims([Dim])

  public var description: String {
    switch self {
    case .int(let value): return "\(value)"
    case .double(let value): return shortest(value)
    case .bool(let value): return value ? "true" : "false"
    case .word(let value): return value
    case .doubles(let value): return "[" + value.map { shortest($0) }.joined(separator: ", ") + "]"
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
  /// Any count of numbers.
  case doubles(default: [Double]? = nil)
  case dims

  public var defaultValue: AttributeValue? {
    switch self {
    case .int(let value): return value.map(AttributeValue.int)
    case .double(let value): return value.map(AttributeValue.double)
    case .bool(let value): return value.map(AttributeValue.bool)
    case .word(_, let value): return value.map(AttributeValue.word)
    case .doubles(let value): return value.map(AttributeValue.doubles)
    case .dims: return nil
    }
  }

  /// True if `value` is of this kind.
  public func admits(_ value: AttributeValue) -> Bool {
    switch (self, value) {
    // Beyond 32 bits no size or place has a meaning, and sums of two could leave 64.
    case (.int, .int(let value)): return Int32(exactly: value) != nil
    case (.double, .double), (.bool, .bool), (.doubles, .doubles), (.dims, .dims): return true
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

/// What has the attributes of an op. Presence and kind were checked before anything asks.
public protocol Attributed {
  var attributes: [AttributeName: AttributeValue] { get }
}

extension Attributed {
  public func int(_ name: AttributeName) -> Int {
    guard case .int(let value)? = attributes[name] else { preconditionFailure(name.rawValue) }
    return value
  }
  public func double(_ name: AttributeName) -> Double {
    guard case .double(let value)? = attributes[name] else { preconditionFailure(name.rawValue) }
    return value
  }
  public func bool(_ name: AttributeName) -> Bool {
    guard case .bool(let value)? = attributes[name] else { preconditionFailure(name.rawValue) }
    return value
  }
  public func word(_ name: AttributeName) -> String {
    guard case .word(let value)? = attributes[name] else { preconditionFailure(name.rawValue) }
    return value
  }
  public func doubles(_ name: AttributeName) -> [Double] {
    guard case .doubles(let value)? = attributes[name] else { preconditionFailure(name.rawValue) }
    return value
  }
  public func dims(_ name: AttributeName) -> [Dim] {
    guard case .dims(let value)? = attributes[name] else { preconditionFailure(name.rawValue) }
    return value
  }
}
