// SPDX-License-Identifier: Apache-2.0
// Gives every parameter its stored form, from the rules of the quantize section.

import IR

extension Pass {
  /// Writes the precision of every parameter into its declaration.
  ///
  ///     param @fc : f32[8, 4] {group=matrix, init=uniform}
  ///       -> param @fc : f32[8, 4] {group=matrix, init=uniform, precision=int6 per_row sdclip(12.85)}
  ///
  /// The table was resolved from the file's rules (last match wins). States have no precision.
  /// Requires what the reading of files and of core text checks: int rules for matrices only.
  public static func assignPrecision(_ table: [String: Precision]) -> Pass {
    Pass("assign-precision", "Give every parameter its stored form.") { graph in
      for parameter in graph.parameters where parameter.role == .param {
        guard table[parameter.path]?.fits(parameter.type) == false else { continue }
        throw OpError(
          "@\(parameter.path) is \(parameter.type), it cannot be stored as \(table[parameter.path]!)"
        )
      }
      var copy = Rebuilder(
        graph,
        declaring: { parameter in
          guard parameter.role == .param else { return parameter }
          var parameter = parameter
          parameter.precision = table[parameter.path] ?? .f32
          return parameter
        })
      for node in graph.nodes { copy.copy(node) }
      return copy.finish()
    }
  }

  /// Writes the forms that were chosen within the budget, and those of rules, into the declarations.
  ///
  ///     param @fc : f32[8, 4] {group=matrix, init=uniform}
  ///       -> param @fc : f32[8, 4] {group=matrix, init=uniform, precision=int4 per_row sdclip(3.12) gptq}
  ///
  /// The choice itself needs trained weights and text; it is made where they are, and comes as the table.
  public static func choosePrecision(_ table: [String: Precision]) -> Pass {
    Pass("choose-precision", "Give every parameter the form that the budget buys.") { graph in
      try assignPrecision(table).run(graph)
    }
  }
}
