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

  /// What the rounding of a weight [height, width] and its gradient share.
  public struct FakeQuantArguments: Hashable, Sendable {
    public var height: Int
    public var width: Int
    public var qmin: Int
    public var qmax: Int
    public var rounding: Rounding

    var weights: Int { height * width }
  }

  /// y of w, its scales and alpha.
  public struct FakeQuant: KernelArguments {
    public static let name = "fake_quant"
    public var arguments: FakeQuantArguments

    public var accesses: [Access] {
      [
        .init(.write, arguments.weights), .init(.read, arguments.weights),
        .init(.read, arguments.height), .init(.read, 1),
      ]
    }
    public var flops: Double { 4 * Double(arguments.weights) }
  }

  /// dw of dy, w, its scales and alpha. The straight-through gradient does not look at the weights.
  public struct FakeQuantBackward: KernelArguments {
    public static let name = "fake_quant_backward"
    public var arguments: FakeQuantArguments

    private var isStraight: Bool { arguments.rounding == .straightThrough }

    public var accesses: [Access] {
      let (weights, height) = (arguments.weights, arguments.height)
      return [
        .init(.write, weights), .init(.read, weights),
        .init(.read, weights, needed: isStraight ? 0 : weights),
        .init(.read, height, needed: isStraight ? 0 : height), .init(.read, 1),
      ]
    }
    public var flops: Double { isStraight ? 0 : 6 * Double(arguments.weights) }
  }
}
