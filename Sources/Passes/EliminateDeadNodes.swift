// SPDX-License-Identifier: Apache-2.0
// Dead code elimination.

import IR

extension Pass {
  /// Drops nodes whose results reach no output and no write.
  ///
  ///     %1 = square(%0)
  ///     %2 = tanh(%0)        ->   %1 = square(%0)
  ///     return y = %1             return y = %1
  ///
  /// Requires nothing. Inputs and parameters stay declared: they are the function's signature.
  public static let eliminateDeadNodes = Pass("eliminate-dead-nodes", "Drop unread nodes.") {
    graph in
    var live = Set(graph.writes.map(\.value) + graph.outputs.map(\.value))
    var kept: [Node] = []
    for node in graph.nodes.reversed() where node.results.contains(where: live.contains) {
      kept.append(node)
      live.formUnion(node.operands)
    }
    var copy = Rebuilder(graph)
    for node in kept.reversed() { copy.copy(node) }
    return copy.finish()
  }
}
