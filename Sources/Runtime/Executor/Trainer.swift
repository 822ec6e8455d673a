// SPDX-License-Identifier: Apache-2.0
// Training steps: batches from a stream, schedules, and which features of the file were live.

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
  public internal(set) var moment = TrainingMoment(step: 0, seconds: 0)
  /// The features of the file and the steps in which they were live.
  public var live: [LiveFeature] { report.features }
  var report: LiveReport
  /// An average and what it is an average of.
  private struct Average {
    let path: String
    let values: UnsafeMutableBufferPointer<Float>
    let parameter: UnsafeMutableBufferPointer<Float>
  }
  private var averages: [Average] = []
  /// Snapshots in the average, where it is one of snapshots.
  var snapshots = 0
  private let train: TrainSettings
  var reader: BatchReader
  private var functions: TrainingStep
  private let loaded: (Plan, _ sharing: MemoryBlock?) throws -> TrainingStep
  /// Seconds on a steady clock.
  private let clock: () -> Double

  /// Loads the training functions. Parameters are initialised from the seed. `reducer` sums the
  /// gradients of steps that have several micro-batches.
  public init(
    _ plan: Plan, data: TokenStream, length: TrainingLength, seed: UInt64, threads: Int,
    reducer: any GradientReducer = GradientTree(), clock: @escaping () -> Double
  ) throws {
    guard let train = plan.model.settings.train, let step = plan.model.step else {
      preconditionFailure("the plan was compiled without a train section")
    }
    model = plan.model
    self.train = train
    let longest = model.longestSizes(train)
    reader = try BatchReader(
      data, rows: longest.rows, seq: longest.seq, order: train.order, seed: seed)
    self.clock = clock
    schedule = Schedule(model: model, train: train, length: length)
    let parameters = try ParameterBlock(layout: plan.layout)
    parameters.initialise(seed: seed)
    self.parameters = parameters
    loaded = { plan, states in
      try TrainingStep(
        plan, step, parameters: parameters, threads: threads, reducer: reducer, sharing: states)
    }
    functions = try loaded(plan, nil)
    report = LiveReport(model, train)
    for state in holder.function.states {
      let values = holder.state(state.path)!
      if let path = state.averageOf, let parameter = parameters[path] {
        _ = values.update(from: parameter)
        averages.append(Average(path: path, values: values, parameter: parameter))
      } else {
        fill(
          values, shape: state.type.sizes, by: state.initial,
          stream: RandomStream(seed: seed, path: state.path))
      }
    }
  }

  /// Goes on with the functions of a plan whose model differs in how weights are rounded.
  func replan(_ plan: Plan) throws {
    let states = holder.function.states
    functions = try loaded(plan, holder.states)
    precondition(
      holder.function.states == states, "the states of a plan follow the optimizers alone")
  }

  /// Whether QAT acts in the next step.
  var roundsNext: Bool { schedule.settings(moment).qatAlpha > 0 }

  /// The function whose states are the training's.
  var holder: Executable { functions.updating }

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
    let variant = model.variants[settings.variant]
    if settings.variant != moment.variant { copy(model.copies(of: variant)) }
    let sizes = model.sizes(of: variant, train)
    let result = try functions.run(
      variant: settings.variant, load: { try load($0, sizes) },
      setScalars: { setScalars($0, settings) },
      observe: observe)
    let seconds = clock() - start
    moment = schedule.moment(after: moment, settings, seconds: seconds)
    if settings.isSnapshot { snapshots += 1 }
    report.note(
      StepObservation(
        step: moment.step, settings: settings, gradientNorm: result.gradientNorm,
        hasZLoss: result.hasZLoss, averageDiffers: averageDiffers))
    guard result.loss.isFinite, result.gradientNorm.isFinite else {
      throw NumericFailure(
        "step \(moment.step): loss \(result.loss), gradient norm \(result.gradientNorm). Training "
          + "diverged; lower the learning rates or set `clip` in the train section and start again "
          + "with another --out")
    }
    return StepReport(
      step: moment.step, loss: result.loss, gradientNorm: result.gradientNorm, settings: settings,
      seconds: seconds)
  }

  /// Writes the next batch. Rows that are shorter than the longest ones are parts of these.
  private func load(_ executable: Executable, _ sizes: TokenSizes) throws(FormatError) {
    let shape = [sizes.rows, sizes.seq]
    try reader.load(
      ids: executable.ids(shape), targets: executable.tokens(.targets, shape))
    executable.input(.weights).update(repeating: 1 / Float(tokensPerStep))
  }

  private func setScalars(_ executable: Executable, _ settings: StepSettings) {
    executable.setUpdateScalars(
      rate: settings.rate, step: moment.step + 1, fraction: settings.fraction,
      optimizers: train.optimizers)
    executable.setScalar(.averageRate, settings.isSnapshot ? 1 / Double(snapshots + 1) : 0)
    executable.setScalar(.qatAlpha, settings.qatAlpha)
  }

  /// Moves training of params to others, as a variant asks when it begins: values, moments and averages.
  /// All are read before any is written, so a copy may shift a range.
  private func copy(_ pairs: [(source: Parameter, target: Parameter)]) {
    var copies: [(values: [Float], target: UnsafeMutableBufferPointer<Float>)] = []
    for (source, target) in pairs {
      copies.append((Array(parameters[source.path]!), parameters[target.path]!))
      let states = holder.function.states
      for state in states where state.parameter == source.path {
        let partner = states.first { $0.parameter == target.path && $0.kind == state.kind }
        guard let partner else { continue }
        copies.append((Array(holder.state(state.path)!), holder.state(partner.path)!))
      }
    }
    for copy in copies { _ = copy.target.update(from: copy.values) }
  }

  // MARK: Results

  /// The weights to export: the average where there is one.
  public func exported() throws(OutOfMemory) -> ParameterBlock {
    let block = try parameters.copy()
    // Without a snapshot the mean is of nothing; the remarks say so.
    if case .swa = train.average, snapshots == 0 { return block }
    for average in averages { _ = block[average.path]?.update(from: average.values) }
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
    averages.contains {
      memcmp($0.values.baseAddress!, $0.parameter.baseAddress!, $0.values.count * 4) != 0
    }
  }
}
