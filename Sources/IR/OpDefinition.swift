// SPDX-License-Identifier: Apache-2.0
// The record that every op fills in. Parser, printer, verifier, documentation and tests read it.

/// Everything a person needs to know about an op. One object an op, never copied: passes ask for it at
/// every node.
public final class OpDefinition: Sendable {
  /// One sentence with the formula; this is the documentation.
  public let summary: String
  /// Names of the operands. A trailing `…` marks any number of operands, `?` an optional one.
  public let operands: [String]
  /// Names of the results; most ops have one.
  public let results: [String]
  public let attributes: [AttributeName: AttributeKind]
  /// Order in which attributes may be given by position in the surface language.
  public let positional: [AttributeName]
  /// The types of the results, or an error that shows the shapes.
  public let shape: @Sendable (Operands) throws -> [TensorType]
  public let gradient: Gradient
  /// What one element of a result reads, for the causality proof and for slice sinking.
  public let reads: ReadRule
  /// How the op becomes instructions or kernel calls (Lowering.swift).
  public let lowering: Lowering
  /// Whether its results may lie in memory as bf16, for choose-storage.
  public let storage: Storage
  /// Whether its result is computed again rather than kept, for recompute and recompute-cheap.
  public let recompute: Recompute
  /// How slices of positions sink through it, for sink-slices.
  public let slices: PositionSlices
  /// Whether no node moves up past this one: what the backward pass can compute early would stay in
  /// memory all the while.
  public let endsPhase: Bool
  /// True for ops that may be written in a `.graph` file; the others are made by passes.
  public let isSurface: Bool
  /// Which zero operands make its first result zero, for the check of weights that never train.
  public let zero: Zero
  /// Operands that must be given, and whether any number may follow.
  private let required: Int
  private let isVariadic: Bool

  public init(
    summary: String, operands: [String], results: [String] = ["y"],
    attributes: [AttributeName: AttributeKind] = [:], positional: [AttributeName] = [],
    shape: @escaping @Sendable (Operands) throws -> [TensorType], gradient: Gradient,
    reads: ReadRule, lowering: Lowering, storage: Storage? = nil, recompute: Recompute = .never,
    slices: PositionSlices = .asRead, endsPhase: Bool = false, isSurface: Bool = true,
    zero: Zero = .unknown
  ) {
    (self.summary, self.operands, self.results) = (summary, operands, results)
    (self.attributes, self.positional, self.shape) = (attributes, positional, shape)
    (self.gradient, self.reads, self.lowering) = (gradient, reads, lowering)
    self.storage = storage ?? Storage(lowering)
    (self.recompute, self.slices, self.endsPhase) = (recompute, slices, endsPhase)
    (self.isSurface, self.zero) = (isSurface, zero)
    required = operands.count { !$0.hasSuffix("?") && !$0.hasSuffix("…") }
    isVariadic = operands.last?.hasSuffix("…") ?? false
  }

  /// How an op is differentiated.
  public enum Gradient: Sendable {
    /// Given the node and the gradients of its results (nil: not needed), the gradients of its
    /// operands (nil: no gradient flows there).
    case rule(@Sendable (inout Builder, Node, [Value?]) -> [Value?])
    case none(because: String)
  }

  /// When the first result is zero for certain.
  public enum Zero: Sendable {
    /// Nothing is known.
    case unknown
    /// If this operand is.
    case operand(Int)
    /// If both of the first two are.
    case sum
    /// If one of the first two is. If both are, neither gets a gradient.
    case product
  }

  /// What a shape rule sees.
  public struct Operands: Attributed {
    public let op: Op
    public let types: [TensorType]
    public let attributes: [AttributeName: AttributeValue]

    public subscript(_ index: Int) -> TensorType { types[index] }
    public func fail(_ message: String) -> OpError { OpError("\(op.rawValue): \(message)") }

    /// Throws unless operand `index` is real and has one of the ranks.
    public func needReal(_ index: Int, rank: Int? = nil) throws {
      let type = types[index]
      if type.kind != .tensor {
        throw fail("\(name(index)) must be a tensor, found \(type)")
      }
      if let rank, type.rank != rank {
        throw fail("\(name(index)) must have \(rank) axes, found \(type)")
      }
    }

    private func name(_ index: Int) -> String {
      let names = op.definition.operands
      return names[min(index, names.count - 1)]
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
    if types.count < required || (!isVariadic && types.count > operands.count) {
      let list = operands.joined(separator: ", ")
      throw OpError("\(op.rawValue) takes (\(list)), found \(types.count) operands")
    }
    let fits = attributes.allSatisfy { self.attributes[$0.key]?.admits($0.value) ?? false }
    if !fits {
      // In the order of names, so that the message is the same every time.
      for (name, value) in attributes.sorted(by: { $0.key < $1.key }) {
        guard let kind = self.attributes[name] else {
          throw OpError("\(op.rawValue) has no attribute \(name.rawValue)")
        }
        if !kind.admits(value) {
          throw OpError("\(op.rawValue): attribute \(name.rawValue) cannot be \(value)")
        }
      }
    }
    // All that are given are known: as many as there are means that none is missing.
    if attributes.count < self.attributes.count {
      for name in self.attributes.keys where attributes[name] == nil {
        throw OpError("\(op.rawValue) needs the attribute \(name.rawValue)")
      }
    }
    return try shape(Operands(op: op, types: types, attributes: attributes))
  }
}
