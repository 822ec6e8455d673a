// SPDX-License-Identifier: Apache-2.0
// What a quantiser asks of the text that a model reads: how the inputs of each matrix vary together.

import IR

extension Pass {
  /// Returns, for each param that multiplies as a matrix, the second moments of what it multiplies.
  ///
  ///     %y = linear(%x, @w)        ->   %y = linear(%x, @w)
  ///     …                               %moment.w = linear_backward_weight(%x, %x)
  ///     return dist = %p                return moment.w = %moment.w
  ///
  /// The sum Σ x xᵀ over all tokens, [k, k] for a matrix [n, k] (Frantar et al., "GPTQ", 2022: half of the
  /// Hessian of the squared error of a row). A matrix that several nodes multiply, as in a loop, has the sum
  /// of theirs. Needs bound sizes.
  public static let deriveMoments = Pass(
    "derive-moments", "Return the second moments of what each matrix multiplies."
  ) { graph in
    var copy = Rebuilder(graph, name: "moments")
    for node in graph.nodes { copy.copy(node) }
    copy.builder.path = ""
    for (parameter, value) in zip(graph.parameters, graph.parameterValues) {
      var sum: Value?
      for node in graph.nodes where node.op == .linear && node.operands[1] == value {
        let x = copy[node.operands[0]]
        let moment = copy.builder.one(
          .linearBackwardWeight, [x, x], name: "moment.\(parameter.path)")
        sum = sum.map { copy.builder.one(.add, [$0, moment]) } ?? moment
      }
      if let sum { copy.builder.output(.moment(parameter.path), sum) }
    }
    return copy.builder.graph
  }
}
