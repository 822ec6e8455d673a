// SPDX-License-Identifier: Apache-2.0
// Which stored form a param can have: the one place that decides, for files and for core text.

extension Precision {
  /// Whether a param of this type can be stored so: codes need the rows of a matrix, and groups divide them.
  public func fits(_ type: TensorType) -> Bool { misfit(type) == nil }

  /// Why a param of this type cannot be stored so.
  fileprivate func misfit(_ type: TensorType) -> String? {
    guard case .int(let quantizer) = self else { return nil }
    guard type.rank == 2 else { return "has no rows to quantise: only matrices have" }
    guard quantizer.group > 0, type.sizes[1] % quantizer.group != 0 else { return nil }
    return "has rows of \(type.sizes[1]), which groups of \(quantizer.group) do not divide"
  }
}

extension QuantizeSettings {
  /// The same params stored within a budget: integers by choice instead of by rule.
  public func choosing(within budget: Int) -> QuantizeSettings {
    var settings = self
    if !isAutomatic {
      settings.rules.removeAll {
        if case .int = $0.precision { true } else { false }
      }
    }
    (settings.isAutomatic, settings.budget) = (true, budget)
    settings.calibration = calibration ?? Self.usualCalibration
    return settings
  }

  /// Whether the form of a param is chosen: a matrix that no rule stores.
  public func isFree(_ parameter: Parameter) -> Bool {
    isAutomatic && parameter.type.rank == 2 && rule(for: parameter) == nil
  }

  /// With the chosen forms as rules.
  public func fixed(_ chosen: [(path: String, precision: Precision)]) -> QuantizeSettings {
    var settings = self
    settings.isAutomatic = false
    settings.rules += chosen.compactMap { path, precision in
      Glob(path).map { PrecisionRule(target: .glob($0), precision: precision) }
    }
    return settings
  }

  /// The rule that decides how a param is stored; nil if none matches.
  public func rule(for parameter: Parameter) -> PrecisionRule? {
    rules.winner(parameter)
  }

  /// An error for each rule and group in which the rule wins params that it cannot store.
  public func unstorable(_ parameters: [Parameter]) -> [Diagnostic] {
    struct Key: Hashable {
      let target: Target
      let group: String
    }
    var reported: Set<Key> = []
    var errors: [Diagnostic] = []
    for parameter in parameters {
      guard let rule = self.rule(for: parameter), !rule.precision.fits(parameter.type),
        reported.insert(Key(target: rule.target, group: parameter.group)).inserted
      else { continue }
      // A rule that names what it cannot store is itself wrong; one that catches what is left, or that
      // also stores matrices, needs another behind it.
      let isWrong =
        !rule.target.isNet
        && parameters.allSatisfy {
          self.rule(for: $0)?.target != rule.target || !rule.precision.fits($0.type)
        }
      let group = parameters.filter { $0.group == parameter.group }
      let target =
        group.contains { rule.precision.fits($0.type) }
        ? "\"\(parameter.path)\"" : "group \(parameter.group)"
      let suggestion =
        isWrong
        ? "choose f16 or f32 instead, such as: \(rule.target.text) f16"
        : "choose f16 or f32 for it by a rule behind this one, such as: \(target) f16"
      errors.append(
        Diagnostic(
          .wrongKind,
          "'\(parameter.path)' is \(parameter.type) and "
            + (rule.precision.misfit(parameter.type) ?? ""),
          at: rule.location, suggestion: suggestion))
    }
    return errors
  }
}
