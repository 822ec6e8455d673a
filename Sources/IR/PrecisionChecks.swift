// SPDX-License-Identifier: Apache-2.0
// Which stored form a param can have: the one place that decides, for files and for core text.

extension Precision {
  /// Whether a param of this type can be stored so: codes need the rows of a matrix, and groups divide them.
  public func fits(_ type: TensorType) -> Bool { misfit(type) == nil }

  /// Why a param of this type cannot be stored so.
  fileprivate func misfit(_ type: TensorType) -> String? {
    guard case .int(let quantizer) = self else { return nil }
    guard type.rank == 2 else { return "has no rows to quantise: only matrices have" }
    let columns = type.sizes[1]
    if quantizer.group > 0, columns % quantizer.group != 0 {
      return "has rows of \(columns), which groups of \(quantizer.group) do not divide"
    }
    if let fine = quantizer.fine {
      let isInside = fine.start >= 0 && fine.count > 0 && fine.start <= columns - fine.count
      guard isInside, quantizer.group == 0, (quantizer.bits...8).contains(fine.bits) else {
        return
          "has no columns \(fine.start) to \(fine.start + fine.count - 1) for \(fine.bits) bits"
      }
    }
    if let low = quantizer.correction {
      let bits = Quantizer.allBits
      guard low.rank > 0, low.rank <= min(type.sizes[0], columns), low.group >= 0,
        bits.contains(low.aBits), bits.contains(low.bBits)
      else { return "has no correction of rank \(low.rank) in \(low.aBits) and \(low.bBits) bits" }
    }
    return nil
  }
}

extension [PrecisionRule] {
  /// With `others` behind them, and without those that have the target of one of these.
  public func replaced(by others: [PrecisionRule]) -> [PrecisionRule] {
    filter { rule in !others.contains { $0.target == rule.target } } + others
  }
}

extension Model {
  /// The params whose stored form is chosen.
  public var freeParameters: [Parameter] {
    guard let quantize = settings.quantize else { return [] }
    return graph.parameters.filter(quantize.isFree)
  }
}

extension QuantizeSettings {
  /// The same params stored within a budget: integers by choice instead of by rule.
  public func choosing(within budget: Int) -> QuantizeSettings {
    var settings = self
    if !isAutomatic {
      settings.rules.removeAll {
        if case .int = $0.precision { $0.bounds == nil } else { false }
      }
    }
    (settings.isAutomatic, settings.budget) = (true, budget)
    settings.calibration = calibration ?? Self.usualCalibration
    return settings
  }

  /// Whether the form of a param is chosen: a matrix that no rule stores, or whose rule only bounds its bits.
  public func isFree(_ parameter: Parameter) -> Bool {
    guard isAutomatic, parameter.type.rank == 2 else { return false }
    let rule = rule(for: parameter)
    return rule == nil || rule?.bounds != nil
  }

  /// The bits that a free param may have.
  public func bits(of parameter: Parameter) -> ClosedRange<Int> {
    rule(for: parameter)?.bounds ?? Quantizer.allBits
  }

  /// With a rule for each path, which replaces one that names it alone.
  public func adding(_ forms: [(path: String, precision: Precision)]) -> QuantizeSettings {
    var settings = self
    settings.rules = rules.replaced(
      by: forms.compactMap { path, precision in
        Glob(path).map { PrecisionRule(target: .glob($0), precision: precision) }
      })
    return settings
  }

  /// Without the rules that only bound what is chosen.
  public func withoutBounds() -> QuantizeSettings {
    var settings = self
    settings.rules.removeAll { $0.bounds != nil }
    return settings
  }

  /// With the bits of chosen forms as bounds: what is chosen again are their clips.
  public func bounding(_ chosen: [(path: String, precision: Precision)]) -> QuantizeSettings {
    var settings = withoutBounds()
    settings.rules += chosen.compactMap { path, precision in
      guard case .int(let quantizer) = precision, let glob = Glob(path) else { return nil }
      return PrecisionRule(
        target: .glob(glob), precision: precision, bounds: quantizer.bits...quantizer.bits)
    }
    return settings
  }

  /// With the chosen forms as rules.
  public func fixed(_ chosen: [(path: String, precision: Precision)]) -> QuantizeSettings {
    var settings = withoutBounds().adding(chosen)
    settings.isAutomatic = false
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
