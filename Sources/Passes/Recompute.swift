// SPDX-License-Identifier: Apache-2.0
// Computes cheap activations again in the backward pass, so that they need not wait in memory.

import IR

extension Pass {
  /// Gives the backward pass its own copy of norms, elementwise values of one activation, and weighted
  /// sums of two.
  ///
  ///     %n = rms_norm(%x)                        %n = rms_norm(%x)
  ///     %y = linear(%n, @w)                      %y = linear(%n, @w)
  ///     …                                  ->    …
  ///     %dw = linear_backward_weight(%dy, %n)    %n' = rms_norm(%x)
  ///                                              %dw = linear_backward_weight(%dy, %n')
  ///
  /// What they are computed from (sums of the residual stream, results of products) is kept anyway, and
  /// is read again in the same place. Values with heads are kept: attention reads them before anything
  /// else of their layer. Runs after everything that removes duplicates, before fusion.
  public static let recompute = Pass("recompute", "Compute cheap activations twice to save memory.")
  {
    graph in
    guard let loss = graph.output(.loss) else { return graph }
    let producers = graph.producers()
    let forward = graph.ancestors(of: loss, producers)
    let constants = graph.parameterOnlyValues()
    var copy = Rebuilder(graph)
    var copies: [Value: Value] = [:]
    /// The node that makes a value, if that is computed again and was not yet.
    func missing(_ value: Value) -> Node? {
      guard copies[value] == nil, let index = producers[value], forward.contains(index),
        graph.nodes[index].isCheap(graph, producers, constants)
      else { return nil }
      return graph.nodes[index]
    }
    /// The value that a node of the backward pass reads in place of `value`.
    func again(_ value: Value) -> Value {
      // Operands first; a list and not a recursion, because cheap nodes in a row may be many.
      var pending = [value]
      while let next = pending.last {
        guard let node = missing(next) else {
          pending.removeLast()
          continue
        }
        if let operand = node.operands.first(where: { missing($0) != nil }) {
          pending.append(operand)
          continue
        }
        copy.builder.location = node.location
        copies[next] = copy.builder.one(
          node.op, node.operands.map { copies[$0] ?? copy[$0] }, node.attributes,
          name: "again." + graph.name(next))
      }
      return copies[value] ?? copy[value]
    }
    for (index, node) in graph.nodes.enumerated() {
      guard !forward.contains(index) else {
        copy.copy(node)
        continue
      }
      let kept = node.operands.map { copy[$0] }
      let operands = node.operands.map(again)
      for (operand, value) in zip(node.operands, operands) { copy.map(operand, to: value) }
      copy.copy(node)
      for (operand, value) in zip(node.operands, kept) { copy.map(operand, to: value) }
    }
    return copy.finish()
  }
}

extension Graph {
  /// The nodes that a value is computed from.
  fileprivate func ancestors(of value: Value, _ producers: [Value: Int]) -> Set<Int> {
    var found = Set<Int>()
    var pending = [value]
    while let next = pending.popLast() {
      guard let index = producers[next], found.insert(index).inserted else { continue }
      pending += nodes[index].operands
    }
    return found
  }
}

extension Node {
  /// A norm or an elementwise op of one activation [batch, positions, width], or a weighted sum of two.
  fileprivate func isCheap(
    _ graph: Graph, _ producers: [Value: Int], _ constants: Set<Value>
  ) -> Bool {
    guard graph.type(result).rank == 3 else { return false }
    switch op.definition.recompute {
    case .ofOneActivation, .ofOneActivationAndInSums, .atReaders:
      return operands.count { !constants.contains($0) } == 1
    case .sums:
      // Not any sum, or the whole residual stream would be computed again from its beginning.
      return operands.allSatisfy { operand in
        guard let index = producers[operand] else { return false }
        let node = graph.nodes[index]
        return node.op.definition.recompute == .ofOneActivationAndInSums
          && node.isCheap(graph, producers, constants)
      }
    case .never: return false
    }
  }
}
