// SPDX-License-Identifier: Apache-2.0
// The consts of a program in file order, with overrides, and the log of which names were read.

import IR

/// The consts that are evaluated so far. Shared by closures, hence a class.
private final class ConstantTable {
  var values: [String: Constant] = [:]
}

/// Which consts were read while sections and graphs were made. Shared by closures, hence a class.
final class ReadLog {
  var names: Set<String> = []
}

extension Program {
  /// The presets of the main file, in its order.
  var presets: [(name: SyntaxName, bindings: [SyntaxBinding], path: String)] {
    items.compactMap { loaded in
      guard case .preset(let name, let bindings, open: _, close: _) = loaded.item.kind else {
        return nil
      }
      return (name, bindings, loaded.path)
    }
  }

  /// What the chosen preset and flags replace, flags last. Names of all presets are checked.
  func overrides(_ choices: Choices, into diagnostics: inout [Diagnostic]) -> [ConstantOverride] {
    var seen: Set<String> = []
    for (name, _, path) in presets where !seen.insert(name.text).inserted {
      diagnostics.append(
        Diagnostic(
          .duplicateEntry, "two presets are named '\(name.text)'",
          at: location(name.position, in: path)))
    }
    guard let wanted = choices.preset else { return choices.constants }
    guard let preset = presets.first(where: { $0.name.text == wanted }) else {
      let names = presets.map(\.name.text)
      diagnostics.append(
        Diagnostic(
          .badOverride, "--preset: there is no preset '\(wanted)'", at: nil,
          suggestion: suggestion(for: wanted, among: names)
            ?? (names.isEmpty
              ? "the file declares none" : "the presets are \(commaSeparated(names))")))
      return choices.constants
    }
    return preset.bindings.compactMap {
      ConstantOverride($0, of: .preset(wanted), path: preset.path)
    } + choices.constants
  }

  /// Evaluates all consts; errors are appended to `diagnostics`.
  func constants(
    overrides: [ConstantOverride], into diagnostics: inout [Diagnostic]
  ) -> [Constant] {
    let table = ConstantTable()
    // Variants come last and replace what a flag said.
    let replaced = Dictionary(overrides.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
    var order: [Constant] = []
    for loaded in items {
      guard case .const(let bindings) = loaded.item.kind else { continue }
      for binding in bindings where table.values[binding.name.text] == nil {
        let name = binding.name.text
        let override = replaced[name]
        let path = override?.path ?? loaded.path
        let evaluator = ConstantEvaluator(
          path: path, names: { table.values.keys.sorted() },
          lookup: { wanted in
            guard override != nil || self.sees(wanted, in: loaded.path) else { return nil }
            return table.values[wanted]?.value
          })
        let place = location(binding.name.position, in: loaded.path)
        let origin =
          override?.origin ?? .file(path: loaded.path, line: binding.name.position.line)
        do throws(Diagnostic) {
          guard let expression = override?.expression ?? binding.value else { continue }
          let value = try evaluator.value(expression)
          let constant = Constant(name: name, value: value, origin: origin, location: place)
          table.values[name] = constant
          order.append(constant)
        } catch {
          diagnostics.append(error)
          // Everything that follows could only repeat the error.
          return order
        }
      }
    }
    reportUnknown(overrides, table.values, &diagnostics)
    return order
  }

  private func reportUnknown(
    _ overrides: [ConstantOverride], _ table: [String: Constant],
    _ diagnostics: inout [Diagnostic]
  ) {
    for override in overrides where table[override.name] == nil {
      let place =
        override.origin == .flag
        ? nil : location(override.expression.position, in: override.path)
      let what = override.origin == .flag ? "--set: " : "\(override.origin.text): "
      diagnostics.append(
        Diagnostic(
          .badOverride, "\(what)there is no const '\(override.name)'", at: place,
          suggestion: suggestion(for: override.name, among: table.keys.sorted())))
    }
  }
}
