// SPDX-License-Identifier: Apache-2.0
// Quantisation-aware training: weights are seen as they will be after quantisation.

import IR

extension Pass {
  /// Puts a fake_quant between every parameter with an int precision and its readers.
  ///
  ///     param @fc : f32[8, 4] {…, precision=int6 per_row sdclip(12.85)}
  ///     %y = linear(%x, @fc)
  ///       ->
  ///     input %qat.alpha : f32[]
  ///     %qat.fc = fake_quant(@fc, %qat.alpha) {bits=6, clip=sdclip, …}
  ///     %y = linear(%x, %qat.fc)
  ///
  /// A parameter in fp8 gets a fake_float8 instead, whose rounding is straight-through in any form.
  /// Requires assign-precision, runs before differentiate. Alpha is data, never a flag: 0 is off. What
  /// `raw` reads stays as it is.
  /// `form` is `straight_through`, `soft_round` or `soft_round_logistic`.
  public static func markQAT(form: String) -> Pass {
    Pass("mark-qat", "Insert the quantiser before the readers of quantised parameters.") { graph in
      var copy = Rebuilder(graph)
      let alpha = copy.builder.input(.qatAlpha, .scalar)
      var unrounded: [Value: Value] = [:]
      for (index, parameter) in graph.parameters.enumerated() {
        guard parameter.role == .param, let precision = parameter.precision else { continue }
        let value = graph.parameterValues[index]
        func see(_ op: Op, _ attributes: [AttributeName: AttributeValue]) {
          let seen = copy.builder.one(
            op, [copy[value], alpha], attributes, name: "qat." + parameter.path)
          unrounded[value] = copy[value]
          copy.map(value, to: seen)
        }
        if precision == .fp8 { see(.fakeFloat8, [:]) }
        guard case .int(let quantizer) = precision else { continue }
        if quantizer.codesFromUnrounded {
          throw OpError(
            "qat: \(parameter.path) takes its codes from the unrounded scale, which the QAT node "
              + "does not have; drop `unrounded` from its quantize rule or turn qat off")
        }
        if quantizer.fine != nil || quantizer.correction != nil {
          throw OpError(
            "qat: \(parameter.path) has fine columns or a correction, which training does not see; drop "
              + "`fine` and `lqer` from its quantize rule or turn qat off")
        }
        if quantizer.keepsMean {
          throw OpError(
            "qat: training sees the codes of \(parameter.path) times the scale of its weights, which "
              + "`shrink_fix` would change; drop it from the quantize rule or turn qat off")
        }
        see(.fakeQuant, quantizer.attributes(form: form))
      }
      for node in graph.nodes {
        if node.op == .raw, let parameter = unrounded[node.operands[0]] {
          copy.map(node.result, to: parameter)
        } else {
          copy.copy(node)
        }
      }
      return copy.finish()
    }
  }
}

extension Quantizer {
  fileprivate func attributes(form: String) -> [AttributeName: AttributeValue] {
    [
      .bits: .int(bits), .clip: .word(clip.kind.rawValue), .parameters: .doubles(clip.parameters),
      .floor: .double(floor), .halfFloor: .double(halfFloor), .asymmetric: .bool(isAsymmetric),
      .form: .word(form), .group: .int(group),
    ]
  }
}
