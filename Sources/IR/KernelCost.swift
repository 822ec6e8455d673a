// SPDX-License-Identifier: Apache-2.0
// What a kernel call has to do at least: arithmetic and memory. For profiles only; nothing that a
// plan computes depends on it.

/// The work of calls.
public struct KernelCost: Hashable, Sendable {
  /// Additions and multiplications; one for a division, a root or an exponential.
  public var flops: Double
  /// Every buffer in memory once as it is read and once as it is written.
  public var bytes: Double
  /// Of the products, which decides how fast the machine is at most.
  public var precision: ComputePrecision

  public init(flops: Double, bytes: Double, precision: ComputePrecision = .f32) {
    self.flops = flops
    self.bytes = bytes
    self.precision = precision
  }
}

extension KernelCall {
  /// The work of this call, from its kernel, sizes and program.
  public var cost: KernelCost {
    let bytes = zip(buffers, traffic).reduce(0) { $0 + ($1.0.space.isMemory ? $1.1 : 0) }
    return KernelCost(flops: flops, bytes: bytes, precision: productsAreHalf ? .bf16 : .f32)
  }

  private var flops: Double {
    switch kernel {
    case .embed, .pack, .packTokens, .slice, .unslice: return 0
    case .embedBackward, .sumPartials, .ropeTable, .quantScale: return area
    case .matmul, .matmulWeight: return 2 * size(0) * size(1) * size(2)
    case .rows: return rowFlops
    // The products; exponentials are not counted. Backward computes the scores again.
    case .attention: return 4 * pairs
    case .attentionBackward: return 10 * pairs
    // Exponential, maximum, sum and difference a logit; the cap is a tanh and two products more.
    case .crossEntropy, .crossEntropyBackward: return area * (scalars.first ?? 0 != 0 ? 7 : 4)
    case .dot: return 2 * size(0)
    case .clipFactor: return size(0)
    case .adamw: return 16 * size(0)
    case .sgd: return 6 * size(0)
    case .muon:
      // Half of a symmetric product is enough. A step: A = x xᵀ, its square, their product with x.
      let (m, n) = (min(size(0), size(1)), max(size(0), size(1)))
      let step = 3 * m * m * n + m * m * m
      // In bf16 two steps of a wide matrix meet it together; then five products are symmetric.
      let two = flag(4) ? min(2 * step, 3 * m * m * n + 5 * m * m * m) : 2 * step
      return (size(2) / 2).rounded(.down) * two + size(2).truncatingRemainder(dividingBy: 2) * step
    case .fakeQuant: return 4 * area
    case .fakeQuantBackward: return flag(4) ? 6 * area : 0
    }
  }

  /// Bytes read and written, buffer by buffer in the order of the kernel's contract. Single numbers
  /// at the end are left out.
  private var traffic: [Double] {
    switch kernel {
    case .embed: return floats([area, min(size(0), size(2)) * size(1), size(0)])
    case .embedBackward: return floats([size(2) * size(1), area, size(0)])
    case .pack: return [area * width(flag(3)), area * 4]
    case .matmul:
      let (m, n, k) = (size(0), size(1), size(2))
      let y = m * n * width(half(7, 2)) * (flag(5) ? 2 : 1)
      return [y, m * k * width(half(7, 1)), n * k * width(flag(6))]
    case .packTokens: return [area * width(flag(5)), area * width(half(3, 1))]
    case .matmulWeight:
      let (m, n, k) = (size(0), size(1), size(2))
      return [n * k * 4 * (flag(3) ? 2 : 1), m * n * width(flag(4)), m * k * width(flag(4))]
    case .rows: return rowTraffic
    case .sumPartials: return floats([size(0), area])
    case .ropeTable: return floats([area])
    case .attention:
      let (q, kv, lse) = (attentionBytes(queries), attentionBytes(groups), 4 * heads)
      return [q, lse, q, kv, kv]
    case .attentionBackward:
      let (q, kv, lse) = (attentionBytes(queries), attentionBytes(groups), 4 * heads)
      return [q, kv, kv, q, kv, kv, q, lse, q]
    case .crossEntropy: return floats([size(0), size(0), area, size(0)])
    case .crossEntropyBackward:
      return [area * width(half(3, 1))] + floats([area, size(0), size(0), size(0)])
    case .dot: return floats([1, size(0), buffers[1] == buffers[2] ? 0 : size(0)])
    case .clipFactor: return floats([1, 1, size(0)])
    // Updates read and write parameters and states in place.
    case .adamw: return floats([2 * size(0), 2 * size(0), 2 * size(0), size(0)])
    case .sgd: return floats([2 * size(0), 2 * size(0), size(0)])
    case .muon: return floats([2 * area, 2 * area, area])
    case .quantScale: return floats([size(0), area])
    case .fakeQuant: return floats([area, area, size(0)])
    case .fakeQuantBackward:
      // The straight-through gradient does not look at the weights.
      return floats(flag(4) ? [area, area, area, size(0)] : [area, area])
    case .slice:
      let part = size(0) * size(2) * size(4)
      return floats([part, part])
    case .unslice: return floats([area * size(2), size(0) * size(2) * size(4)])
    }
  }

  /// Whether the products of this call are computed in bf16.
  private var productsAreHalf: Bool {
    switch kernel {
    case .matmul: return flag(6)
    case .matmulWeight: return flag(4)
    case .attention, .attentionBackward: return flag(5)
    case .muon: return flag(4)
    default: return false
    }
  }

  // MARK: Sizes

  /// A size, or 0 for those at the end that the plan leaves out.
  private func size(_ index: Int) -> Double { index < sizes.count ? Double(sizes[index]) : 0 }

  private func flag(_ index: Int) -> Bool { size(index) != 0 }

  /// Whether the operand of a bit lies in memory as bf16.
  private func half(_ index: Int, _ bit: Int) -> Bool {
    index < sizes.count && sizes[index] & bit != 0
  }

  /// Bytes of an element.
  private func width(_ isHalf: Bool) -> Double { isHalf ? 2 : 4 }

  private func floats(_ counts: [Double]) -> [Double] { counts.map { 4 * $0 } }

  /// Most kernels work on a matrix whose sides are their first two sizes.
  private var area: Double { size(0) * size(1) }

  // MARK: Attention

  /// Positions of the queries: the last ones, or all.
  private var queryPositions: Double {
    kernel == .attention && flag(6) ? size(6) : size(1)
  }

  /// Pairs of a query and a key that is not behind it, times batch, heads and the width of a head.
  private var pairs: Double {
    let n = queryPositions
    return size(0) * size(2) * size(4) * (n * size(1) - n * (n - 1) / 2)
  }

  private var heads: Double { size(0) * queryPositions * size(2) }
  private var queries: Double { heads * size(4) }
  private var groups: Double { size(0) * size(1) * size(3) * size(4) }

  private func attentionBytes(_ elements: Double) -> Double { elements * width(flag(5)) }

  // MARK: Row programs

  private var rowTraffic: [Double] {
    guard let program else { preconditionFailure("a row program is missing") }
    var bytes = [Double](repeating: 0, count: buffers.count)
    for register in program.registers {
      if let buffer = register.buffer {
        bytes[buffer] += width(register.isHalf) * elements(register)
      }
    }
    // Sums write one part a tile, whatever shape their register has.
    let tiles = (size(0) / max(size(2), 1)).rounded(.up)
    for instruction in program.instructions {
      let register = program.registers[instruction.destination]
      guard let buffer = register.buffer else { continue }
      switch instruction.operation {
      case .sumColumns, .sumColumnsProduct: bytes[buffer] = 4 * tiles * size(1)
      case .sumPeriodic: bytes[buffer] = 4 * tiles * Double(register.period)
      case .sumAll: bytes[buffer] = 4 * tiles
      default: break
      }
    }
    return bytes
  }

  private var rowFlops: Double {
    guard let program else { preconditionFailure("a row program is missing") }
    return program.instructions.reduce(0) { sum, instruction in
      sum + instruction.operation.flops * elements(program.registers[instruction.widest])
    }
  }

  private func elements(_ register: RowProgram.Register) -> Double {
    switch register.shape {
    case .full: return area
    case .vector: return size(1)
    case .scalar: return size(0)
    case .periodic: return Double(register.period)
    case .constant: return 1
    case .table: return Double(register.positions * register.dims)
    }
  }
}

extension BufferReference.Space {
  /// Whether reading and writing it is traffic to memory.
  fileprivate var isMemory: Bool {
    switch self {
    case .parameter, .state, .arena, .constant: return true
    case .tile: return false
    }
  }
}

extension RowProgram.Instruction {
  /// The register whose elements are counted: what a sum reads, else what is written.
  fileprivate var widest: Int {
    operation.isSum || operation == .dot ? operands[0] : destination
  }
}

extension RowProgram.Operation {
  /// Operations an element.
  fileprivate var flops: Double {
    switch self {
    case .copy: return 0
    case .add, .sub, .mul, .scale, .offset, .square, .tanh: return 1
    case .leakyRelu, .leakyReluBackward: return 1
    case .sumColumns, .sumPeriodic, .sumAll: return 1
    case .multiplyAdd, .dot, .sumColumnsProduct, .squaredLeakyRelu: return 2
    case .squaredLeakyReluBackward, .rmsNorm, .rope, .ropeInverse: return 3
    case .rmsNormBackward: return 7
    case .rmsNormBackwardAdd: return 8
    case .sigmoid, .softcap: return 3
    case .softcapBackward: return 4
    }
  }
}
