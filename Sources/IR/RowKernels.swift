// SPDX-License-Identifier: Apache-2.0
// Row programs, the sums over their tiles, and the tables they turn by.

extension Kernel {
  /// A row program over [rows, width]. The rows of a tile are part of the plan: they fix the order of
  /// sums.
  public struct Rows: KernelArguments {
    public static let name = "rows"
    public var rows: Int
    public var width: Int
    public var tileRows: Int
    public var program: RowProgram

    public init(rows: Int, width: Int, tileRows: Int, program: RowProgram) {
      (self.rows, self.width, self.tileRows, self.program) = (rows, width, tileRows, program)
    }

    public var accesses: [Access] {
      var accesses = [Access?](repeating: nil, count: program.bufferCount)
      var parts = [Int?](repeating: nil, count: program.registers.count)
      var written = Set<Int>()
      let tiles = (rows + tileRows - 1) / tileRows
      for instruction in program.instructions {
        written.insert(instruction.destination)
        if instruction.operation.isSum { parts[instruction.destination] = tiles }
      }
      for (index, register) in program.registers.enumerated() {
        guard let buffer = register.buffer else { continue }
        let elements = parts[index].map { $0 * sumWidth(register) } ?? elements(register)
        let isRowwise = parts[index] == nil && [.full, .scalar].contains(register.shape)
        accesses[buffer] = Access(
          written.contains(index) ? .write : .read, elements, isBF16: register.isBF16,
          isRowwise: isRowwise)
      }
      return accesses.map { $0! }
    }

    public var flops: Double {
      program.instructions.reduce(0) { sum, instruction in
        let isReduction = instruction.operation.isReduction
        let widest = isReduction ? instruction.operands[0] : instruction.destination
        return sum + instruction.operation.flops * Double(elements(program.registers[widest]))
      }
    }

    public var chainRows: Int? { rows }

    private func elements(_ register: RowProgram.Register) -> Int {
      switch register.shape {
      case .full: rows * width
      case .vector: width
      case .scalar: rows
      case .periodic: register.period
      case .constant: 1
      case .table: register.positions * register.dims
      }
    }

    /// Elements of one tile's part of a sum.
    private func sumWidth(_ register: RowProgram.Register) -> Int {
      register.shape == .periodic ? register.period : register.shape == .constant ? 1 : width
    }
  }

  /// y [n] = the sum of `parts` rows, through a fixed tree.
  public struct SumPartials: KernelArguments {
    public static let name = "sum_partials"
    public var n: Int
    public var parts: Int

    public init(n: Int, parts: Int) { (self.n, self.parts) = (n, parts) }

    public var accesses: [Access] { [.init(.write, n), .init(.read, n * parts)] }
    public var flops: Double { Double(n) * Double(parts) }
  }

  /// Cosines and sines of rotary positions, [positions, dims].
  public struct RopeTable: KernelArguments {
    public static let name = "rope_table"
    public var positions: Int
    public var dims: Int
    public var base: Double
    public var trainLength: Double
    public var rampFrom: Double
    public var rampFactor: Double

    public init(
      positions: Int, dims: Int, base: Double, trainLength: Double, rampFrom: Double,
      rampFactor: Double
    ) {
      (self.positions, self.dims, self.base) = (positions, dims, base)
      (self.trainLength, self.rampFrom, self.rampFactor) = (trainLength, rampFrom, rampFactor)
    }

    public var accesses: [Access] { [.init(.write, positions * dims)] }
    public var flops: Double { Double(positions) * Double(dims) }
  }
}
