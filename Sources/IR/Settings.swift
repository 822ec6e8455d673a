// SPDX-License-Identifier: Apache-2.0
// What the sections of a file say, with every number resolved.

/// The settings of all sections but `init`, which the params themselves hold.
public struct Settings: Equatable, Sendable {
  public var train: TrainSettings?
  public var qat: QATSettings
  public var quantize: QuantizeSettings?
  public var evaluate: [Evaluation]
  public var ttt: TTTSettings?
  public var expect: ExpectSettings
  /// Seconds that all evaluations and test-time training may take together.
  public var evaluationLimit: Double?

  public init(
    train: TrainSettings? = nil, qat: QATSettings = .off, quantize: QuantizeSettings? = nil,
    evaluate: [Evaluation] = [], ttt: TTTSettings? = nil, expect: ExpectSettings = .init()
  ) {
    (self.train, self.qat, self.quantize, self.evaluate) = (train, qat, quantize, evaluate)
    (self.ttt, self.expect) = (ttt, expect)
  }
}

/// When a variant or QAT begins.
public enum ScheduleStart: Hashable, Sendable {
  case start
  /// This fraction of training is over.
  case training(Double)
  /// This fraction of the warmdown is over.
  case warmdown(Double)
  /// The learning rate's multiplier has fallen below this.
  case rateBelow(Double)
  /// So many steps are done.
  case step(Int)

  /// The spelling after `from`.
  public var text: String {
    switch self {
    case .start: "start"
    case .training(let fraction): "\(shortest(fraction)) of training"
    case .warmdown(let fraction): "\(shortest(fraction)) of warmdown"
    case .rateBelow(let multiplier): "lr_below(\(shortest(multiplier)))"
    case .step(let steps): "step \(steps)"
    }
  }
}

/// How a group of params is updated: an update's op, and what its options say.
public struct OptimizerRule: Hashable, Sendable {
  public var op: Op
  /// Before the schedule's multiplier.
  public var lr: Double
  /// All attributes of the op.
  public var attributes: [AttributeName: AttributeValue]
  /// Operands that are given anew in each step, by their names in the op's definition.
  public var ramps: [String: Ramp]

  public init(
    _ op: Op, lr: Double, _ attributes: [AttributeName: AttributeValue] = [:],
    ramps: [String: Ramp] = [:]
  ) {
    (self.op, self.lr, self.ramps) = (op, lr, ramps)
    let defaults = op.definition.attributes.compactMapValues(\.defaultValue)
    self.attributes = defaults.merging(attributes) { _, given in given }
  }
}

/// An `optimizer` entry.
public struct OptimizerEntry: TargetedRule, Equatable, Sendable {
  public var targetText: String { target.optimizerText }
  public var target: Target
  public var rule: OptimizerRule
  @Uncompared public var location: SourceLocation?

  public init(target: Target, rule: OptimizerRule, location: SourceLocation? = nil) {
    (self.target, self.rule, self.location) = (target, rule, location)
  }
}

/// The `train` section.
public struct TrainSettings: Equatable, Sendable {
  public enum Warmdown: Hashable, Sendable {
    case steps(Int)
    /// This fraction of training, at its end.
    case fraction(Double)
  }
  public enum Average: Hashable, Sendable {
    case none
    case ema(Double)
    /// The mean of snapshots, one every so many steps once the rate's multiplier is below a limit.
    case swa(every: Int, below: Double)
  }

  /// Which part of the training stream the next sequence is.
  public enum ReadOrder: Hashable, Sendable {
    /// What follows; one token in each pass is only a target.
    case stream
    /// Each epoch another random permutation of windows, from another phase on.
    case shuffled
    /// Each epoch another phase, first window and stride, which has no common divisor with the number of
    /// windows.
    case coprime
    /// What follows, from the first token with this id on, every token a target once.
    case from(Int)
  }

  /// Sequences of one forward pass.
  public var rows: Int
  /// Tokens of one sequence.
  public var seq: Int
  /// The order in which windows of the stream come.
  public var order = ReadOrder.stream
  /// Forward passes of one step.
  public var accumulate = 1
  public var stopSteps: Int?
  public var stopSeconds: Double?
  /// Seconds that training may take with its validations and checkpoints.
  public var limitSeconds: Double?
  public var optimizers: [OptimizerEntry] = []
  /// Largest global norm of the gradients.
  public var clip: Double?
  public var warmup = 0
  public var warmdown: Warmdown?
  /// Smallest multiplier of the learning rate.
  public var floor = 0.0
  public var average = Average.none
  public var zLoss: Double?
  public var validateEvery = 100
  /// Validation tokens that are scored on the way, from the first on.
  public var validateTokens = 32_768
  public var checkpointEvery = 200

  public init(rows: Int, seq: Int) {
    (self.rows, self.seq) = (rows, seq)
  }
}

/// The `qat` section.
public enum QATSettings: Equatable, Sendable {
  public enum Mode: Hashable, Sendable {
    case straightThrough
    /// The tanh form (a) or the sigmoid form (b), with the steepness at the start and end of the
    /// window.
    case softRound(form: Form, from: Double, to: Double)
  }
  public enum Form: String, Hashable, Sendable, CaseIterable { case a, b }

  case off
  case on(Mode, from: ScheduleStart)
}

/// A rule of `quantize`.
public struct PrecisionRule: TargetedRule, Equatable, Sendable {
  public var target: Target
  public var precision: Precision
  /// Bits that the compiler may choose among; nil: the form is `precision`.
  public var bounds: ClosedRange<Int>?
  @Uncompared public var location: SourceLocation?

  public init(
    target: Target, precision: Precision, bounds: ClosedRange<Int>? = nil,
    location: SourceLocation? = nil
  ) {
    (self.target, self.precision, self.bounds) = (target, precision, bounds)
    self.location = location
  }
}

/// The `quantize` section.
public struct QuantizeSettings: Equatable, Sendable {
  public var rules: [PrecisionRule] = []
  /// Whether the compiler chooses the forms of matrices that no rule stores, within the budget.
  public var isAutomatic = false
  /// Tokens of training text for second moments; nil where no rule needs any.
  public var calibration: Int?
  public struct Correction: Hashable, Sendable {
    public var worst: Int
    public var form: Quantizer.LowRank

    public init(worst: Int, form: Quantizer.LowRank) { (self.worst, self.form) = (worst, form) }
  }

  public struct Protection: Hashable, Sendable {
    public var columns: Int
    public var bits: Int

    public init(columns: Int, bits: Int) { (self.columns, self.bits) = (columns, bits) }
  }

  /// Tokens where the file does not say.
  public static let usualCalibration = 32_768
  /// How many tensors get a low-rank correction, those of the largest error, and which.
  public var correction: Correction?
  /// The one group of columns of the whole model that gets more bits.
  public var protection: Protection?
  /// Largest size of artifact and code.
  public var budget: Int?
  /// Bytes of code that count against the budget.
  public var codeBytes = 0

  public init() {}
}

/// One evaluation of the `evaluate` section.
public struct Evaluation: Equatable, Sendable {
  public var name: String
  /// Tokens a window sees.
  public var window: Int
  /// Tokens from one window to the next, of which that many are scored; nil: windows do not
  /// overlap.
  public var stride: Int?
  /// Windows of one forward pass; nil: the compiler chooses.
  public var batch: Int?
  /// Whether the weights before quantisation are evaluated.
  public var onFloat = false

  public init(name: String, window: Int) {
    (self.name, self.window) = (name, window)
  }
}

/// The `ttt` section, when it is not off.
public struct TTTSettings: Equatable, Sendable {
  public enum Mode: String, Hashable, Sendable, CaseIterable {
    /// Score a chunk, then train on it.
    case scoreFirst = "score_first"
    /// Train on all, then score: not a legal score.
    case adaptFirst = "adapt_first"
  }

  public enum Schedule: Hashable, Sendable {
    case constant
    /// The rate falls as half a cosine over the chunks.
    case cosineOverChunks
  }

  /// A factor on the learning rate of the params that a glob matches.
  public struct RateScale: TargetedRule, Hashable, Sendable {
    public var glob: Glob
    public var factor: Double
    @Uncompared public var location: SourceLocation?
    public var target: Target { .glob(glob) }

    public init(glob: Glob, factor: Double, location: SourceLocation? = nil) {
      (self.glob, self.factor, self.location) = (glob, factor, location)
    }
  }

  /// Params that are not updated.
  public struct Freeze: TargetedRule, Hashable, Sendable {
    public var glob: Glob
    @Uncompared public var location: SourceLocation?
    public var target: Target { .glob(glob) }

    public init(glob: Glob, location: SourceLocation? = nil) {
      (self.glob, self.location) = (glob, location)
    }
  }

  public var mode: Mode
  /// Tokens of a chunk.
  public var chunk: Int
  public var window: Int
  /// Equal to the window when windows do not overlap.
  public var stride: Int
  public var epochs = 1
  /// Sequences of one update.
  public var batch = 1
  public var clip: Double?
  public var optimizers: [OptimizerEntry] = []
  public var schedule = Schedule.constant
  public var scales: [RateScale] = []
  public var frozen: [Freeze] = []

  public init(mode: Mode, chunk: Int, window: Int, stride: Int) {
    (self.mode, self.chunk, self.window, self.stride) = (mode, chunk, window, stride)
  }
}

/// The `expect` section.
public struct ExpectSettings: Equatable, Sendable {
  public var parameters: Int?
  /// Largest artifact in bytes.
  public var artifactAtMost: Int?

  public init(parameters: Int? = nil, artifactAtMost: Int? = nil) {
    (self.parameters, self.artifactAtMost) = (parameters, artifactAtMost)
  }
}

extension TTTSettings {
  /// The index of the scale that a param's rate is multiplied by: the last one that matches it.
  public func scale(of path: String) -> Int? {
    scales.lastIndex { $0.glob.matches(path) }
  }

  /// Whether a param is not updated.
  public func isFrozen(_ path: String) -> Bool { frozen.contains { $0.glob.matches(path) } }
}
