// SPDX-License-Identifier: Apache-2.0
// The names of what goes into a function and comes out of it. The passes that add an input or output
// and the executor that fills or reads it both say them with this type.

/// An input or output of a function.
public enum Port: Hashable, Sendable {
  /// Token ids to predict, and the weight of each in the loss.
  case targets, weights
  /// Results of the forward pass. `loss` holds the penalty, which is `zLoss` too.
  case logits, loss, nll, zLoss
  /// Gradient of a parameter: an output of the backward pass, an input of updates that stand alone.
  case gradient(String)
  /// Second moments of what a param multiplies, summed over tokens.
  case moment(String)
  /// Norm of all gradients before clipping.
  case gradientNorm
  /// The schedule's multiplier of learning rates, and the number of the step, from 1.
  case learningRate, step
  /// An operand of updates that is given anew in each step; `entry` is the optimizer entry that rules it.
  case operand(String, entry: Int?)
  /// Part of the new weights in an average of snapshots: 0 in steps without one.
  case averageRate
  /// Steepness of soft rounding; 0 leaves weights as they are.
  case qatAlpha

  public var name: String {
    switch self {
    case .targets: "targets"
    case .weights: "weights"
    case .logits: "logits"
    case .loss: "loss"
    case .nll: "nll"
    case .zLoss: "z_loss"
    case .gradient(let path): Self.gradientPrefix + path
    case .moment(let path): Self.momentPrefix + path
    case .gradientNorm: "grad_norm"
    case .learningRate: "learning_rate"
    case .step: "step"
    case .operand(let name, let entry): name + (entry.map { ".\($0)" } ?? "")
    case .averageRate: "average_rate"
    case .qatAlpha: "qat.alpha"
    }
  }

  /// The path of the parameter, if a name is that of a gradient.
  public static func gradientPath(_ name: String) -> String? {
    name.hasPrefix(gradientPrefix) ? String(name.dropFirst(gradientPrefix.count)) : nil
  }

  /// The path of the param, if a name is that of its moments.
  public static func momentPath(_ name: String) -> String? {
    name.hasPrefix(momentPrefix) ? String(name.dropFirst(momentPrefix.count)) : nil
  }

  private static let gradientPrefix = "grad."
  private static let momentPrefix = "moment."
}
