// SPDX-License-Identifier: Apache-2.0
// How long the functions of a plan take here: tried where that is a matter of moments, else told from smaller ones.

import IR

/// Seconds of a training step and of each other function of a plan.
public struct PlanTimes {
  /// How a number was found.
  public enum Origin: String, Sendable {
    case measured
    /// By the work of kernels, from calls of a smaller batch.
    case scaled = "scaled from a smaller batch"
  }

  public struct Time: Sendable {
    public var seconds: Double
    public var origin: Origin
  }

  /// Of a step, by variant.
  public private(set) var steps: [Time] = []
  /// Of a run with all that it prepares, by the name of the function.
  public private(set) var functions: [String: Time] = [:]

  /// Seconds at a modest pace of what is tried: of a step, and of each other function.
  private static let (longestStep, longestFunction) = (0.6, 0.15)
  /// Seconds for which a function is repeated, beyond its first run.
  private static let repeated = (step: 0.1, function: 0.02)

  private let plan: Plan
  private let threads: Int
  private let clock: () -> Double
  private let mayTry: Bool

  /// Measures. `mayTry`: the plan's memory is there. `smaller` compiles the training functions of the
  /// same params for a few tokens; it is asked for where something takes too long to be tried.
  public static func measure(
    _ plan: Plan, threads: Int, mayTry: Bool, clock: @escaping () -> Double,
    smaller: () throws -> Plan
  ) throws -> PlanTimes {
    var times = PlanTimes(plan: plan, threads: threads, clock: clock, mayTry: mayTry)
    try times.measure(smaller)
    return times
  }

  private init(plan: Plan, threads: Int, clock: @escaping () -> Double, mayTry: Bool) {
    (self.plan, self.threads, self.clock, self.mayTry) = (plan, threads, clock, mayTry)
  }

  private mutating func measure(_ smaller: () throws -> Plan) throws {
    let parameters = try plan.sampleParameters()
    let variants = plan.model.step?.forwardBackward ?? []
    let isTried = mayTry && variants.indices.map(guessedStep).reduce(0, +) <= Self.longestStep
    if isTried { steps = try triedSteps(parameters) }
    let others = plan.functions.filter {
      !variants.contains($0.name) && $0.name != FunctionName.update
    }
    for function in others where mayTry && guess(function) <= Self.longestFunction {
      functions[function.name] = try tried(function, parameters)
    }
    guard !isTried && !variants.isEmpty || functions.count < others.count else { return }
    let sample = try smaller().functions.map {
      try Executable($0, parameters: parameters, threads: threads)
    }
    let rates = WorkRates(sampling: sample)
    if !isTried {
      steps = variants.indices.map { scaled($0, rates) }
    }
    for function in others where functions[function.name] == nil {
      functions[function.name] = Time(
        seconds: rates.seconds(function.prepare + function.body), origin: .scaled)
    }
  }

  private func guess(_ function: PlanFunction) -> Double {
    WorkRates.guess(function.prepare + function.body, threads: threads)
  }

  // MARK: Tried

  private func guessedStep(_ variant: Int) -> Double {
    guard let step = plan.model.step else { return 0 }
    return step.calls(of: plan, variant: variant).reduce(0) {
      $0 + $1.times * WorkRates.guess($1.calls, threads: threads)
    }
  }

  private func triedSteps(_ parameters: ParameterBlock) throws -> [Time] {
    guard let step = plan.model.step, let train = plan.model.settings.train else { return [] }
    let functions = try TrainingStep(
      plan, step, parameters: parameters, threads: threads, reducer: GradientTree())
    return try plan.model.variants.enumerated().map { index, variant in
      let sizes = plan.model.sizes(of: variant, train)
      let batch = SyntheticBatch(
        index, rows: sizes.rows, seq: sizes.seq, vocabulary: plan.model.vocabulary)
      return try repeated(Self.repeated.step / Double(plan.model.variants.count)) {
        _ = try functions.run(
          variant: index,
          load: { batch.load($0, rows: sizes.rows, seq: sizes.seq, scored: sizes.seq) },
          setScalars: { $0.setUpdateScalars(rate: 1, step: 1, optimizers: train.optimizers) },
          observe: nil)
      }
    }
  }

  private func tried(_ function: PlanFunction, _ parameters: ParameterBlock) throws -> Time {
    let executable = try Executable(function, parameters: parameters, threads: threads)
    let sizes = function.inputs[0].type.sizes
    if let targets = function.inputs.first(where: { $0.name == Port.targets.name }) {
      SyntheticBatch(0, rows: sizes[0], seq: sizes[1], vocabulary: plan.model.vocabulary).load(
        executable, rows: sizes[0], seq: sizes[1], scored: targets.type.sizes[1])
    }
    return repeated(Self.repeated.function) {
      executable.prepareParameters()
      executable.run()
    }
  }

  /// The mean of runs for so many seconds behind one that warms up; at least one.
  private func repeated(_ seconds: Double, _ body: () throws -> Void) rethrows -> Time {
    try body()
    let start = clock()
    var (count, spent) = (0, 0.0)
    repeat {
      try body()
      count += 1
      spent = clock() - start
    } while spent < seconds && spent > 0
    return Time(seconds: spent / Double(count), origin: .measured)
  }

  // MARK: Scaled

  private func scaled(_ variant: Int, _ rates: WorkRates) -> Time {
    let seconds = plan.model.step!.calls(of: plan, variant: variant).reduce(0) {
      $0 + $1.times * rates.seconds($1.calls)
    }
    return Time(seconds: seconds, origin: .scaled)
  }
}

extension StepPlan {
  /// The lists of calls that one step of a variant runs, and how often.
  fileprivate func calls(of plan: Plan, variant: Int) -> [(calls: [KernelCall], times: Double)] {
    let function = plan[forwardBackward[variant]]!
    let updating = update.map { plan[$0]! }
    return [
      (function.prepare, 1), (function.body, Double(microBatches)),
      ((updating?.prepare ?? []) + (updating?.body ?? []), 1),
    ]
  }
}

extension Plan {
  /// Parameters of some size: what they are does not change how long a call takes, and to initialise them as the
  /// file says can take half a minute.
  fileprivate func sampleParameters() throws(OutOfMemory) -> ParameterBlock {
    let block = try ParameterBlock(layout: layout)
    let stream = RandomStream(seed: 1, path: "estimate")
    let values = (0..<4093).map { Float(stream.bits(UInt64($0)) % 2001) / 20_000 - 0.05 }
    let floats = block.memory.base.bindMemory(to: Float.self, capacity: layout.bytes / 4)
    for start in stride(from: 0, to: layout.bytes / 4, by: values.count) {
      let count = min(values.count, layout.bytes / 4 - start)
      (floats + start).update(from: values, count: count)
    }
    return block
  }
}

extension Model {
  /// Entries of the distribution that `forward` returns.
  var vocabulary: Int { scored.graph.type(scored.graph.outputs[0].value).shape.last?.number ?? 1 }
}
