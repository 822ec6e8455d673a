// SPDX-License-Identifier: Apache-2.0
// The lowered form: kernel calls in order, with offsets into one arena. Printed by PlanPrinter.

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
    (self.space, self.offset, self.tileBytes) = (space, offset, tileBytes)
  }
}

/// One call of a kernel.
public struct KernelCall: Hashable, Sendable {
  public var kernel: Kernel
  /// In the order of the kernel's contract.
  public var buffers: [BufferReference]
  /// Rows of a tile where its chain fixed them; nil: the kernel cuts its work as it likes best.
  public var tileRows: Int?
  /// Whether everything before must be finished first.
  public var barrier: Bool
  /// Whether it belongs to the chain of the call before it: a thread runs one tile of all calls of a
  /// chain, then the next tile.
  public var isChained: Bool
  /// The value it makes, for dumps and profiles.
  public var source: String

  public init(
    _ kernel: Kernel, buffers: [BufferReference], tileRows: Int? = nil, source: String = "",
    barrier: Bool = false, isChained: Bool = false
  ) {
    (self.kernel, self.buffers, self.tileRows, self.source) = (kernel, buffers, tileRows, source)
    (self.barrier, self.isChained) = (barrier, isChained)
  }
}

/// A named value that the driver writes before, or reads after, a run of a function.
public struct PlanValue: Hashable, Sendable {
  public var name: String
  public var type: TensorType
  public var buffer: BufferReference
  public init(name: String, type: TensorType, buffer: BufferReference) {
    (self.name, self.type, self.buffer) = (name, type, buffer)
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
    /// The path of the parameter whose moving average it is.
    public var averageOf: String?
    /// What the state is to its parameter: `adamw.m`, or the word of an average.
    public var kind: String {
      path.split(separator: ".").prefix(averageOf == nil ? 2 : 1).joined(separator: ".")
    }
    /// The path of the parameter that it belongs to.
    public var parameter: String { averageOf ?? String(path.dropFirst(kind.count + 1)) }

    public init(
      path: String, type: TensorType, offset: Int, initial: Initializer, averageOf: String? = nil
    ) {
      (self.path, self.type, self.offset, self.initial) = (path, type, offset, initial)
      self.averageOf = averageOf
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
    (self.machine, self.isa, self.compute) = (machine, isa, compute)
  }
}

/// A compiled model: the declaration, and every function that its life needs.
public struct Plan: Sendable {
  public var target: TargetMachine
  public var model: Model
  public var functions: [PlanFunction]

  public init(target: TargetMachine, model: Model, functions: [PlanFunction]) {
    (self.target, self.model, self.functions) = (target, model, functions)
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
  public static let moments = "moments"

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
