// SPDX-License-Identifier: Apache-2.0
// The quantiser in the training graph.

extension Kernel {
  /// One scale a row of a weight [height, width].
  public struct QuantScale: KernelArguments {
    public static let name = "quant_scale"
    public var height: Int
    public var width: Int
    public var quantizer: Quantizer

    public var accesses: [Access] { [.init(.write, height), .init(.read, height * width)] }
    public var flops: Double { Double(height) * Double(width) }
  }

  /// How codes are rounded while training.
  public enum Rounding: String, Hashable, Sendable, CaseIterable {
    case straightThrough = "straight_through"
    case softRound = "soft_round"
    case softRoundLogistic = "soft_round_logistic"
  }

  /// y of w, its scales and alpha.
  public struct FakeQuant: KernelArguments {
    public static let name = "fake_quant"
    public var height: Int
    public var width: Int
    public var qmin: Int
    public var qmax: Int
    public var rounding: Rounding

    public var accesses: [Access] {
      let weights = height * width
      return [.init(.write, weights), .init(.read, weights), .init(.read, height), .init(.read, 1)]
    }
    public var flops: Double { 4 * Double(height) * Double(width) }
  }

  /// dw of dy, w, its scales and alpha. The straight-through gradient does not look at the weights.
  public struct FakeQuantBackward: KernelArguments {
    public static let name = "fake_quant_backward"
    public var height: Int
    public var width: Int
    public var qmin: Int
    public var qmax: Int
    public var rounding: Rounding

    public var accesses: [Access] {
      let weights = height * width
      let isStraight = rounding == .straightThrough
      return [
        .init(.write, weights), .init(.read, weights),
        .init(.read, weights, needed: isStraight ? 0 : weights),
        .init(.read, height, needed: isStraight ? 0 : height), .init(.read, 1),
      ]
    }
    public var flops: Double {
      rounding == .straightThrough ? 0 : 6 * Double(height) * Double(width)
    }
  }
}
