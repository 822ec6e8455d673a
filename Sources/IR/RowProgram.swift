// SPDX-License-Identifier: Apache-2.0
// Row programs: the fused form of elementwise chains and norms, for the row machine of the runtime.

/// A program over the rows of one space [rows, width]: registers are blocks of rows that stay in the
/// first-level cache.
public struct RowProgram: Hashable, Sendable {
  /// Bounds of the row machine.
  public static let maximumRegisters = 64
  public static let maximumInstructions = 64
  public static let maximumBuffers = 24

  public enum Shape: String, Hashable, Sendable {
    case full, vector, scalar, periodic, constant, table
  }

  public struct Register: Hashable, Sendable {
    public var shape: Shape
    /// Index into the call's buffers, nil for a temporary.
    public var buffer: Int?
    /// Of a periodic register; of a table the rows that share a position.
    public var period: Int
    /// Whether the buffer holds bf16; of a full one only.
    public var isBF16 = false
    /// Of a table: its rows and columns.
    public var positions = 0
    public var dims = 0
    public init(shape: Shape, buffer: Int?, period: Int = 0, isBF16: Bool = false) {
      (self.shape, self.buffer, self.period, self.isBF16) = (shape, buffer, period, isBF16)
    }
  }

  /// One operation of the row machine. Those of ops stand in the ops' definitions; here are those that
  /// the compiler names.
  public struct Operation: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
      case rowByRow
      /// One number a row.
      case reduction
      /// One part a tile of a sum over rows.
      case sum
    }
    /// As the runtime knows it, and as plan text shows it.
    public let name: String
    /// How many operands it reads.
    public let operands: Int
    /// Of one element: of the result, or of the operand where that is reduced.
    public let flops: Double
    public let kind: Kind

    public init(_ name: String, operands: Int = 1, flops: Double, kind: Kind = .rowByRow) {
      (self.name, self.operands, self.flops, self.kind) = (name, operands, flops, kind)
    }

    public var isSum: Bool { kind == .sum }
    public var isReduction: Bool { kind != .rowByRow }

    public static func == (a: Self, b: Self) -> Bool { a.name == b.name }
    public func hash(into hasher: inout Hasher) { hasher.combine(name) }

    public static let copy = Self("copy", flops: 0)
    public static let add = Self("add", operands: 2, flops: 1)
    public static let mul = Self("mul", operands: 2, flops: 1)
    public static let scale = Self("scale", flops: 1)
    public static let square = Self("square", flops: 1)
    public static let leakyRelu = Self("leaky_relu", flops: 1)
    public static let leakyReluBackward = Self("leaky_relu_backward", operands: 2, flops: 1)
    public static let rmsNormBackward = Self("rms_norm_backward", operands: 2, flops: 7)
    public static let dot = Self("dot", operands: 2, flops: 2, kind: .reduction)
    public static let sumRow = Self("sum_row", flops: 1, kind: .reduction)
    public static let sumColumns = Self("sum_columns", flops: 1, kind: .sum)
    public static let sumPeriodic = Self("sum_periodic", flops: 1, kind: .sum)
    public static let sumAll = Self("sum_all", flops: 1, kind: .sum)
    // Several in one.
    public static let multiplyAdd = Self("multiply_add", operands: 3, flops: 2)
    public static let squaredLeakyRelu = Self("squared_leaky_relu", flops: 2)
    public static let squaredLeakyReluBackward = Self(
      "squared_leaky_relu_backward", operands: 2, flops: 3)
    public static let rmsNormBackwardAdd = Self("rms_norm_backward_add", operands: 3, flops: 8)
    public static let sumColumnsProduct = Self(
      "sum_columns_product", operands: 2, flops: 2, kind: .sum)

    /// Every operation: those above, and those of ops.
    public static var all: Set<Operation> {
      let ops = Op.allCases.compactMap { op -> Operation? in
        if case .row(let row) = op.definition.lowering { row.operation } else { nil }
      }
      return Set(ops).union([
        copy, dot, sumRow, sumColumns, sumPeriodic, sumAll, multiplyAdd, squaredLeakyRelu,
        squaredLeakyReluBackward, rmsNormBackwardAdd, sumColumnsProduct,
      ])
    }
  }

  public struct Instruction: Hashable, Sendable {
    public var operation: Operation
    public var destination: Int
    /// Registers, as many as the operation reads.
    public var operands: [Int]
    public var immediate: Double
    /// Operands must be as many as the operation reads: a precondition.
    public init(
      _ operation: Operation, _ destination: Int, _ operands: [Int], _ immediate: Double = 0
    ) {
      precondition(operands.count == operation.operands)
      (self.operation, self.destination, self.operands) = (operation, destination, operands)
      self.immediate = immediate
    }
  }

  public var registers: [Register] = []
  public var instructions: [Instruction] = []
  public init() {}

  var bufferCount: Int { (registers.compactMap(\.buffer).max() ?? -1) + 1 }
}
