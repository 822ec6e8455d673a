// SPDX-License-Identifier: Apache-2.0
// Decides in which precision matrix products are computed.

import IR

extension Pass {
  /// Sets the compute precision of all matrix products.
  ///
  ///     %y = linear(%x, @w) {compute=f32}     ->   %y = linear(%x, @w) {compute=bf16}
  ///
  /// In bf16 both operands of a product are rounded, sums are f32; parameters, activations and
  /// gradients stay f32 in memory. Runs after differentiate and insert-optimizer. Attention stays f32.
  public static func chooseComputePrecision(_ precision: ComputePrecision) -> Pass {
    Pass("choose-compute-precision", "Set the precision of matrix products.") { graph in
      var copy = Rebuilder(graph)
      for node in graph.nodes {
        var node = node
        if node.op.definition.attributes[.compute] != nil {
          node.attributes[.compute] = .word(precision.rawValue)
        }
        copy.copy(node)
      }
      return copy.finish()
    }
  }
}
