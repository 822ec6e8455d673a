// SPDX-License-Identifier: Apache-2.0
// The proof that a forward function is causal: composes the read rules of its ops, and finds the path
// of a leak. Knows neither files nor messages; CausalityDiagnostics.swift tells people.

/// The two axes of the token input.
public enum TokenAxis: Int, Sendable, CaseIterable {
  /// Sequences that share a call: overlapping windows put the future of one into another.
  case rows
  case positions
}

/// Which tokens along one axis of the input the elements of a value depend on.
///
/// The element with index i along `axis` depends on tokens i + moved.lower ... i + moved.upper, and
/// every element on those in `fixed`.
package struct TokenReads: Hashable, Sendable {
  package struct Span: Hashable, Sendable {
    package var lower: Int
    package var upper: Int

    static let everything = Span(lower: 0, upper: .max)

    func union(_ other: Span) -> Span {
      Span(lower: min(lower, other.lower), upper: max(upper, other.upper))
    }

    func moved(by offset: Int) -> Span {
      func add(_ bound: Int) -> Int {
        let (sum, overflow) = bound.addingReportingOverflow(offset)
        return overflow ? (offset < 0 ? .min : .max) : sum
      }
      return Span(
        lower: lower == .min ? .min : add(lower), upper: upper == .max ? .max : add(upper))
    }
  }

  package private(set) var axis: Int?
  package private(set) var moved: Span?
  package private(set) var fixed: Span?

  /// No token at all: parameters, and what is computed from them alone.
  static let none = TokenReads()

  private init() {}

  /// Those of the token input itself.
  init(inputAxis axis: Int) {
    self.axis = axis
    moved = Span(lower: 0, upper: 0)
  }

  /// What a result reads that takes from a value with these reads what `access` says.
  init(_ value: TokenReads, through access: [AxisRead]) {
    fixed = value.fixed
    guard let own = value.axis, let span = value.moved else { return }
    switch access[own] {
    case .same(let axis, let offset): (self.axis, moved) = (axis, span.moved(by: offset))
    case .window(let axis, let back):
      (self.axis, moved) = (axis, Span(lower: span.moved(by: -back).lower, upper: span.upper))
    case .upTo(let axis, let offset):
      (self.axis, moved) = (axis, Span(lower: .min, upper: span.moved(by: offset).upper))
    case .at(let index): add(fixed: span.moved(by: index))
    case .all: add(fixed: .everything)
    }
  }

  /// What an element depends on that reads both. Two values whose tokens run along different axes
  /// are not in step: the second may be anywhere.
  mutating func formUnion(_ other: TokenReads) {
    if let span = other.fixed { add(fixed: span) }
    guard let span = other.moved else { return }
    if axis == nil || axis == other.axis {
      axis = other.axis
      moved = moved?.union(span) ?? span
    } else {
      add(fixed: .everything)
    }
  }

  private mutating func add(fixed span: Span) { fixed = fixed?.union(span) ?? span }

  /// Whether an element may see more than an output at its place is allowed to: of rows its own alone,
  /// of positions those up to its own. With one row (or position) in all there is no other.
  func leaks(_ axis: TokenAxis, extent: Dim) -> Bool {
    if extent == .number(1) { return false }
    switch axis {
    case .rows: return fixed != nil || (moved.map { $0 != Span(lower: 0, upper: 0) } ?? false)
    case .positions: return (fixed?.upper ?? 0) > 0 || (moved?.upper ?? 0) > 0
    }
  }
}

/// A way in which an output depends on a token that it may not see.
public struct Leak: Sendable {
  /// One value on the path.
  public struct Step: Sendable {
    public let value: Value
    /// The node that makes it, and the operand through which the leak comes.
    public let node: Node
    public let operand: Value
    /// How the operand is read along the axis of its tokens; nil if it has none.
    public let read: AxisRead?
    /// Whether the operand's tokens run along another axis than those of the value.
    public let isOutOfStep: Bool
    /// The last index that the value reads whatever the element, if there is one.
    public let fixed: Int?
    /// Whether the operand alone reads nothing that it may not.
    public let begins: Bool
  }
  public let axis: TokenAxis
  /// From where the forbidden token enters to the output.
  public let path: [Step]
}

extension Graph {
  /// The leaks of a forward function: at most one an axis, empty if the function is causal.
  ///
  /// Element [r, t, …] of the output must depend on no token but those of row r up to position t. The
  /// first input holds the tokens as [rows, positions]; the first output is checked.
  public func leaks() -> [Leak] {
    guard let tokens = inputs.first, let output = outputs.first?.value else { return [] }
    return TokenAxis.allCases.compactMap { axis in
      let extent =
        type(tokens).shape.count > axis.rawValue
        ? type(tokens).shape[axis.rawValue] : Dim.number(1)
      let reads = tokenReads(axis)
      let result = reads[output.index]
      let isOutOfStep = result.axis.map { $0 != axis.rawValue } ?? false
      guard result.leaks(axis, extent: extent) || isOutOfStep else { return nil }
      return Leak(axis: axis, path: path(to: output, axis, extent, reads))
    }
  }

  /// The token reads of every value, by value index.
  package func tokenReads(_ axis: TokenAxis) -> [TokenReads] {
    var reads = [TokenReads](repeating: .none, count: values.count)
    for input in inputs where type(input).rank > axis.rawValue {
      reads[input.index] = TokenReads(inputAxis: axis.rawValue)
    }
    for node in nodes.flatMap({ $0.op == .fused ? $0.body : [$0] }) {
      for (index, result) in node.results.enumerated() {
        for (operand, access) in zip(node.operands, self.reads(node, result: index)) {
          guard let access else { continue }
          reads[result.index].formUnion(TokenReads(reads[operand.index], through: access))
        }
      }
    }
    return reads
  }

  /// Follows a leak from the output back to where it enters.
  private func path(
    to output: Value, _ axis: TokenAxis, _ extent: Dim, _ reads: [TokenReads]
  ) -> [Leak.Step] {
    var makers: [Value: (node: Node, index: Int)] = [:]
    for node in nodes.flatMap({ $0.op == .fused ? $0.body : [$0] }) {
      for (index, result) in node.results.enumerated() { makers[result] = (node, index) }
    }
    var steps: [Leak.Step] = []
    var value = output
    while let (node, index) = makers[value] {
      let found = zip(node.operands, self.reads(node, result: index)).compactMap {
        operand, access -> Leak.Step? in
        guard let access else { return nil }
        let through = TokenReads(reads[operand.index], through: access)
        // An operand out of step with the result's axis leaks only together with the others.
        let isOutOfStep = through.axis != nil && through.axis != reads[value.index].axis
        guard through.leaks(axis, extent: extent) || isOutOfStep else { return nil }
        return Leak.Step(
          value: value, node: node, operand: operand,
          read: reads[operand.index].axis.map { access[$0] }, isOutOfStep: isOutOfStep,
          fixed: through.fixed?.upper, begins: !reads[operand.index].leaks(axis, extent: extent))
      }
      // Prefer an operand that leaks by itself: the path then ends where the leak begins.
      guard let step = found.first(where: { !$0.begins }) ?? found.first else { break }
      steps.append(step)
      if step.begins { break }
      value = step.operand
    }
    return steps.reversed()
  }
}
