// SPDX-License-Identifier: Apache-2.0
// Reverse-mode differentiation of the output `loss`, by the rules beside the ops.

import IR

extension Pass {
  /// Appends the gradients of the loss and returns them as `grad.PATH`.
  ///
  ///     %y = linear(%x, @w)
  ///     %loss = dot(%y, %weights)
  ///     return loss = %loss
  ///       ->
  ///     …
  ///     %d.y.mul = mul(%weights, …)
  ///     %d.w = linear_backward_weight(%d.y.mul, %x)
  ///     return grad.w = %d.w
  ///
  /// Differentiates by every parameter, or by those in `only`. A parameter that the loss does not
  /// reach gets zeros. Contributions of several readers are added in the order of the readers, last
  /// first. Runs before fusion.
  public static func differentiate(only: Set<String>? = nil) -> Pass {
    Pass("differentiate", "Append the gradients of the loss.") { graph in
      guard let loss = graph.output(.loss) else {
        throw OpError("differentiate needs the output `loss`")
      }
      var copy = Rebuilder(graph)
      for node in graph.nodes { copy.copy(node) }
      var finished = copy.finish()
      let wanted = finished.parameters.indices.filter {
        finished.parameters[$0].role == .param
          && only?.contains(finished.parameters[$0].path) ?? true
      }
      let differentiable = finished.reached(from: wanted.map { finished.parameterValues[$0] })
      let forward = finished.nodes
      let lossValue = copy[loss]

      var builder = copy.builder
      var gradients: [Value: Value] = [:]
      func accumulate(_ value: Value, _ gradient: Value, _ builder: inout Builder) {
        if let earlier = gradients[value] {
          gradients[value] = builder.one(.add, [earlier, gradient])
        } else {
          gradients[value] = gradient
        }
      }
      for node in forward.reversed() {
        guard node.results.contains(where: differentiable.contains) else { continue }
        // The seed: d loss / d loss = 1, folded into the first rule because every loss is a dot.
        let isSeed = node.results.contains(lossValue)
        guard isSeed || node.results.contains(where: { gradients[$0] != nil }) else { continue }
        guard case .rule(let rule) = node.definition.gradient else {
          throw OpError("\(node.op.rawValue) has no gradient")
        }
        builder.path = "d." + finished.name(node.result)
        builder.location = node.location
        var results = node.results.map { gradients[$0] }
        if isSeed {
          if node.op == .dot, gradients[lossValue] == nil {
            // With dy = 1 the rule of dot is the other operand itself.
            for (operand, other) in [(0, 1), (1, 0)]
            where differentiable.contains(node.operands[operand]) {
              accumulate(node.operands[operand], node.operands[other], &builder)
            }
            continue
          }
          if gradients[lossValue] == nil {
            let zero = builder.one(.scale, [lossValue], [.by: .double(0)])
            results[0] = builder.one(.offset, [zero], [.by: .double(1)])
          }
        }
        for (operand, gradient) in zip(node.operands, rule(&builder, node, results)) {
          if let gradient, differentiable.contains(operand) {
            accumulate(operand, gradient, &builder)
          }
        }
      }
      builder.path = ""
      for index in wanted {
        let value = finished.parameterValues[index]
        let gradient =
          gradients[value] ?? builder.one(.scale, [value], [.by: .double(0)])
        builder.output(.gradient(finished.parameters[index].path), gradient)
      }
      finished = builder.graph
      return finished
    }
  }
}

extension Graph {
  /// Values that depend on one of the given ones and hold real numbers.
  fileprivate func reached(from values: [Value]) -> Set<Value> {
    var reached = Set(values)
    for node in nodes where node.operands.contains(where: reached.contains) {
      for result in node.results where type(result).isReal { reached.insert(result) }
    }
    return reached
  }
}
