// SPDX-License-Identifier: Apache-2.0
// Which features of a file were live: the steps in which each of them changed a number, as observed,
// the params it acted on, and in words what had no effect.

import Formats
import IR
import Language

/// A feature, what it acted on and when.
public struct LiveFeature: Sendable, Equatable {
  public var feature: String
  /// What is counted: steps of training, or updates at test time.
  public var phase = Feature.Phase.training
  /// Paths of the params that the feature acts on.
  public var params: [String]
  /// They count from 1; nil: never live.
  public var firstStep: Int?
  public var lastStep: Int?
  /// Number of steps in which the feature was live.
  public var steps = 0

  mutating func note(_ step: Int) {
    firstStep = firstStep ?? step
    lastStep = step
    steps += 1
  }

  /// The entry of `live` in a result.
  public var json: JSONValue {
    .object(
      counts.merging([
        "unit": .string(phase.rawValue), "params": .array(params.map(JSONValue.string)),
      ]) { old, _ in old })
  }

  fileprivate var counts: [String: JSONValue] {
    [
      "feature": .string(feature), "first_step": firstStep.map(JSONValue.int) ?? .null,
      "last_step": lastStep.map(JSONValue.int) ?? .null, "steps": .int(steps),
    ]
  }
}

extension LiveFeature {
  /// Reads an entry of `live`, or what a checkpoint holds of one; nil where it is none, or its steps
  /// are in no order.
  init?(json: JSONValue) {
    guard let feature = json["feature"]?.stringValue, let first = json["first_step"],
      let last = json["last_step"], (first == .null) == (last == .null)
    else { return nil }
    self.feature = feature
    if first != .null {
      guard let first = first.intValue, let last = last.intValue, first >= 1, first <= last else {
        return nil
      }
      (firstStep, lastStep) = (first, last)
    }
    steps = json["steps"]?.intValue ?? 0
    phase = (json["unit"]?.stringValue).flatMap(Feature.Phase.init) ?? .training
    let paths = (json["params"]?.arrayValue ?? []).map(\.stringValue)
    params = paths.compactMap { $0 }
    if params.count < paths.count { return nil }
  }
}

/// What a step showed of the features.
struct StepObservation {
  /// Number of the step, from 1.
  var step: Int
  var settings: StepSettings
  var gradientNorm: Double
  /// Whether the loss is another number than without `z_loss`.
  var hasZLoss: Bool
  /// Whether the average is another number than the weights, somewhere.
  var averageDiffers: Bool
}

/// Follows the features of training from step to step.
struct LiveReport {
  private let train: TrainSettings
  private let kinds: [Feature.Kind]
  private(set) var features: [LiveFeature]

  init(_ model: Model, _ train: TrainSettings) {
    self.train = train
    let declared = model.features.filter { $0.kind.phase == .training }
    kinds = declared.map(\.kind)
    features = declared.map { LiveFeature(feature: $0.name, params: $0.params) }
  }

  mutating func note(_ observed: StepObservation) {
    for index in features.indices where isLive(kinds[index], observed) {
      features[index].note(observed.step)
    }
  }

  private func isLive(_ kind: Feature.Kind, _ observed: StepObservation) -> Bool {
    let settings = observed.settings
    switch kind {
    case .optimizer(let index): return settings.rate * train.optimizers[index].rule.lr > 0
    // As the kernel decides it: beyond the limit the factor is below 1.
    case .clip: return train.clip.map { $0 < observed.gradientNorm + 1e-6 } ?? false
    case .warmup: return settings.step + 1 < train.warmup
    case .warmdown: return settings.decay < 1
    case .average:
      if case .swa = train.average { return settings.isSnapshot }
      return observed.averageDiffers
    case .zLoss: return observed.hasZLoss
    case .accumulate: return true
    case .qat: return settings.qatAlpha > 0
    case .variant(let index): return settings.variant == index
    case .quantize, .evaluate, .ttt, .tttOptimizer, .tttScale, .tttClip: return false
    }
  }

  /// What had no effect, or not all of its effect, in `steps` steps; a sentence each.
  func remarks(steps: Int, averageDiffers: Bool) -> [String] {
    zip(kinds, features).compactMap { kind, feature in
      guard feature.firstStep == nil else {
        return partial(kind, feature, steps, averageDiffers)
      }
      let none = "in none of the \(steps) steps"
      switch kind {
      case .clip:
        return
          "clip \(shortest(train.clip ?? 0)) never clipped: \(none) was the gradient norm above it"
      case .average:
        if case .swa = train.average {
          return "swa took no snapshot \(none): the weights of the last step are exported"
        }
        return "the average equals the weights: \(none) did it differ"
      case .zLoss: return "z_loss \(shortest(train.zLoss ?? 0)) changed the loss \(none)"
      case .optimizer: return "\(feature.feature) moved nothing: \(none) was its rate above 0"
      default:
        return
          "\(feature.feature) is declared but was live \(none); train longer, or change its window"
      }
    }
  }

  private func partial(
    _ kind: Feature.Kind, _ feature: LiveFeature, _ steps: Int, _ averageDiffers: Bool
  ) -> String? {
    switch kind {
    case .average where !averageDiffers:
      return "the average equals the weights at the end: what is exported is the same without it"
    case .warmup where feature.lastStep == steps:
      return
        "the warmup of \(train.warmup) steps did not end in \(steps): no step had the whole rate"
    default: return nil
    }
  }

  /// For checkpoints.
  var saved: JSONValue { .array(features.map { .object($0.counts) }) }

  /// Continues from what a checkpoint saved; features that it does not know begin here.
  mutating func restore(_ saved: [JSONValue]) {
    for entry in saved.compactMap(LiveFeature.init(json:)) {
      guard let index = features.firstIndex(where: { $0.feature == entry.feature }) else {
        continue
      }
      features[index].firstStep = entry.firstStep
      features[index].lastStep = entry.lastStep
      features[index].steps = entry.steps
    }
  }
}

extension Model {
  /// The features of `ttt`, with the updates in which each changed a number.
  func live(_ ttt: TTTSettings, _ updates: [AdaptationUpdate]) -> [LiveFeature] {
    features.filter { $0.kind.phase == .adaptation }.map { feature in
      var live = LiveFeature(feature: feature.name, phase: .adaptation, params: feature.params)
      for (index, update) in updates.enumerated() {
        let isLive =
          switch feature.kind {
          case .tttOptimizer(let entry): update.rate * ttt.optimizers[entry].rule.lr > 0
          case .tttScale(let scale): update.rate > 0 && ttt.scales[scale].factor != 1
          case .tttClip: ttt.clip.map { $0 < update.gradientNorm + 1e-6 } ?? false
          default: true
          }
        if isLive { live.note(index + 1) }
      }
      return live
    }
  }

  /// What of `ttt` had no effect in its updates, a sentence each; a rate of 0 is a control.
  func remarks(_ ttt: TTTSettings, _ updates: [AdaptationUpdate]) -> [String] {
    guard let clip = ttt.clip, !updates.isEmpty,
      updates.allSatisfy({ $0.gradientNorm + 1e-6 <= clip })
    else { return [] }
    return [
      "ttt clip \(shortest(clip)) never clipped: in none of the \(updates.count) updates was the "
        + "gradient norm above it"
    ]
  }
}
