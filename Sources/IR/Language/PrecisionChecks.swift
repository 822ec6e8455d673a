// SPDX-License-Identifier: Apache-2.0
// Which stored form a param can have: the one place that decides, for files and for core text.

extension Precision {
  /// Whether a param of this type can be stored so: codes need the rows of a matrix.
  public func fits(_ type: TensorType) -> Bool {
    if case .int = self { return type.rank == 2 }
    return true
  }
}

extension QuantizeSettings {
  /// The rule that decides how a param is stored; nil if none matches.
  public func rule(for parameter: Parameter) -> PrecisionRule? {
    rules.lastMatch(
      path: parameter.path, group: parameter.group, elements: parameter.type.count
    ) { $0.target }
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
      guard let rule = rule(for: parameter), !rule.precision.fits(parameter.type),
        reported.insert(Key(target: rule.target, group: parameter.group)).inserted
      else { continue }
      let hasMatrices = parameters.contains {
        $0.group == parameter.group && $0.type.rank == 2
      }
      let target = hasMatrices ? "\"\(parameter.path)\"" : "group \(parameter.group)"
      errors.append(
        Diagnostic(
          .wrongKind,
          "'\(parameter.path)' is \(parameter.type) and has no rows to quantise: only matrices have",
          at: rule.location,
          suggestion: "choose f16 or f32 for it by a rule behind this one, such as: \(target) f16"))
    }
    return errors
  }
}
