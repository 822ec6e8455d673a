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

      /// Of the attributes the numbers count, in any order: many slices of one value, or sums with
      /// constants, differ in nothing else. Hashing all of them would be slow.
      func hash(into hasher: inout Hasher) {
        hasher.combine(op)
        hasher.combine(operands)
        var numbers: UInt64 = 0
        for value in attributes.values {
          switch value {
          case .int(let number): numbers &+= UInt64(bitPattern: Int64(number))
          // Zeros of both signs are equal.
          case .double(let number): numbers &+= number == 0 ? 0 : number.bitPattern
          case .bool, .word, .doubles, .dims: break
          }
        }
        hasher.combine(numbers)
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
