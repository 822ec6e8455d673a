// SPDX-License-Identifier: Apache-2.0
// Which functions make one step of training, and what is summed between them.

/// A training step in its phases: forward and backward of every micro-batch, the sum of their
/// gradients, the update. The compiler, the trainer and the memory check read it.
public struct StepPlan: Hashable, Sendable {
  /// Forward and backward, a function a variant; of a whole step the update too.
  public let forwardBackward: [String]
  /// Gradients that are summed in one step.
  public let microBatches: Int
  /// The function that takes the sums; nil: there is nothing to sum, and the update is part of the
  /// first functions.
  public let update: String?

  public var isWhole: Bool { update == nil }
}

extension Model {
  /// The steps of the train section; nil without one.
  public var step: StepPlan? {
    guard let train = settings.train else { return nil }
    let isWhole = train.accumulate == 1
    return StepPlan(
      forwardBackward: variants.map {
        isWhole ? FunctionName.train($0.name) : FunctionName.gradient($0.name)
      }, microBatches: train.accumulate, update: isWhole ? nil : FunctionName.update)
  }

  /// Whether forms are chosen while training, at QAT's first step: until then nothing rounds.
  public var choosesWhileTraining: Bool {
    guard case .on = settings.qat else { return false }
    return settings.quantize?.isAutomatic ?? false
  }
}
