// SPDX-License-Identifier: Apache-2.0
// The lowered form: kernel calls in order, with offsets into one arena. Printed by PlanPrinter.

/// The kernels of the runtime. Names are those of the C functions without their prefix.
public enum Kernel: String, Hashable, Sendable, CaseIterable {
  case embed
  case embedBackward = "embed_backward"
  case pack, matmul
  case packTokens = "pack_tokens"
  case matmulWeight = "matmul_weight"
  case rows
  case sumPartials = "sum_partials"
  case ropeTable = "rope_table"
  case attention
  case attentionBackward = "attention_backward"
  case crossEntropy = "cross_entropy"
  case crossEntropyBackward = "cross_entropy_backward"
  case dot
  case clipFactor = "clip_factor"
  case adamw, sgd, muon
  case quantScale = "quant_scale"
  case fakeQuant = "fake_quant"
  case fakeQuantBackward = "fake_quant_backward"
  case slice, unslice
}

/// Where a buffer lies.
public struct BufferReference: Hashable, Sendable {
  public enum Space: String, Hashable, Sendable {
    /// Parameters of the model, shared by all functions of a plan.
    case parameter = "p"
    /// Persistent states of one function.
    case state = "s"
    /// Memory of one run of one function.
    case arena = "a"
    /// Constants of one function, written once.
    case constant = "c"
    /// Memory of one thread while it runs one tile of a chain.
    case tile = "t"
  }
  public var space: Space
  /// In bytes.
  public var offset: Int
  /// Of a buffer in `tile` space: the bytes that one tile of it takes.
  public var tileBytes: Int

  public init(_ space: Space, _ offset: Int, tileBytes: Int = 0) {
    self.space = space
    self.offset = offset
    self.tileBytes = tileBytes
  }
}

/// A row program: the fused form of elementwise chains and norms. Mirrors the kernels' row machine.
public struct RowProgram: Hashable, Sendable {
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
    public var isHalf = false
    /// Of a table: its rows and columns.
    public var positions = 0
    public var dims = 0
    public init(shape: Shape, buffer: Int?, period: Int = 0, isHalf: Bool = false) {
      self.shape = shape
      self.buffer = buffer
      self.period = period
      self.isHalf = isHalf
    }
  }
  public enum Operation: String, Hashable, Sendable, CaseIterable {
    case copy, add, sub, mul
    case multiplyAdd = "multiply_add"
    case scale, offset, square, sigmoid, tanh
    case leakyRelu = "leaky_relu"
    case leakyReluBackward = "leaky_relu_backward"
    case squaredLeakyRelu = "squared_leaky_relu"
    case squaredLeakyReluBackward = "squared_leaky_relu_backward"
    case softcap
    case softcapBackward = "softcap_backward"
    case rmsNorm = "rms_norm"
    case rmsNormBackward = "rms_norm_backward"
    case rmsNormBackwardAdd = "rms_norm_backward_add"
    case rope
    case ropeInverse = "rope_inverse"
    case dot
    case sumColumns = "sum_columns"
    case sumColumnsProduct = "sum_columns_product"
    case sumPeriodic = "sum_periodic"
    case sumAll = "sum_all"

    /// How many operands it reads.
    public var operands: Int {
      switch self {
      case .multiplyAdd, .rmsNormBackwardAdd: return 3
      case .add, .sub, .mul, .leakyReluBackward, .squaredLeakyReluBackward, .softcapBackward,
        .rmsNormBackward, .rope, .ropeInverse, .dot, .sumColumnsProduct:
        return 2
      default: return 1
      }
    }
    /// Whether it makes one part a tile of a sum over rows.
    public var isSum: Bool {
      [.sumColumns, .sumColumnsProduct, .sumPeriodic, .sumAll].contains(self)
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
      self.operation = operation
      self.destination = destination
      self.operands = operands
      self.immediate = immediate
    }
  }
  public var registers: [Register] = []
  public var instructions: [Instruction] = []
  public init() {}
}

/// One call of a kernel. Buffers, sizes and scalars stand in the order of the kernel's contract.
public struct KernelCall: Hashable, Sendable {
  public var kernel: Kernel
  /// Whether everything before must be finished first.
  public var barrier: Bool
  /// Whether it belongs to the chain of the call before it: a thread runs one tile of all calls of a
  /// chain, then the next tile.
  public var isChained: Bool
  public var buffers: [BufferReference]
  public var sizes: [Int]
  public var scalars: [Double]
  public var program: RowProgram?
  /// The value it makes, for dumps and profiles.
  public var source: String

  public init(
    _ kernel: Kernel, buffers: [BufferReference], sizes: [Int] = [], scalars: [Double] = [],
    program: RowProgram? = nil, source: String = "", barrier: Bool = false,
    isChained: Bool = false
  ) {
    self.kernel = kernel
    self.barrier = barrier
    self.isChained = isChained
    self.buffers = buffers
    self.sizes = sizes
    self.scalars = scalars
    self.program = program
    self.source = source
  }
}

/// A named value that the driver writes before, or reads after, a run of a function.
public struct PlanValue: Hashable, Sendable {
  public var name: String
  public var type: TensorType
  public var buffer: BufferReference
  public init(name: String, type: TensorType, buffer: BufferReference) {
    self.name = name
    self.type = type
    self.buffer = buffer
  }
}

/// One function of a plan: a train step, a scorer, an adaptation step.
public struct PlanFunction: Hashable, Sendable {
  public var name: String
  public var arenaBytes: Int
  public var stateBytes: Int
  public var constants: [Double]
  public var inputs: [PlanValue]
  public var outputs: [PlanValue]
  /// Persistent states with how they start.
  public var states: [State]
  /// Paths of the parameters it changes.
  public var updates: [String]
  /// Calls that run once: constant tables.
  public var setup: [KernelCall]
  /// Calls whose results depend on parameters alone: run when parameters changed.
  public var prepare: [KernelCall]
  /// Calls of every run.
  public var body: [KernelCall]

  public struct State: Hashable, Sendable {
    public var path: String
    public var type: TensorType
    public var offset: Int
    public var initial: Initializer
    public init(path: String, type: TensorType, offset: Int, initial: Initializer) {
      self.path = path
      self.type = type
      self.offset = offset
      self.initial = initial
    }
  }

  public init(name: String) {
    self.name = name
    arenaBytes = 0
    stateBytes = 0
    constants = []
    inputs = []
    outputs = []
    states = []
    updates = []
    setup = []
    prepare = []
    body = []
  }
}

/// The offsets of a model's parameters in their block.
public struct ParameterLayout: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var parameter: Parameter
    /// In bytes.
    public var offset: Int
  }
  public private(set) var entries: [Entry] = []
  public private(set) var bytes = 0
  private var indices: [String: Int] = [:]

  /// Parameters in order, each at a multiple of 64 bytes.
  public init(_ parameters: [Parameter]) {
    for parameter in parameters where parameter.role == .param {
      indices[parameter.path] = entries.count
      entries.append(Entry(parameter: parameter, offset: bytes))
      bytes += (parameter.type.count * 4 + 63) / 64 * 64
    }
  }

  public subscript(_ path: String) -> Entry? { indices[path].map { entries[$0] } }
}

/// The precision of matrix products. Sums are f32 in both.
public enum ComputePrecision: String, Hashable, Sendable, CaseIterable {
  case f32, bf16
}

/// The machine a plan is made for. Passes never ask the host.
public struct TargetMachine: Hashable, Sendable {
  /// `x86_64` or `aarch64`.
  public var machine: String
  /// `portable`, `avx2`, `avx512`, `avx512bf16`, `neon`.
  public var isa: String
  /// Of products and attention, in training and in scoring.
  public var compute: ComputePrecision
  public init(machine: String, isa: String, compute: ComputePrecision = .f32) {
    self.machine = machine
    self.isa = isa
    self.compute = compute
  }
}

/// A compiled model: the declaration, and every function that its life needs.
public struct Plan: Sendable {
  public var target: TargetMachine
  public var model: Model
  public var functions: [PlanFunction]

  public init(target: TargetMachine, model: Model, functions: [PlanFunction]) {
    self.target = target
    self.model = model
    self.functions = functions
  }

  public var layout: ParameterLayout { ParameterLayout(model.graph.parameters) }

  public subscript(_ name: String) -> PlanFunction? { functions.first { $0.name == name } }
}

/// Names of functions by what they compute and at which sizes, so that equal ones are made once.
public enum FunctionName {
  public static func train(_ variant: String) -> String {
    variant.isEmpty ? "train" : "train." + variant
  }
  public static func gradient(_ variant: String) -> String {
    variant.isEmpty ? "gradient" : "gradient." + variant
  }
  public static let update = "update"
  public static let adapt = "adapt"

  /// Scores the last `last` targets (nil: all) of `rows` windows.
  public static func score(window: Int, rows: Int, last: Int?) -> String {
    "score.w\(window).b\(rows)" + (last.map { ".s\($0)" } ?? "")
  }
}

/// Windows of one forward pass when the file does not say: about 4,096 tokens.
public func scoringRows(window: Int) -> Int { max(1, 4096 / window) }

extension Evaluation {
  /// Targets scored in each window but the first; nil: all, windows do not overlap.
  public var scoredPerWindow: Int? { stride == window ? nil : stride }
}
