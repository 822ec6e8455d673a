// SPDX-License-Identifier: Apache-2.0
// What people read of a leak: the path from the token to the output, value by value.

extension DiagnosticCode {
  public static let readsTheFuture = DiagnosticCode(
    "E0801",
    "What is predicted at a position may depend on the tokens up to it alone. A value that was taken "
      + "from one position, or summed over positions, is the future of those before it.")
  public static let readsOtherRows = DiagnosticCode(
    "E0802",
    "What is predicted in a row may depend on that row alone: overlapping windows share a call, so "
      + "another row may hold what comes next.")

  /// Codes of scores that would not be legal: exit code 5.
  public static let legality: [DiagnosticCode] = [readsTheFuture, readsOtherRows]
}

extension Diagnostics {
  /// Whether an error says that a score would not be legal.
  public var isLegality: Bool { all.contains { DiagnosticCode.legality.contains($0.code) } }
}

extension Graph {
  /// Proves that element [r, t] of the distribution depends on no token but those of row r up to t.
  ///
  /// Empty if it does, else one error an axis with the path of the leak. `places` says where a value
  /// stands whose node has no place of its own: in core text.
  public func causalityErrors(places: (Value) -> SourceLocation? = { _ in nil }) -> [Diagnostic] {
    guard Safeguard.causality.isOn else { return [] }
    return leaks().map { leak in
      let begin = leak.path.first
      var lines = leak.path.map { step in
        let place = SourceLocation(step.node.location) ?? places(step.value)
        return (place.map { $0.description + ": " } ?? "") + sentence(step, leak.axis)
      }
      if let output = outputs.first?.value {
        lines.append("%\(name(output)) is what forward returns")
      }
      let place = begin.flatMap { SourceLocation($0.node.location) ?? places($0.value) }
      switch leak.axis {
      case .positions:
        return Diagnostic(
          .readsTheFuture,
          "not legal: the distribution at a position depends on tokens behind it"
            + (begin?.fixed.map { $0 == .max ? "" : ", up to position \($0)" } ?? ""),
          at: place, notes: lines.map { .init($0) },
          suggestion: "a position may read those before it through attention alone")
      case .rows:
        return Diagnostic(
          .readsOtherRows, "not legal: the distribution in a row depends on tokens of other rows",
          at: place, notes: lines.map { .init($0) },
          suggestion:
            "rows of a batch are unrelated texts, or later windows of the same one; index "
            + "params, not activations")
      }
    }
  }

  /// `x.slice = slice(x): position 63, whatever the position`.
  private func sentence(_ step: Leak.Step, _ axis: TokenAxis) -> String {
    let operands = step.node.operands.map(spelled).joined(separator: ", ")
    return "%\(name(step.value)) = \(step.node.op.rawValue)(\(operands)): "
      + reason(step, axis == .rows ? "row" : "position")
  }

  private func reason(_ step: Leak.Step, _ word: String) -> String {
    let operand = spelled(step.operand)
    switch step.read {
    case .at(let index)? where step.node.op == .slice:
      return "takes \(word) \(index) of \(operand)"
    case .at?: return "stretches the one \(word) of \(operand) over all \(word)s"
    case .all?: return "reads every \(word) of \(operand)"
    case .upTo(_, let offset)? where offset > 0:
      return "reads \(operand) up to \(offset) \(word)s ahead"
    case .upTo?, .window?: return "reads \(operand) up to its own \(word)"
    case .same(_, let offset)? where offset != 0:
      return "takes \(operand) from \(word) \(offset) on"
    case .same? where step.isOutOfStep:
      return "lines the \(word)s of \(operand) up with another axis"
    case .same?, nil: return "reads \(operand)"
    }
  }
}
