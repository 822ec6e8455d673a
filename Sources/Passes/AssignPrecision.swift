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
  /// Row quantisers need two axes; other shapes with an int rule take f16.
  public static func assignPrecision(_ table: [String: Precision]) -> Pass {
    Pass("assign-precision", "Give every parameter its stored form.") { graph in
      var copy = Rebuilder(
        graph,
        declaring: { parameter in
          guard parameter.role == .param else { return parameter }
          var parameter = parameter
          let precision = table[parameter.path] ?? .f32
          if case .int = precision, parameter.type.rank != 2 {
            parameter.precision = .f16
          } else {
            parameter.precision = precision
          }
          return parameter
        })
      for node in graph.nodes { copy.copy(node) }
      return copy.finish()
    }
  }
}
