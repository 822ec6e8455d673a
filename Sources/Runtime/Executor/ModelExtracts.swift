// SPDX-License-Identifier: Apache-2.0
// Parts of a declaration: what an artifact carries, what training reads, and all without its places.

import IR

extension Model {
  /// The declaration that an artifact carries: no training, no places in files, one variant.
  public var forArtifact: Model {
    var model = self
    model.variants = [Variant(name: "", start: nil, graph: scored.graph)]
    model.settings.train = nil
    model.settings.qat = .off
    if let quantize = settings.quantize, quantize.isAutomatic {
      // What is chosen stands in rules of its own.
      model.settings.quantize = quantize.withoutBounds()
      model.settings.quantize?.isAutomatic = false
    }
    model.settings.quantize?.forgetCalibration()
    model.constants = []
    model.warnings = []
    model.sources = []
    return model.withoutLocations
  }

  /// The same, with the rules that an artifact adds to those of the file where the file lets the compiler choose:
  /// for matrices that none of them stores, for protected columns and for corrections.
  func forArtifact(like artifact: Model) -> Model {
    var model = forArtifact
    guard let declared = settings.quantize,
      declared.isAutomatic || declared.correction != nil || declared.protection != nil,
      let stored = artifact.settings.quantize?.rules,
      let rules = model.settings.quantize?.rules
    else { return model }
    let additions = stored.filter { !rules.contains($0) }
    guard stored == rules.replaced(by: additions) else { return model }
    let parameters = Dictionary(uniqueKeysWithValues: graph.parameters.map { ($0.path, $0) })
    let isAllowed = additions.allSatisfy { added in
      guard case .glob(let path) = added.target, let parameter = parameters[path.pattern] else {
        return false
      }
      return declared.mayAdd(added.precision, for: parameter)
    }
    guard isAllowed else { return model }
    model.settings.quantize?.rules = stored
    return model
  }

  /// What training reads of the declaration. Equal ones train to equal weights, whatever is done to
  /// these afterwards, however long it takes and however often one looks.
  public var forTraining: Model {
    var model = withoutLocations
    model.settings.evaluate = []
    model.settings.evaluationLimit = nil
    model.settings.ttt = nil
    model.settings.expect = ExpectSettings()
    model.settings.quantize?.budget = nil
    model.settings.quantize?.codeBytes = 0
    model.settings.quantize?.forgetCalibration()
    // The fake quantiser of QAT is the quantiser.
    if model.settings.qat == .off { model.settings.quantize = nil }
    model.settings.train?.stopSteps = nil
    model.settings.train?.stopSeconds = nil
    model.settings.train?.limitSeconds = nil
    if let train = model.settings.train {
      let usual = TrainSettings(rows: train.rows, seq: train.seq)
      model.settings.train?.validateEvery = usual.validateEvery
      model.settings.train?.validateTokens = usual.validateTokens
      model.settings.train?.checkpointEvery = usual.checkpointEvery
    }
    return model
  }

  /// The same declaration, wherever its files lie.
  public var withoutLocations: Model {
    var model = self
    for index in model.variants.indices {
      model.variants[index].graph = model.variants[index].graph.withoutLocations()
    }
    return model
  }
}

extension QuantizeSettings {
  /// How codes are chosen is no matter of who reads them, nor of QAT.
  fileprivate mutating func forgetCalibration() {
    (calibration, correction, protection) = (nil, nil, nil)
    for index in rules.indices {
      rules[index].precision = rules[index].precision.nearest
      rules[index].bounds = nil
    }
  }
}
