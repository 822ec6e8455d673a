// SPDX-License-Identifier: Apache-2.0
// The manual of all ops, made from their definitions: docs/ops.md.

extension Op {
  /// All ops as a Markdown document; a test keeps docs/ops.md equal to it.
  public static var manual: String {
    var text = """
      # Ops

      Made from the definitions in `Sources/IR/Ops`; `UPDATE_GOLDEN=1 ./scripts/test --filter OpManual`
      rewrites it. Operands ending in `…` may repeat. *Reads* says what one
      element of a result may depend on.

      ## In graph files

      """
    for op in allCases where op.definition.isSurface { text += op.manualEntry }
    text += "\n## Made by passes\n"
    for op in allCases where !op.definition.isSurface { text += op.manualEntry }
    return text
  }

  private var manualEntry: String {
    let definition = definition
    var text =
      "\n### \(rawValue)(\(definition.operands.joined(separator: ", ")))\n\n\(definition.summary)\n"
    let positional = definition.positional
    let names =
      positional + definition.attributes.keys.filter { !positional.contains($0) }.sorted()
    if !names.isEmpty {
      let list = names.map { name -> String in
        let fallback = definition.attributes[name]!.defaultValue.map { " = \($0)" } ?? ""
        return "`\(name.rawValue)\(fallback)`"
      }
      text += "Attributes: \(list.joined(separator: ", ")).\n"
    }
    if definition.results.count > 1 {
      text += "Results: \(definition.results.map { "`\($0)`" }.joined(separator: ", ")).\n"
    }
    switch definition.gradient {
    case .rule: text += "Differentiable. "
    case .none(let reason): text += "No gradient: \(reason). "
    }
    return text + "Reads \(definition.reads.summary).\n"
  }
}
