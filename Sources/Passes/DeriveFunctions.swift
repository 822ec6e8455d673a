// SPDX-License-Identifier: Apache-2.0
// The functions of a model, each derived from its one forward: logits, loss, score.

import IR

extension Pass {
  /// Replaces the distribution by the logits below it.
  ///
  ///     %p = softmax(%z)           ->   return logits = %z
  ///     return dist = %p
  public static let deriveLogits = Pass("derive-logits", "Return the logits of the dist.") {
    graph in
    var copy = Rebuilder(graph, name: "logits")
    let logits = try copyBelowSoftmax(graph, &copy)
    copy.builder.output(.logits, logits)
    return copy.builder.graph
  }

  /// Replaces the distribution by the loss of given targets.
  ///
  ///     %p = softmax(%z)           ->   %nll, %lse = cross_entropy(%z, %targets) {cap=0}
  ///     return dist = %p                %loss = dot(%nll, %weights)
  ///                                     return loss = %loss
  ///                                     return nll = %nll
  ///
  /// `weights` [B, T] holds 1 / (number of targets) for a mean, 0 for rows that only fill the batch.
  /// `zLoss` adds zLoss * lse² to each target's loss, and returns what it added as `z_loss`.
  public static func deriveLoss(zLoss: Double = 0) -> Pass {
    Pass("derive-loss", "Return the loss of given targets.") { graph in
      var copy = Rebuilder(graph, name: "loss")
      let ids = graph.inputs[0]
      let shape = copy.builder.type(copy[ids]).shape
      let targets = copy.builder.input(.targets, TensorType(.tokens, shape))
      let weights = copy.builder.input(.weights, TensorType(.tensor, shape))
      let logits = try copyBelowSoftmax(graph, &copy)
      copy.builder.path = ""
      let results = try copy.builder.apply(
        .crossEntropy, [logits, targets], [:], names: ["nll", "lse"])
      var loss = copy.builder.one(.dot, [results[0], weights], name: "loss")
      if zLoss > 0 {
        let square = copy.builder.one(.square, [results[1]])
        let penalty = copy.builder.one(.dot, [square, weights])
        let scaled = copy.builder.one(.scale, [penalty], [.by: .double(zLoss)])
        loss = copy.builder.one(.add, [loss, scaled])
        copy.builder.output(.zLoss, scaled)
      }
      copy.builder.output(.loss, loss)
      copy.builder.output(.nll, results[0])
      return copy.builder.graph
    }
  }

  /// Replaces the distribution by the nll of the last `count` targets of each row (nil: all).
  ///
  ///     %p = softmax(%z)           ->   %scored = slice(%z) {axis=1, count=2, start=6, …}
  ///     return dist = %p                %nll, %lse = cross_entropy(%scored, %targets) {cap=0}
  ///                                     return nll = %nll
  ///
  /// Needs bound sizes. `targets` is [B, count].
  public static func deriveScore(last count: Int? = nil) -> Pass {
    Pass("derive-score", "Return the nll of the scored targets.") { graph in
      var copy = Rebuilder(graph, name: "score")
      let shape = copy.builder.type(copy[graph.inputs[0]]).sizes
      let scored = count ?? shape[1]
      let targets = copy.builder.input(
        .targets, TensorType(.tokens, [.number(shape[0]), .number(scored)]))
      var logits = try copyBelowSoftmax(graph, &copy)
      copy.builder.path = ""
      if scored < shape[1] {
        logits = copy.builder.one(
          .slice, [logits],
          [.axis: .int(1), .start: .int(shape[1] - scored), .count: .int(scored)], name: "scored")
      }
      let results = try copy.builder.apply(
        .crossEntropy, [logits, targets], [:], names: ["nll", "lse"])
      copy.builder.output(.nll, results[0])
      return copy.builder.graph
    }
  }

  /// Gives open sizes their numbers: the first step of every phase.
  public static func bindSizes(_ sizes: [String: Int]) -> Pass {
    Pass("bind-sizes", "Give open sizes their numbers.") { graph in
      var copy = Rebuilder(graph, binding: sizes)
      for node in graph.nodes { copy.copy(node) }
      return copy.finish()
    }
  }
}

/// Copies all nodes but the softmax behind the output `dist` and returns its operand.
private func copyBelowSoftmax(_ graph: Graph, _ copy: inout Rebuilder) throws -> Value {
  guard let dist = graph.output(named: "dist"),
    let softmax = graph.nodes.last(where: { $0.results.contains(dist) }), softmax.op == .softmax
  else { throw OpError("forward must return a dist that a softmax makes") }
  for node in graph.nodes where node != softmax { copy.copy(node) }
  return copy[softmax.operands[0]]
}
