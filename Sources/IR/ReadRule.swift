// SPDX-License-Identifier: Apache-2.0
// What one element of a result reads of each operand, axis by axis: the rule beside every op's shape.

/// Which elements along one axis of an operand one element of a result reads.
///
/// A rule may name more than is read, never less: the causality proof rests on it.
public enum AxisRead: Hashable, Sendable {
  /// The one at the result's index along `axis`, moved by `offset`.
  case same(axis: Int, offset: Int = 0)
  /// Those from `-back` to the one at the result's index along `axis`.
  case window(axis: Int, back: Int)
  /// Those up to the one at the result's index along `axis`, moved by `offset`.
  case upTo(axis: Int, offset: Int = 0)
  /// The one at a fixed index.
  case at(Int)
  /// Every one.
  case all
}

/// How the elements of an op's results depend on those of its operands.
public struct ReadRule: Sendable {
  /// One application of an op, of which one result is asked for.
  public struct Application: Attributed, Sendable {
    public let operands: [TensorType]
    public let results: [TensorType]
    public let attributes: [AttributeName: AttributeValue]
    /// The index of the result.
    public let index: Int

    var result: TensorType { results[index] }
  }

  /// A phrase for the manual: what an element reads.
  public let summary: String
  /// For each operand one entry an axis; nil for an operand that the result does not depend on.
  public let reads: @Sendable (Application) -> [[AxisRead]?]

  public init(
    _ summary: String, _ reads: @escaping @Sendable (Application) -> [[AxisRead]?]
  ) {
    (self.summary, self.reads) = (summary, reads)
  }

  /// Each element reads those at its own place. An operand that is stretched is read at its one element.
  static let elementwise = ReadRule("its own place; a stretched operand at its one element") {
    application in
    application.operands.map { aligned($0, with: application.result) }
  }

  /// Each element reads the last axis whole, and its own place along the others.
  static let lastAxis = ReadRule("the whole last axis at its own place") { application in
    application.operands.map { operand in
      var reads = aligned(operand, with: application.result)
      if !reads.isEmpty { reads[reads.count - 1] = .all }
      return reads
    }
  }

  /// Each element may read everything.
  static let everything = ReadRule("everything") { application in
    application.operands.map { [AxisRead](repeating: .all, count: $0.rank) }
  }

  /// The reads of an operand that is aligned with the result at the right and stretched to it.
  static func aligned(_ operand: TensorType, with result: TensorType) -> [AxisRead] {
    let missing = result.rank - operand.rank
    return operand.shape.enumerated().map { axis, extent in
      guard axis + missing >= 0 else { return .all }
      return extent == result.shape[axis + missing] ? .same(axis: axis + missing) : .at(0)
    }
  }

  /// `count` leading axes at their own place.
  static func leading(_ count: Int) -> [AxisRead] { (0..<max(count, 0)).map { .same(axis: $0) } }
}

extension Graph {
  /// What the elements of result `index` of a node read of its operands.
  public func reads(_ node: Node, result index: Int) -> [[AxisRead]?] {
    node.definition.reads.reads(
      ReadRule.Application(
        operands: node.operands.map { type($0) }, results: node.results.map { type($0) },
        attributes: node.attributes, index: index))
  }
}
