// SPDX-License-Identifier: Apache-2.0
// Folds arithmetic with known constants.

import IR

extension Pass {
  /// Merges chains of constant factors and summands and drops those that change nothing.
  ///
  ///     %1 = scale(%0) {by=2}
  ///     %2 = scale(%1) {by=0.5}     ->   uses of %2 read %0
  ///     %3 = offset(%2) {by=0}
  ///
  /// Requires nothing. Never reorders a scale and an offset: the rounding of the two orders differs.
  public static let foldConstants = Pass("fold-constants", "Fold arithmetic with constants.") {
    graph in
    var copy = Rebuilder(graph)
    // The constant factor or summand that made a value, and what it was applied to.
    var made: [Value: (op: Op, by: Double, of: Value)] = [:]
    for node in graph.nodes {
      guard node.isConstantArithmetic else {
        copy.copy(node)
        continue
      }
      var by = node.double(.by)
      var source = copy[node.operands[0]]
      if let inner = made[source], inner.op == node.op {
        by = node.op == .scale ? by * inner.by : by + inner.by
        source = inner.of
      }
      if by == node.op.neutral {
        copy.map(node.result, to: source)
        continue
      }
      copy.builder.location = node.location
      let result = copy.builder.one(
        node.op, [source], [.by: .double(by)], name: graph.name(node.result))
      made[result] = (node.op, by, source)
      copy.map(node.result, to: result)
    }
    return copy.finish()
  }
}

extension Node {
  fileprivate var isConstantArithmetic: Bool { op == .scale || op == .offset }
}

extension Op {
  /// x * 1 == x, x + 0 == x.
  fileprivate var neutral: Double { self == .scale ? 1 : 0 }
}
