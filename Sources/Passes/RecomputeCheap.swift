// SPDX-License-Identifier: Apache-2.0
// Computes again what costs less than memory.

import IR

extension Pass {
  /// Gives every row-local reader of a scale or a leaky relu its own copy.
  ///
  ///     %f = leaky_relu(%x)                 %f = leaky_relu(%x)
  ///     %y = square(%f)               ->    %y = square(%f)
  ///     …                                   …
  ///     %g = mul(%dy, %f)                   %f~2 = leaky_relu(%x)
  ///                                         %g = mul(%dy, %f~2)
  ///
  /// Fused with its reader a copy needs no memory, while a shared result is written once and read by
  /// every program. Requires a graph before fuse-rows. Leaves results that a node reads which is not
  /// row-local, and every ninth of cheap nodes in a row, so that copies of copies stay few; copies for
  /// readers that end up in one program are not merged.
  public static let recomputeCheap = Pass(
    "recompute-cheap", "Copy cheap nodes to their readers."
  ) { graph in
    let cheap = graph.cheapNodes()
    var copy = Rebuilder(graph)
    /// Copies what a reader needs, innermost first.
    func recompute(_ operands: [Value]) {
      for value in operands {
        guard let node = cheap[value] else { continue }
        recompute(node.operands)
        copy.copy(node)
      }
    }
    for node in graph.nodes {
      if node.results.contains(where: { cheap[$0] != nil }) { continue }
      recompute(node.operands)
      copy.copy(node)
    }
    return copy.finish()
  }
}

extension Graph {
  /// The nodes that are copied to their readers, by result.
  fileprivate func cheapNodes() -> [Value: Node] {
    var readers: [Value: Int] = [:]
    var others = Set(outputs.map(\.value) + writes.map(\.value))
    for node in nodes {
      for operand in Set(node.operands) { readers[operand, default: 0] += 1 }
      if !node.op.isRowLocal { others.formUnion(node.operands) }
    }
    var cheap: [Value: Node] = [:]
    // Cheap nodes in a row that are copied with a node.
    var row: [Value: Int] = [:]
    for node in nodes where node.op.definition.recompute == .atReaders && type(node.result).rank > 1
    {
      let length = row[node.operands[0], default: 0] + 1
      if readers[node.result, default: 0] > 1, !others.contains(node.result), length <= 8 {
        cheap[node.result] = node
        row[node.result] = length
      }
    }
    return cheap
  }
}
