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
    (self.directory, self.length, self.seed, self.threads) = (directory, length, seed, threads)
    (self.adapts, self.resumes, self.validationTokens) = (adapts, resumes, validationTokens)
    self.profiles = profiles
  }

  /// The step of this process that is recorded: those before it warm up.
  static let profiledStep = 3
}

/// What happens during a run, in order. Who hears of it may end the run by throwing.
public enum RunEvent: Sendable {
  case resumed(step: Int)
  case step(StepReport, tokensPerSecond: Double)
  /// `bytes`: what an artifact of the weights that would be exported now is expected to have.
  case validation(step: Int, bitsPerByte: Double, nll: Double, bytes: Int)
  case checkpoint(step: Int)
  /// What ran in the recorded step, then in a scoring batch.
  case profiles([Profile])
  case phase(String)
  case progress(Double)
  case warning(String)
}

/// Training was stopped from outside, after saving.
public struct Interrupted: Error {
  public let step: Int
}

/// Runs a plan from training to scores in a run directory.
public final class Run {
  private let plan: Plan
  private let data: DataFolder
  private let options: RunOptions
  private let clock: () -> Double
  private let phases: PhaseClock
  private let replan: (Model) throws -> Plan
  private let isInterrupted: () -> Bool
  private let observe: (RunEvent) throws -> Void

  /// `phases` has begun when the run's files and data began to be read; nil: they are read now. `replan` compiles
  /// the model for the same machine once more, where forms are chosen while training.
  public init(
    plan: Plan, data: DataFolder, options: RunOptions, clock: @escaping () -> Double,
    phases: PhaseClock? = nil, replan: @escaping (Model) throws -> Plan,
    isInterrupted: @escaping () -> Bool, observe: @escaping (RunEvent) throws -> Void
  ) {
    (self.plan, self.data, self.options, self.clock) = (plan, data, options, clock)
    self.phases = phases ?? PhaseClock(clock: clock)
    self.replan = replan
    self.isInterrupted = isInterrupted
    self.observe = self.phases.billing(observe)
  }

  /// Refuses a directory that the run cannot begin or go on in, before anything is done.
  public static func checkDirectory(_ path: String, resumes: Bool) throws {
    try RunDirectory.check(path, resumes: resumes)
  }

  /// Does everything. `manifest` is written first, so that a directory says what it is.
  public func run(manifest: RunManifest) throws -> Report {
    let settings = plan.model.settings
    try settings.checkScorable(data, limit: options.validationTokens, adapts: options.adapts)
    let trained = try trained(manifest)
    let (packing, packed) = try pack(trained)
    let container = packed.container
    if let moments = packed.moments {
      try trained.directory.log(
        [
          "event": "calibration", "tokens": .int(moments.tokens), "text": "training",
          "data": .string(try data.evidence().content),
        ])
    }
    let path = options.directory + "/" + RunManifest.artifactName
    let file = Report.ArtifactFile(
      path: path, bytes: try container.write(path), codeBytes: settings.quantize?.codeBytes ?? 0)
    // From here on it cannot change: nothing that is scored can find its way into it.
    try trained.directory.audit.append(
      .artifact(
        ArtifactEvent(
          bytes: file.bytes, codeBytes: file.codeBytes, sha256: try SHA256.hex(file: path))))
    phases.enter(PhaseClock.Name.load)
    let evaluator = Evaluator(
      functions: plan.functions, settings: settings,
      stream: try ValidationStream(data, limit: options.validationTokens),
      threads: options.threads, clock: clock, observe: observe)
    let scores = try evaluator.evaluate(
      float: trained.weights, quantized: try Artifact.read(path).parameters(),
      adapts: options.adapts, audit: trained.directory.audit)
    try packing.account(of: packed, madeFrom: trained.weights).write(scores, in: options.directory)
    var report = Report(
      precision: plan.target.compute, training: trained.training, artifact: file, scores: scores)
    report.manifest = manifest.repeated
    (report.live, report.warnings) = (trained.live, trained.remarks + packed.remarks)
    if scores.adaptation != nil, let ttt = settings.ttt {
      report.live += plan.model.live(ttt, scores.updates)
      report.warnings += plan.model.remarks(ttt, scores.updates)
    }
    report.overtime = trained.overtime
    report.seconds = phases.seconds
    try trained.directory.finish(report)
    report.overBudget = OverBudget.exceeding(
      settings.quantize, bytes: file.bytes, groups: container.groups)
    for warning in report.warnings { try observe(.warning(warning)) }
    return report
  }

  /// Stores the weights. Of forms that were chosen while training only the clips are chosen again, unless that
  /// meets no budget.
  private func pack(_ trained: Trained) throws -> (packing: Packing, packed: Packing.Packed) {
    func pack(by plan: Plan) throws -> (packing: Packing, packed: Packing.Packed) {
      let packing = Packing(
        plan, data: data, seed: options.seed, threads: options.threads, observe: observe)
      return (packing, try packing.pack(trained.weights))
    }
    guard let chosen = trained.chosen else { return try pack(by: plan) }
    var bounded = plan
    bounded.model.settings.quantize = plan.model.settings.quantize?.bounding(chosen.forms)
    do {
      return try pack(by: bounded)
    } catch is OverBudget {
      var free = try pack(by: plan)
      free.packed.remarks.append(
        "the bits that were chosen at step \(chosen.step), and trained with, do not fit the budget in the end; "
          + "all were chosen again")
      return free
    }
  }

  // MARK: Training

  /// What training leaves: the weights to export, and what is reported of it.
  private struct Trained {
    let weights: ParameterBlock
    let directory: RunDirectory
    let training: Report.Training
    let live: [LiveFeature]
    let remarks: [String]
    let overtime: OverLimit?
    /// Forms that were chosen on the way.
    let chosen: ChosenPrecision?
  }

  /// The trainer's memory is free again before anything is scored.
  private func trained(_ manifest: RunManifest) throws -> Trained {
    // Whatever is refused here leaves no directory behind.
    let trainer = try Trainer(
      plan, data: try data.train(), length: options.length, seed: options.seed,
      threads: options.threads, clock: clock)
    let directory = try RunDirectory(
      options.directory, resumes: options.resumes, manifest: manifest)
    let loop = try TrainingLoop(
      trainer, plan, data, in: directory, options: options, phases: phases, replan: replan,
      isInterrupted: isInterrupted, observe: observe)
    try loop.run()
    let moment = trainer.moment
    let training = Report.Training(
      losses: loop.losses, steps: moment.step,
      tokens: Double(trainer.tokensPerStep * moment.step), seconds: moment.seconds)
    return Trained(
      weights: try trainer.exported(), directory: directory, training: training,
      live: trainer.live, remarks: trainer.remarks, overtime: loop.overtime,
      chosen: loop.chosen)
  }
}
