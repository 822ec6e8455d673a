// SPDX-License-Identifier: Apache-2.0
// Decides in which precision matrix products and attention are computed.

import IR

extension Pass {
  /// Sets the compute precision of all matrix products and attentions.
  ///
  ///     %y = linear(%x, @w) {compute=f32}     ->   %y = linear(%x, @w) {compute=bf16}
  ///
  /// In bf16 both operands of a product are rounded, sums are f32. Parameters and what adds up over
  /// layers stay f32 in memory; the lowering stores activations and gradients that only products make
  /// or take as bf16 (see ChooseStorage.swift). Runs after differentiate and insert-optimizer.
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
