// SPDX-License-Identifier: Apache-2.0
// Training steps: batches from a stream, the compiled step, schedules, and all state of a resume.

import Formats
import Glibc
import IR

/// What one step did.
public struct StepReport: Sendable, Equatable {
  /// Number of the step, from 1.
  public var step: Int
  public var loss: Double
  public var gradientNorm: Double
  public var settings: StepSettings
  public var seconds: Double
}

/// Trains one model. Equal plan, data, seed and step schedule give equal bits for any thread count.
public final class Trainer {
  public let model: Model
  public let schedule: Schedule
  public let parameters: ParameterBlock
  public private(set) var moment = TrainingMoment(step: 0, seconds: 0)
  /// The features of the file and the steps in which they were live.
  public var live: [LiveFeature] { report.features }
  private var report: LiveReport
  /// Each average with its parameter.
  private var averages:
    [(average: UnsafeMutableBufferPointer<Float>, parameter: UnsafeMutableBufferPointer<Float>)] =
      []
  private let train: TrainSettings
  private var reader: BatchReader
  /// One function a variant: whole steps, or gradients where several forwards make a step.
  private let steps: [Executable]
  private let update: Executable?
  /// Seconds on a steady clock.
  private let clock: () -> Double

  /// Loads the training functions. Parameters are initialised from the seed.
  public init(
    _ plan: Plan, data: TokenStream, length: TrainingLength, seed: UInt64, threads: Int,
    clock: @escaping () -> Double
  ) throws {
    guard let train = plan.model.settings.train else {
      preconditionFailure("the plan was compiled without a train section")
    }
    model = plan.model
    self.train = train
    reader = try BatchReader(
      data, rows: train.rows, seq: train.seq, isShuffled: train.isShuffled, seed: seed)
    self.clock = clock
    schedule = Schedule(model: model, train: train, length: length)
    let parameters = try ParameterBlock(layout: plan.layout)
    parameters.initialise(seed: seed)
    self.parameters = parameters
    let isWhole = train.accumulate == 1
    var loaded: [Executable] = []
    for variant in model.variants {
      let name =
        isWhole ? FunctionName.train(variant.name) : FunctionName.gradient(variant.name)
      guard let function = plan[name] else { preconditionFailure("the plan has no \(name)") }
      // States of updates are the model's, not a variant's: all whole steps have the same ones.
      loaded.append(
        try Executable(
          function, parameters: parameters, threads: threads, sharing: loaded.first?.states))
    }
    steps = loaded
    update =
      isWhole
      ? nil
      : try plan[FunctionName.update].map {
        try Executable($0, parameters: parameters, threads: threads)
      }
    report = LiveReport(model, train)
    averages = holder.function.states.compactMap { state in
      guard state.path.hasPrefix("ema."), let source = parameters[String(state.path.dropFirst(4))]
      else { return nil }
      return (holder.state(state.path)!, source)
    }
    initialiseStates(seed: seed)
  }

  private var holder: Executable { update ?? steps[0] }

  private func initialiseStates(seed: UInt64) {
    for state in holder.function.states {
      // An average starts as its parameter; everything else as declared.
      let values = holder.state(state.path)!
      if state.path.hasPrefix("ema."), let source = parameters[String(state.path.dropFirst(4))] {
        _ = values.update(from: source)
      } else {
        fill(
          values, shape: state.type.sizes, by: state.initial,
          stream: RandomStream(seed: seed, path: state.path))
      }
    }
  }

  /// Tokens of one step.
  public var tokensPerStep: Int { train.rows * train.seq * train.accumulate }

  // MARK: Steps

  /// Does one step. Throws `NumericFailure` when the loss is not finite; the parameters are then lost.
  ///
  /// With `observe` every function that the step runs is recorded and handed over; the results are
  /// the same.
  public func step(profiled observe: ((Profile) -> Void)? = nil) throws -> StepReport {
    let settings = schedule.settings(moment)
    let start = clock()
    let executable = steps[settings.variant]
    var loss = 0.0
    var hasZLoss = false
    if let update {
      var tree = GradientTree()
      let weight = 1 / Float(tokensPerStep)
      for _ in 0..<train.accumulate {
        try load(executable, weight: weight)
        setScalars(executable, settings)
        run(executable, observe)
        loss += Double(executable.output("loss")[0])
        hasZLoss = hasZLoss || Trainer.hasZLoss(executable)
        tree.add(
          executable.function.outputs.filter { $0.name.hasPrefix("grad.") }
            .map { executable.output($0.name) })
      }
      tree.finish { index, values in
        let name = executable.function.outputs.filter { $0.name.hasPrefix("grad.") }[index].name
        _ = update.input(name).update(from: values)
      }
      setScalars(update, settings)
      // Averages decay in what depends on states alone.
      run(update, observe)
    } else {
      try load(executable, weight: 1 / Float(tokensPerStep))
      setScalars(executable, settings)
      run(executable, observe)
      loss = Double(executable.output("loss")[0])
      hasZLoss = Trainer.hasZLoss(executable)
    }
    let norm = Double((update ?? executable).output("grad_norm")[0])
    let seconds = clock() - start
    moment.step += 1
    moment.seconds += seconds
    report.note(
      StepObservation(
        step: moment.step, settings: settings, gradientNorm: norm, hasZLoss: hasZLoss,
        averageDiffers: averageDiffers))
    guard loss.isFinite, norm.isFinite else {
      throw NumericFailure(
        "step \(moment.step): loss \(loss), gradient norm \(norm). Training diverged; lower the "
          + "learning rates or set `clip` in the train section and start again with another --out"
      )
    }
    return StepReport(
      step: moment.step, loss: loss, gradientNorm: norm, settings: settings, seconds: seconds)
  }

  private func run(_ executable: Executable, _ observe: ((Profile) -> Void)?) {
    if let observe {
      observe(executable.profile(preparing: true))
    } else {
      executable.prepareParameters()
      executable.run()
    }
  }

  private func load(_ executable: Executable, weight: Float) throws(FormatError) {
    try reader.load(
      ids: executable.tokens(executable.function.inputs[0].name, [train.rows, train.seq]),
      targets: executable.tokens("targets", [train.rows, train.seq]))
    executable.input("weights").update(repeating: weight)
  }

  private func setScalars(_ executable: Executable, _ settings: StepSettings) {
    executable.setScalar("learning_rate", settings.rate)
    executable.setScalar("step", Double(moment.step + 1))
    executable.setScalar("qat.alpha", settings.qatAlpha)
    for (index, entry) in train.optimizers.enumerated() {
      if case .muon(let rule) = entry.rule {
        executable.setScalar("momentum.\(index)", Schedule.momentum(rule, step: moment.step))
      }
    }
  }

  // MARK: Results

  /// The weights to export: the average where there is one.
  public func exported() throws(OutOfMemory) -> ParameterBlock {
    let block = try parameters.copy()
    for state in holder.function.states where state.path.hasPrefix("ema.") {
      _ = block[String(state.path.dropFirst(4))]?.update(from: holder.state(state.path)!)
    }
    return block
  }

  // MARK: Features

  /// What had no effect in the steps so far, or not all of its effect; a sentence each.
  public var remarks: [String] {
    report.remarks(steps: moment.step, averageDiffers: averageDiffers)
  }

  /// Whether some average is another number than its parameter. The first parameter that moved ends
  /// the search.
  private var averageDiffers: Bool {
    averages.contains { average, parameter in
      memcmp(average.baseAddress!, parameter.baseAddress!, average.count * 4) != 0
    }
  }

  /// Whether the penalty of the function's last run made the loss another number.
  private static func hasZLoss(_ executable: Executable) -> Bool {
    guard executable.function.outputs.contains(where: { $0.name == "z_loss" }) else { return false }
    let loss = executable.output("loss")[0]
    return loss - executable.output("z_loss")[0] != loss
  }

  // MARK: Checkpoints

  /// All tensors of a resume, by file.
  public func savedTensors() -> [String: [String: TensorBlob]] {
    var weights: [String: TensorBlob] = [:]
    for entry in parameters.layout.entries {
      let path = entry.parameter.path
      weights[path] = TensorBlob(Array(parameters[path]!), shape: entry.parameter.type.sizes)
    }
    var states: [String: TensorBlob] = [:]
    for state in holder.function.states {
      states[state.path] = TensorBlob(Array(holder.state(state.path)!), shape: state.type.sizes)
    }
    return ["parameters": weights, "states": states]
  }

  /// Counters of a resume.
  public func savedCounters() -> JSONValue {
    [
      "step": .int(moment.step), "seconds": .double(moment.seconds), "rows": .int(reader.position),
      "live": report.saved,
    ]
  }

  /// Continues where a checkpoint stands.
  public func restore(_ checkpoint: Checkpoint) throws {
    let counters = checkpoint.metadata["trainer"]
    guard let step = counters?["step"]?.intValue, let seconds = counters?["seconds"]?.doubleValue,
      let rows = counters?["rows"]?.intValue, step >= 0, rows >= 0,
      let saved = counters?["live"]?.arrayValue
    else {
      throw FormatError(
        .corrupt, file: checkpoint.path, field: "trainer", "step, seconds, rows or live is missing")
    }
    let weights = try checkpoint.tensors("parameters")
    for entry in parameters.layout.entries {
      try restore(entry.parameter.path, weights, to: parameters[entry.parameter.path]!, checkpoint)
    }
    let states = try checkpoint.tensors("states")
    for state in holder.function.states {
      try restore(state.path, states, to: holder.state(state.path)!, checkpoint)
    }
    moment = TrainingMoment(step: step, seconds: seconds)
    reader.restore(position: rows)
    report.restore(saved)
  }

  private func restore(
    _ path: String, _ tensors: [String: TensorBlob], to values: UnsafeMutableBufferPointer<Float>,
    _ checkpoint: Checkpoint
  ) throws {
    guard let tensor = tensors[path], tensor.count == values.count else {
      throw FormatError(
        .corrupt, file: checkpoint.path, field: path,
        "missing or of another size than in the graph; resume with the graph of the run")
    }
    _ = values.update(from: try tensor.floats())
  }
}

/// Sums gradients of micro-batches pairwise in a fixed tree: the order does not depend on who
/// computes them.
private struct GradientTree {
  private var levels: [[[Float]]?] = []

  mutating func add(_ gradients: [UnsafeMutableBufferPointer<Float>]) {
    var carry = gradients.map { Array($0) }
    for level in levels.indices {
      guard let waiting = levels[level] else {
        levels[level] = carry
        return
      }
      carry = GradientTree.sum(waiting, carry)
      levels[level] = nil
    }
    levels.append(carry)
  }

  /// Hands out the sums by index.
  mutating func finish(_ body: (Int, [Float]) -> Void) {
    var total: [[Float]]?
    for waiting in levels.compactMap({ $0 }) {
      total = total.map { GradientTree.sum(waiting, $0) } ?? waiting
    }
    for (index, values) in (total ?? []).enumerated() { body(index, values) }
  }

  private static func sum(_ left: [[Float]], _ right: [[Float]]) -> [[Float]] {
    zip(left, right).map { left, right in
      var sum = left
      sum.withUnsafeMutableBufferPointer { sum in
        right.withUnsafeBufferPointer { right in
          for index in sum.indices { sum[index] += right[index] }
        }
      }
      return sum
    }
  }
}
