// SPDX-License-Identifier: Apache-2.0
// Types of values: what a value holds and its shape.

/// One extent of a shape: a number, or an open size that gets its number when a phase is planned.
public enum Dim: Hashable, Sendable, CustomStringConvertible {
  case number(Int)
  case open(String)

  public var description: String {
    switch self {
    case .number(let number): return "\(number)"
    case .open(let name): return name
    }
  }

  /// The number, or nil while the size is open.
  public var number: Int? {
    if case .number(let number) = self { return number }
    return nil
  }
}

/// The type of a value. Numbers are f32 (f64 in the interpreter), identifiers int32.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    /// Real numbers.
    case tensor
    /// Data: token identifiers.
    case tokens
    /// Whole numbers in 0 ..< bound, computed from tokens.
    case index(bound: Int)
    /// A normalised distribution over the last axis.
    case dist
  }

  public var kind: Kind
  public var shape: [Dim]

  public init(_ kind: Kind, _ shape: [Dim]) {
    (self.kind, self.shape) = (kind, shape)
  }

  /// A tensor of known sizes.
  public static func tensor(_ shape: [Int]) -> TensorType {
    TensorType(.tensor, shape.map(Dim.number))
  }

  public static let scalar = TensorType(.tensor, [])

  public var rank: Int { shape.count }

  /// True for values that hold real numbers and can have a gradient.
  public var isReal: Bool { kind == .tensor || kind == .dist }

  /// The sizes as numbers. Only after open sizes were bound; the verifier of a bound graph checks it.
  public var sizes: [Int] { shape.map(size) }

  /// Number of elements; 1 for a scalar. Requires bound sizes.
  public var count: Int { shape.reduce(1) { $0 * size($1) } }

  private func size(_ dim: Dim) -> Int {
    guard let number = dim.number else { preconditionFailure("open size \(dim) in \(self)") }
    return number
  }

  public var description: String {
    let dims = shape.map(\.description).joined(separator: ", ")
    switch kind {
    case .tensor: return "f32[\(dims)]"
    case .tokens: return "tokens[\(dims)]"
    case .index(let bound): return "index<\(bound)>[\(dims)]"
    case .dist: return "dist[\(dims)]"
    }
  }

  /// The type with every open size in `sizes` replaced by its number.
  public func binding(_ sizes: [String: Int]) -> TensorType {
    TensorType(
      kind,
      shape.map { dim in
        if case .open(let name) = dim, let number = sizes[name] { return .number(number) }
        return dim
      })
  }
}
