// SPDX-License-Identifier: Apache-2.0
// The first pass: nothing is derived from a forward function that reads what it may not.

import IR

extension Pass {
  /// Proves that the distribution of row r at position t depends on no token but those of row r up to
  /// t, by composing what every op reads (`ReadRule`). Changes nothing.
  ///
  ///     %x = embed(@table, %ids)
  ///     %last = slice(%x) {axis=1, start=3, …}      ->   not legal: … tokens behind it
  ///     %y = add(%x, %last)
  ///
  /// Whatever a rule cannot express counts as read, so a legal function may be refused (a gather by
  /// a computed table, say), a leaking one never passes. Runs before sizes are bound.
  public static let proveCausality = Pass(
    "prove-causality", "Prove that no output depends on later tokens or other rows."
  ) { graph in
    let errors = graph.causalityErrors()
    if !errors.isEmpty { throw Diagnostics(errors) }
    return graph
  }
}
