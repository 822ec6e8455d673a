// SPDX-License-Identifier: Apache-2.0
// Common subexpression elimination.

import IR

extension Pass {
  /// Merges nodes with equal op, operands and attributes.
  ///
  ///     %1 = square(%0)
  ///     %2 = square(%0)      ->   %1 = square(%0)
  ///     %3 = add(%1, %2)          %3 = add(%1, %1)
  ///
  /// Requires nothing. Does not normalise operand order: add(a, b) and add(b, a) stay distinct.
  public static let eliminateDuplicates = Pass("eliminate-duplicates", "Merge equal nodes.") {
    graph in
    struct Key: Hashable {
      let op: Op
      let operands: [Value]
      let attributes: [AttributeName: AttributeValue]

      /// Attributes seldom tell nodes with equal operands apart, and are slow to hash.
      func hash(into hasher: inout Hasher) {
        hasher.combine(op)
        hasher.combine(operands)
      }
    }
    var copy = Rebuilder(graph)
    var first: [Key: [Value]] = [:]
    for node in graph.nodes {
      let key = Key(
        op: node.op, operands: node.operands.map { copy[$0] }, attributes: node.attributes)
      if node.op != .fused, let results = first[key] {
        for (old, new) in zip(node.results, results) { copy.map(old, to: new) }
        continue
      }
      copy.copy(node)
      first[key] = node.results.map { copy[$0] }
    }
    return copy.finish()
  }
}
