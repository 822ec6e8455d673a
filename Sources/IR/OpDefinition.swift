// SPDX-License-Identifier: Apache-2.0
// The record that every op fills in. Parser, printer, verifier, documentation and tests read it.

/// Everything a person needs to know about an op.
public struct OpDefinition: Sendable {
  /// One sentence with the formula; this is the documentation.
  public var summary: String
  /// Names of the operands. A trailing `…` marks any number of operands, `?` an optional one.
  public var operands: [String]
  /// Names of the results; most ops have one.
  public var results: [String]
  public var attributes: [AttributeName: AttributeKind]
  /// Order in which attributes may be given by position in the surface language.
  public var positional: [AttributeName]
  /// The types of the results, or an error that shows the shapes.
  public var shape: @Sendable (Operands) throws -> [TensorType]
  public var gradient: Gradient
  public var position: PositionRule
  /// True for ops that may be written in a `.graph` file; the others are made by passes.
  public var isSurface: Bool

  public init(
    summary: String, operands: [String], results: [String] = ["y"],
    attributes: [AttributeName: AttributeKind] = [:], positional: [AttributeName] = [],
    shape: @escaping @Sendable (Operands) throws -> [TensorType], gradient: Gradient,
    position: PositionRule, isSurface: Bool = true
  ) {
    self.summary = summary
    self.operands = operands
    self.results = results
    self.attributes = attributes
    self.positional = positional
    self.shape = shape
    self.gradient = gradient
    self.position = position
    self.isSurface = isSurface
  }

  /// How an op is differentiated.
  public enum Gradient: Sendable {
    /// Given the node and the gradients of its results (nil: not needed), the gradients of its
    /// operands (nil: no gradient flows there).
    case rule(@Sendable (inout Builder, Node, [Value?]) -> [Value?])
    case none(because: String)
  }

  /// What output position t reads of its operands, for the causality proof and for slice sinking.
  public enum PositionRule: String, Sendable {
    /// Only position t.
    case pointwise
    /// Positions up to t.
    case causal
    /// Any position.
    case whole
    /// The operands have no position axis (parameters and their gradients).
    case none
  }

  /// What a shape rule sees.
  public struct Operands {
    public let op: Op
    public let types: [TensorType]
    public let attributes: [AttributeName: AttributeValue]

    public subscript(_ index: Int) -> TensorType { types[index] }
    public func int(_ name: AttributeName) -> Int {
      guard case .int(let value)? = attributes[name] else { return 0 }
      return value
    }
    public func bool(_ name: AttributeName) -> Bool {
      guard case .bool(let value)? = attributes[name] else { return false }
      return value
    }
    public func dims(_ name: AttributeName) -> [Dim] {
      guard case .dims(let value)? = attributes[name] else { return [] }
      return value
    }
    public func fail(_ message: String) -> OpError { OpError("\(op.rawValue): \(message)") }

    /// Throws unless operand `index` is real and has one of the ranks.
    public func needReal(_ index: Int, rank: Int? = nil) throws {
      let type = types[index]
      let name = op.definition.operands[min(index, op.definition.operands.count - 1)]
      if type.kind != .tensor {
        throw fail("\(name) must be a tensor, found \(type)")
      }
      if let rank, type.rank != rank {
        throw fail("\(name) must have \(rank) axes, found \(type)")
      }
    }

    /// Throws unless two dims are equal, naming the axis.
    public func needEqual(_ left: Dim, _ right: Dim, _ what: String) throws {
      if left != right {
        let shapes = types.map(\.description).joined(separator: " and ")
        throw fail("\(what) differ: \(left) and \(right), in \(shapes)")
      }
    }
  }

  /// Checks operand count and attributes, then applies the shape rule.
  public func check(
    _ op: Op, _ types: [TensorType], _ attributes: [AttributeName: AttributeValue]
  ) throws -> [TensorType] {
    let required = operands.filter { !$0.hasSuffix("?") && !$0.hasSuffix("…") }.count
    let isVariadic = operands.last?.hasSuffix("…") ?? false
    if types.count < required || (!isVariadic && types.count > operands.count) {
      let list = operands.joined(separator: ", ")
      throw OpError("\(op.rawValue) takes (\(list)), found \(types.count) operands")
    }
    for (name, value) in attributes {
      guard let kind = self.attributes[name] else {
        throw OpError("\(op.rawValue) has no attribute \(name.rawValue)")
      }
      if !kind.admits(value) {
        throw OpError("\(op.rawValue): attribute \(name.rawValue) cannot be \(value)")
      }
    }
    for name in self.attributes.keys where attributes[name] == nil {
      throw OpError("\(op.rawValue) needs the attribute \(name.rawValue)")
    }
    return try shape(Operands(op: op, types: types, attributes: attributes))
  }
}
