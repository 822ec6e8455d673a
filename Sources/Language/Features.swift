// SPDX-License-Identifier: Apache-2.0
// What a file switches on, when it acts, and on which params: the one list that `check` prints and
// that training reports on.

import IR

/// A feature of a file.
public struct Feature: Equatable, Sendable {
  /// What the feature is. Those of training are followed step by step.
  public enum Kind: Equatable, Sendable {
    /// An entry of `train`, by its place among the optimizers.
    case optimizer(Int)
    case clip, warmup, warmdown, average, zLoss, accumulate, qat
    /// By its place among the variants.
    case variant(Int)
    /// A rule of `quantize`, or the budget.
    case quantize
    case evaluate
    /// The protocol of `ttt`, or what it freezes.
    case ttt
    /// An entry of `ttt`, by its place among those of its word.
    case tttOptimizer(Int)
    case tttScale(Int)
    case tttClip

    /// Where the feature is live: in steps of training, in updates at test time, or in neither.
    public var phase: Phase? {
      switch self {
      case .quantize, .evaluate: nil
      case .ttt, .tttOptimizer, .tttScale, .tttClip: .adaptation
      default: .training
      }
    }
  }

  /// What is counted while a feature is live.
  public enum Phase: String, Sendable {
    case training = "step"
    case adaptation = "update"
  }

  public var kind: Kind
  /// As the file spells it, `optimizer matrix`.
  public var name: String
  /// When it acts, or how.
  public var window: String
  /// Paths of the params it acts on, in the model's order.
  public var params: [String]

  public init(_ kind: Kind, _ name: String, _ window: String, _ params: [String]) {
    self.kind = kind
    self.name = name
    self.window = window
    self.params = params
  }
}

extension Model {
  /// What the sections switch on, in the order of the sections.
  public var features: [Feature] {
    (settings.train.map(trainFeatures) ?? []) + qatFeatures + variantFeatures + quantizeFeatures
      + evaluateFeatures + (settings.ttt.map(tttFeatures) ?? [])
  }

  private func trainFeatures(_ train: TrainSettings) -> [Feature] {
    let owners = train.optimizers.winners(graph.parameters) { $0.target }
    let trained = paths { owners[$0] != nil }
    var features = train.optimizers.enumerated().map { index, entry in
      Feature(
        .optimizer(index), "optimizer \(entry.target.optimizerText)", entry.rule.text,
        paths { owners[$0] == index })
    }
    if let clip = train.clip {
      features.append(Feature(.clip, "clip", "norm \(shortest(clip)), every step", trained))
    }
    if train.warmup > 0 {
      features.append(Feature(.warmup, "warmup", "steps 1 to \(train.warmup)", trained))
    }
    switch train.warmdown {
    case .steps(let steps):
      features.append(
        Feature(.warmdown, "warmdown", "the last \(counted(steps, "step", "steps"))", trained))
    case .fraction(let part):
      let window = "the last \(shortest(part)) of training"
      features.append(Feature(.warmdown, "warmdown", window, trained))
    case nil: break
    }
    if case .ema(let decay) = train.average {
      features.append(
        Feature(.average, "average", "ema(\(shortest(decay))), every step", trained))
    }
    if let zLoss = train.zLoss {
      features.append(Feature(.zLoss, "z_loss", "\(shortest(zLoss)), every step", trained))
    }
    if train.accumulate > 1 {
      features.append(
        Feature(.accumulate, "accumulate", "\(train.accumulate) passes a step", trained))
    }
    return features
  }

  private var qatFeatures: [Feature] {
    guard case .on(_, let start) = settings.qat else { return [] }
    let precision = precisionTable
    let rounded = graph.parameters.map(\.path).filter { path in
      if case .int? = precision[path] { true } else { false }
    }
    return [Feature(.qat, "qat", "from \(start.text)", rounded)]
  }

  /// A variant acts on the params that its graph reads.
  private var variantFeatures: [Feature] {
    variants.enumerated().compactMap { index, variant in
      guard let start = variant.start else { return nil }
      let uses = variant.graph.useCounts()
      let read = zip(variant.graph.parameters, variant.graph.parameterValues)
        .filter { uses[$1.index] > 0 }.map(\.0.path)
      return Feature(.variant(index), "variant \(variant.name)", "from \(start.text)", read)
    }
  }

  private var quantizeFeatures: [Feature] {
    guard let quantize = settings.quantize else { return [] }
    let owners = quantize.rules.winners(graph.parameters) { $0.target }
    var features = quantize.rules.enumerated().map { index, rule in
      Feature(
        .quantize, "quantize \(rule.target.text)", "\(rule.precision)",
        paths { owners[$0] == index })
    }
    if let budget = quantize.budget {
      features.append(Feature(.quantize, "budget", "\(grouped(budget)) bytes", paths { _ in true }))
    }
    return features
  }

  private var evaluateFeatures: [Feature] {
    settings.evaluate.map { entry in
      let stride = entry.stride.map { ", stride \($0)" } ?? ""
      let weights = entry.onFloat ? ", on float" : ""
      return Feature(
        .evaluate, "evaluate \(entry.name)", "window \(entry.window)\(stride)\(weights)",
        paths { _ in true })
    }
  }

  private func tttFeatures(_ ttt: TTTSettings) -> [Feature] {
    let owners = ttt.optimizers.winners(graph.parameters) { $0.target }
    func isFrozen(_ path: String) -> Bool { ttt.frozen.contains { $0.matches(path) } }
    let adapted = paths { owners[$0] != nil && !isFrozen($0) }
    let epochs = "\(ttt.epochs) epoch" + (ttt.epochs == 1 ? "" : "s")
    var features = [
      Feature(
        .ttt, "ttt \(ttt.mode.rawValue)",
        "chunks of \(grouped(ttt.chunk)), window \(ttt.window), stride \(ttt.stride), \(epochs)",
        adapted)
    ]
    features += ttt.optimizers.enumerated().map { index, entry in
      let schedule = ttt.schedule == .cosineOverChunks ? " cosine over chunks" : ""
      return Feature(
        .tttOptimizer(index), "ttt optimizer \(entry.target.optimizerText)",
        entry.rule.text + schedule,
        paths { owners[$0] == index && !isFrozen($0) })
    }
    if let clip = ttt.clip {
      features.append(
        Feature(.tttClip, "ttt clip", "norm \(shortest(clip)), every update", adapted))
    }
    for (index, scale) in ttt.scales.enumerated() {
      features.append(
        Feature(
          .tttScale(index), "ttt scale \"\(scale.glob.pattern)\"",
          "\(shortest(scale.factor)) times the rate",
          adapted.filter { ttt.scale(of: $0) == index }))
    }
    for glob in ttt.frozen {
      features.append(
        Feature(.ttt, "ttt freeze \"\(glob.pattern)\"", "no update", paths { glob.matches($0) }))
    }
    return features
  }

  private func paths(_ isIncluded: (String) -> Bool) -> [String] {
    graph.parameters.map(\.path).filter(isIncluded)
  }
}
