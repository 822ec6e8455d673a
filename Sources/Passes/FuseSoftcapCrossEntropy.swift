// SPDX-License-Identifier: Apache-2.0
// Caps the logits inside the loss, so that no capped copy of them is stored.

import IR

extension Pass {
  /// Moves a softcap into the cross-entropy that is its only reader.
  ///
  ///     %c = softcap(%z) {cap=30}
  ///     %nll, %lse = cross_entropy(%c, %targets) {cap=0}
  ///       ->
  ///     %nll, %lse = cross_entropy(%z, %targets) {cap=30}
  ///
  /// Runs before differentiate, so that the gradient is that of the fused form.
  public static let fuseSoftcapCrossEntropy = Pass(
    "fuse-softcap-cross-entropy", "Cap logits inside the loss."
  ) { graph in
    let uses = graph.useCounts()
    let producers = graph.producers()
    var skipped = Set<Int>()
    for node in graph.nodes {
      if let cap = node.fusibleCap(graph, producers, uses) { skipped.insert(cap) }
    }
    var copy = Rebuilder(graph)
    for (index, node) in graph.nodes.enumerated() where !skipped.contains(index) {
      guard let cap = node.fusibleCap(graph, producers, uses) else {
        copy.copy(node)
        continue
      }
      let softcap = graph.nodes[cap]
      copy.builder.location = node.location
      let results = try copy.builder.apply(
        .crossEntropy, [copy[softcap.operands[0]], copy[node.operands[1]]],
        [.cap: .double(softcap.double(.cap))], names: node.results.map { graph.name($0) })
      for (old, new) in zip(node.results, results) { copy.map(old, to: new) }
    }
    return copy.finish()
  }
}

extension Node {
  /// The index of the softcap that feeds this cross-entropy alone.
  fileprivate func fusibleCap(_ graph: Graph, _ producers: [Value: Int], _ uses: [Int]) -> Int? {
    guard op == .crossEntropy, double(.cap) == 0, let index = producers[operands[0]],
      graph.nodes[index].op == .softcap, uses[operands[0].index] == 1
    else { return nil }
    return index
  }
}
