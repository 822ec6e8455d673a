// SPDX-License-Identifier: Apache-2.0
// Matrix products and the packing of their operands.

extension Kernel {
  /// A weight [n, k] to the panels that `matmul` reads; transposed, it multiplies by its columns.
  public struct Pack: KernelArguments {
    public static let name = "pack"
    public var n: Int
    public var k: Int
    public var isTransposed: Bool
    public var isBF16: Bool

    public var accesses: [Access] {
      [
        .init(
          .write, Panels.words(columns: isTransposed ? k : n, depth: isTransposed ? n : k, isBF16)),
        .init(.read, n * k),
      ]
    }
    public var flops: Double { 0 }
  }

  /// y [m, n] = x [m, k] times packed panels.
  public struct Matmul: KernelArguments {
    public static let name = "matmul"
    public var m: Int
    public var n: Int
    public var k: Int
    /// Whether products are of bf16; x and y lie in memory as bf16 independently of it.
    public var isBF16: Bool
    public var xIsBF16: Bool
    public var yIsBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, m * n, isBF16: yIsBF16, isRowwise: true),
        .init(.read, m * k, isBF16: xIsBF16, isRowwise: true),
        .init(.read, Panels.words(columns: n, depth: k, isBF16)),
      ]
    }
    public var flops: Double { 2 * Double(m) * Double(n) * Double(k) }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
    public var rows: Int? { m }
  }

  /// A value [m, n] to the token panels that `matmul_weight` reads.
  public struct PackTokens: KernelArguments {
    public static let name = "pack_tokens"
    public var m: Int
    public var n: Int
    public var isBF16: Bool
    public var xIsBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, Panels.words(tokens: m, columns: n, isBF16)),
        .init(.read, m * n, isBF16: xIsBF16, isRowwise: true),
      ]
    }
    public var flops: Double { 0 }
    public var rows: Int? { m }
  }

  /// dw [n, k] = dyᵀ x over m tokens, both in token panels.
  public struct MatmulWeight: KernelArguments {
    public static let name = "matmul_weight"
    public var m: Int
    public var n: Int
    public var k: Int
    public var isBF16: Bool

    public var accesses: [Access] {
      [
        .init(.write, n * k),
        .init(.read, Panels.words(tokens: m, columns: n, isBF16)),
        .init(.read, Panels.words(tokens: m, columns: k, isBF16)),
      ]
    }
    public var flops: Double { 2 * Double(m) * Double(n) * Double(k) }
    public var precision: ComputePrecision { isBF16 ? .bf16 : .f32 }
  }

  /// Sizes of packed operands, in words of four bytes: one number, or two of bf16 that follow each other
  /// in the depth of the product. The C side says the same (`kernel_extent`), which tests compare.
  enum Panels {
    /// Panels 64, or for narrow operands 32, columns wide.
    static func words(columns: Int, depth: Int, _ isBF16: Bool) -> Int {
      let panel = columns <= 32 ? 32 : 64
      return (columns + panel - 1) / panel * panel * (isBF16 ? (depth + 1) / 2 : depth)
    }

    /// Panels sixteen columns wide, an odd number of lines each.
    static func words(tokens: Int, columns: Int, _ isBF16: Bool) -> Int {
      (columns + 15) / 16 * ((isBF16 ? (tokens + 1) / 2 : tokens) | 1) * 16
    }
  }
}
