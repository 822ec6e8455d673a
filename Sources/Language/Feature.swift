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
    (self.kind, self.name, self.window, self.params) = (kind, name, window, params)
  }
}
