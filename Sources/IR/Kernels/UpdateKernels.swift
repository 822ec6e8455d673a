// SPDX-License-Identifier: Apache-2.0
// Updates of parameters, and the norm that clips their gradients.

/// A single number in a buffer of its own.
private let number = Access(.read, 1)

extension Kernel {
  /// y = Σ a b of n elements.
  public struct Dot: KernelArguments {
    public static let name = "dot"
    public var n: Int

    public var accesses: [Access] { [.init(.write, 1), .init(.read, n), .init(.read, n)] }
    public var flops: Double { 2 * Double(n) }
  }

  /// factor, norm of n sums of squares.
  public struct ClipFactor: KernelArguments {
    public static let name = "clip_factor"
    public var n: Int
    public var limit: Double

    public var accesses: [Access] { [.init(.write, 1), .init(.write, 1), .init(.read, n)] }
    public var flops: Double { Double(n) }
  }

  /// w, m, v by g, the learning rate, the clip factor and the step.
  public struct AdamW: KernelArguments {
    public static let name = "adamw"
    public var n: Int
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    public var decay: Double

    public var accesses: [Access] {
      let state = Access(.update, n)
      return [state, state, state, .init(.read, n), number, number, number]
    }
    public var flops: Double { 16 * Double(n) }
  }

  /// w, m by g, the learning rate and the clip factor.
  public struct SGD: KernelArguments {
    public static let name = "sgd"
    public var n: Int
    public var momentum: Double
    public var decay: Double

    public var accesses: [Access] {
      [.init(.update, n), .init(.update, n), .init(.read, n), number, number]
    }
    public var flops: Double { 6 * Double(n) }
  }

  /// w, m [height, width] by g, the learning rate, the clip factor, the momentum and three coefficients
  /// a step.
  public struct Muon: KernelArguments {
    public static let name = "muon"
    public var height: Int
    public var width: Int
    public var steps: Int
    public var normalisesRows: Bool
    public var isBF16: Bool
    public var decay: Double

    public var accesses: [Access] {
      let state = Access(.update, height * width)
      return [
        state, state, .init(.read, height * width), number, number, number, .init(.read, 3 * steps),
      ]
    }
    /// Half of a symmetric product is enough. A step: A = x xᵀ, its square, their product with x. In
    /// bf16 two steps of a wide matrix meet it together; then five products are symmetric.
    public var flops: Double {
      let (m, n) = (Double(min(height, width)), Double(max(height, width)))
      let step = 3 * m * m * n + m * m * m
      let two = isBF16 ? min(2 * step, 3 * m * m * n + 5 * m * m * m) : 2 * step
      return Double(steps / 2) * two + Double(steps % 2) * step
    }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
  }
}
