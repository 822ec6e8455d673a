// SPDX-License-Identifier: Apache-2.0
// A whole run: train, quantise and pack, load, evaluate, adapt. Everything it says is an event.

import Formats
import IR

/// What the user chose for a run.
public struct RunOptions: Sendable {
  public var directory: String
  public var length: TrainingLength
  public var seed: UInt64
  public var threads: Int
  public var adapts: Bool
  public var resumes: Bool
  /// Targets of the validation stream to evaluate; nil: all.
  public var validationTokens: Int?
  /// Records one training step and one scoring batch.
  public var profiles: Bool

  public init(
    directory: String, length: TrainingLength, seed: UInt64, threads: Int, adapts: Bool,
    resumes: Bool, validationTokens: Int? = nil, profiles: Bool = false
  ) {
    self.directory = directory
    self.length = length
    self.seed = seed
    self.threads = threads
    self.adapts = adapts
    self.resumes = resumes
    self.validationTokens = validationTokens
    self.profiles = profiles
  }

  /// The step of this process that is recorded: those before it warm up.
  static let profiledStep = 3
}

/// What happens during a run, in order.
public enum RunEvent: Sendable {
  case resumed(step: Int)
  case step(StepReport, tokensPerSecond: Double)
  case validation(step: Int, bitsPerByte: Double, nll: Double)
  case checkpoint(step: Int)
  /// What ran in the recorded step, then in a scoring batch.
  case profiles([Profile])
  case phase(String)
  case progress(Double)
  case warning(String)
}

/// The run was stopped from outside, after saving.
public struct Interrupted: Error {
  public let step: Int
}

/// Everything a run measured.
public struct RunResult: Sendable {
  public var steps = 0
  public var tokensPerSecond = 0.0
  public var trainSeconds = 0.0
  /// Mean loss of the last 100 steps, nats per token.
  public var loss = 0.0
  public var artifactPath = ""
  public var artifactBytes = 0
  public var codeBytes = 0
  /// Of products and attention, in training and in scoring.
  public var precision = ComputePrecision.f32
  /// What the result repeats of the manifest.
  public var manifest: [String: JSONValue] = [:]
  public var scores: EvaluationScores
  public var live: [LiveFeature] = []
  /// What of the file had no effect, or not all of it; a sentence each.
  public var warnings: [String] = []
  /// Set when the artifact does not fit. Everything was measured all the same.
  public var overBudget: OverBudget?
}

/// Runs a plan from training to scores in a run directory.
public final class Run {
  private let plan: Plan
  private let data: DataFolder
  private let options: RunOptions
  private let clock: () -> Double
  private let isInterrupted: () -> Bool
  private let observe: (RunEvent) -> Void
  private var recentLosses: [Double] = []
  private var stepTimes: [Double] = []

  public init(
    plan: Plan, data: DataFolder, options: RunOptions, clock: @escaping () -> Double,
    isInterrupted: @escaping () -> Bool, observe: @escaping (RunEvent) -> Void
  ) {
    self.plan = plan
    self.data = data
    self.options = options
    self.clock = clock
    self.isInterrupted = isInterrupted
    self.observe = observe
  }

  /// Refuses a directory that the run cannot begin or go on in, before anything is done.
  public static func checkDirectory(_ path: String, resumes: Bool) throws {
    try RunDirectory.check(path, resumes: resumes)
  }

  /// Does everything. `manifest` is written first, so that a directory says what it is.
  public func run(manifest: RunManifest) throws -> RunResult {
    try plan.model.settings.checkScorable(
      data, limit: options.validationTokens, adapts: options.adapts)
    var result = RunResult(scores: EvaluationScores())
    result.manifest = manifest.repeated
    result.precision = plan.target.compute
    let (weights, directory) = try trained(manifest, &result)
    observe(.phase("pack"))
    let artifact = Artifact(
      model: plan.model.forArtifact, parameters: weights, precision: plan.model.precisionTable)
    try artifact.checkFinite(madeFrom: weights)
    let container = try artifact.container()
    result.artifactPath = options.directory + "/" + RunManifest.artifactName
    result.artifactBytes = try container.write(result.artifactPath)
    result.codeBytes = plan.model.settings.quantize?.codeBytes ?? 0
    // From here on it cannot change: nothing that is scored can find its way into it.
    try directory.audit.append(
      .artifact(
        ArtifactEvent(
          bytes: result.artifactBytes, codeBytes: result.codeBytes,
          sha256: try SHA256.hex(file: result.artifactPath))))
    let evaluator = Evaluator(
      functions: plan.functions, settings: plan.model.settings,
      stream: try ValidationStream(data, limit: options.validationTokens),
      threads: options.threads, clock: clock, observe: observe)
    result.scores = try evaluator.evaluate(
      float: weights, quantized: try Artifact.read(result.artifactPath).parameters(),
      adapts: options.adapts, audit: directory.audit)
    if options.adapts, let ttt = plan.model.settings.ttt {
      result.live += plan.model.live(ttt, result.scores.updates)
      result.warnings += plan.model.remarks(ttt, result.scores.updates)
    }
    try directory.finish(result)
    result.overBudget = OverBudget.exceeding(
      plan.model.settings.quantize, bytes: result.artifactBytes, groups: container.groups)
    for warning in result.warnings { observe(.warning(warning)) }
    return result
  }

  // MARK: Training

  /// Trains to the weights to export. The trainer's memory is free again before anything is scored.
  private func trained(
    _ manifest: RunManifest, _ result: inout RunResult
  ) throws -> (ParameterBlock, RunDirectory) {
    // Whatever is refused here leaves no directory behind.
    let trainer = try Trainer(
      plan, data: try data.train(), length: options.length, seed: options.seed,
      threads: options.threads, clock: clock)
    let directory = try RunDirectory(
      options.directory, resumes: options.resumes, manifest: manifest)
    try resume(trainer, directory)
    try train(trainer, directory)
    result.steps = trainer.moment.step
    result.trainSeconds = trainer.moment.seconds
    result.tokensPerSecond =
      Double(trainer.tokensPerStep * trainer.moment.step) / max(trainer.moment.seconds, 1e-9)
    let losses = recentLosses.suffix(100)
    result.loss = losses.reduce(0, +) / Double(max(losses.count, 1))
    result.live = trainer.live
    result.warnings = trainer.remarks
    return (try trainer.exported(), directory)
  }

  private func resume(_ trainer: Trainer, _ directory: RunDirectory) throws {
    for warning in directory.warnings { observe(.warning(warning)) }
    guard let checkpoint = directory.checkpoint else { return }
    try trainer.restore(checkpoint)
    guard let losses = checkpoint.metadata["losses"]?.arrayValue else {
      throw FormatError(.corrupt, file: checkpoint.path, field: "losses", "missing")
    }
    recentLosses = losses.compactMap(\.doubleValue)
    observe(.resumed(step: checkpoint.step))
  }

  private func train(_ trainer: Trainer, _ directory: RunDirectory) throws {
    guard let settings = plan.model.settings.train else { return }
    let validation = try ValidationStream(
      data, limit: min(settings.validateTokens, options.validationTokens ?? .max))
    let scorer = try Scorer(
      plan.functions, window: settings.seq, rows: scoringRows(window: settings.seq), scored: nil,
      parameters: trainer.parameters, threads: options.threads)
    if validation.targets < settings.seq {
      observe(
        .warning(
          "\(validation.targets) validation targets do not fill a sequence of \(settings.seq): held-out "
            + "text is not scored while training"))
    }
    observe(.phase("train"))
    var savedStep = trainer.moment.step
    let profiledStep = options.profiles ? savedStep + RunOptions.profiledStep : nil
    while !trainer.schedule.isOver(trainer.moment) {
      let report: StepReport
      do {
        report =
          trainer.moment.step + 1 == profiledStep
          ? try profiledStepReport(trainer, scorer) : try trainer.step()
      } catch let failure as NumericFailure {
        try directory.log(["event": "diverged", "message": .string(failure.description)])
        throw failure
      }
      recentLosses.append(report.loss)
      if recentLosses.count > 100 { recentLosses.removeFirst() }
      stepTimes.append(report.seconds)
      if stepTimes.count > 50 { stepTimes.removeFirst() }
      let speed =
        Double(trainer.tokensPerStep * stepTimes.count) / max(stepTimes.reduce(0, +), 1e-9)
      try directory.log(report.logLine)
      observe(.step(report, tokensPerSecond: speed))
      let isOver = trainer.schedule.isOver(trainer.moment)
      if report.step % settings.validateEvery == 0 || isOver, validation.targets >= settings.seq {
        scorer.parametersChanged()
        let score = try scorer.evaluate(validation, stride: nil)
        guard score.nats.isFinite else {
          throw NumericFailure(
            "the validation score of step \(report.step) is not finite; lower the learning rates")
        }
        try directory.log([
          "event": "validation", "step": .int(report.step), "nll": .double(score.nllPerToken),
          "bpb": .double(score.bitsPerByte), "tokens": .int(score.tokens),
        ])
        observe(
          .validation(step: report.step, bitsPerByte: score.bitsPerByte, nll: score.nllPerToken))
      }
      if report.step % settings.checkpointEvery == 0 || isOver {
        try save(trainer, directory)
        savedStep = report.step
      }
      if isInterrupted(), !isOver {
        if savedStep != report.step { try save(trainer, directory) }
        throw Interrupted(step: report.step)
      }
    }
    if let profiledStep, trainer.moment.step < profiledStep {
      observe(.warning("nothing was profiled: training ended before step \(profiledStep)"))
    }
  }

  /// Does a step and records it; of several micro-batches the last counts. A scoring batch follows.
  private func profiledStepReport(_ trainer: Trainer, _ scorer: Scorer) throws -> StepReport {
    var profiles: [Profile] = []
    let report = try trainer.step { profile in
      profiles.removeAll { $0.name == profile.name }
      profiles.append(profile)
    }
    scorer.parametersChanged()
    observe(.profiles(profiles + [scorer.profile()]))
    return report
  }

  private func save(_ trainer: Trainer, _ directory: RunDirectory) throws {
    try directory.sync()
    let checkpoints = RunDirectory.checkpoints(in: directory.path)
    do {
      try Checkpoint.save(
        in: checkpoints, step: trainer.moment.step, states: trainer.savedTensors(),
        metadata: [
          "trainer": trainer.savedCounters(), "log": .int(directory.logOffset),
          "audit": .int(directory.audit.offset),
          "losses": .array(recentLosses.map(JSONValue.double)),
        ])
      try Checkpoint.prune(in: checkpoints)
    } catch {
      // A directory that is gone explains it better than the file that is missing in it.
      try directory.sync()
      throw error
    }
    observe(.checkpoint(step: trainer.moment.step))
  }
}

extension StepReport {
  fileprivate var logLine: [String: JSONValue] {
    [
      "event": "step", "step": .int(step), "loss": .double(loss),
      "gradient_norm": .double(gradientNorm), "rate": .double(settings.rate),
      "fraction": .double(settings.fraction), "qat_alpha": .double(settings.qatAlpha),
      "variant": .int(settings.variant), "seconds": .double(seconds),
    ]
  }
}

extension Model {
  /// The declaration that an artifact carries: no training, no places in files, one variant.
  public var forArtifact: Model {
    var model = self
    model.variants = [Variant(name: "", start: nil, graph: scored.graph)]
    model.settings.train = nil
    model.settings.qat = .off
    model.constants = []
    model.warnings = []
    model.sources = []
    return model.withoutLocations
  }

  /// What training reads of the declaration. Equal ones train to equal weights, whatever is done to
  /// these afterwards, however long it takes and however often one looks.
  var forTraining: Model {
    var model = withoutLocations
    model.settings.evaluate = []
    model.settings.ttt = nil
    model.settings.expect = ExpectSettings()
    model.settings.quantize?.budget = nil
    model.settings.quantize?.codeBytes = 0
    // The fake quantiser of QAT is the quantiser.
    if model.settings.qat == .off { model.settings.quantize = nil }
    model.settings.train?.stopSteps = nil
    model.settings.train?.stopSeconds = nil
    if let train = model.settings.train {
      let usual = TrainSettings(rows: train.rows, seq: train.seq)
      model.settings.train?.validateEvery = usual.validateEvery
      model.settings.train?.validateTokens = usual.validateTokens
      model.settings.train?.checkpointEvery = usual.checkpointEvery
    }
    return model
  }

  /// The same declaration, wherever its files lie.
  public var withoutLocations: Model {
    var model = self
    for index in model.variants.indices {
      model.variants[index].graph = model.variants[index].graph.withoutLocations()
    }
    return model
  }
}
