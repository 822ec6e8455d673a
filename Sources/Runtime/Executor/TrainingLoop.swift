// SPDX-License-Identifier: Apache-2.0
// Training in a run directory: the log of steps, scores on the way, checkpoints, interruption.

import Formats
import IR

/// Drives a trainer to the end of its schedule, from the beginning or from a checkpoint.
final class TrainingLoop {
  /// Of the last steps, in nats per token.
  private(set) var losses: [Double] = []
  private var seconds: [Double] = []
  /// Of the last steps with all that belongs to them, on the clock of the limit.
  private var paces: [Double] = []
  private var paced = 0.0
  private var savedStep: Int?
  private var validatedStep: Int?
  private let trainer: Trainer
  private let directory: RunDirectory
  private let settings: TrainSettings
  /// Tokens of a sequence of validation text: the longest that training reads.
  private let window: Int
  private let scorer: Scorer
  private var predictor: SizePredictor
  private let plan: Plan
  private let data: DataFolder
  private let options: RunOptions
  private let replan: (Model) throws -> Plan
  /// Forms that were chosen at QAT's first step.
  private(set) var chosen: ChosenPrecision?
  private let validation: ValidationStream
  private let phases: PhaseClock
  private var governor: TrainingGovernor
  private let isInterrupted: () -> Bool
  private let observe: (RunEvent) throws -> Void

  init(
    _ trainer: Trainer, _ plan: Plan, _ data: DataFolder, in directory: RunDirectory,
    options: RunOptions, phases: PhaseClock, replan: @escaping (Model) throws -> Plan,
    isInterrupted: @escaping () -> Bool, observe: @escaping (RunEvent) throws -> Void
  ) throws {
    guard let settings = plan.model.settings.train else {
      preconditionFailure("the plan was compiled without a train section")
    }
    (self.trainer, self.directory, self.settings) = (trainer, directory, settings)
    (self.plan, self.data, self.options, self.phases) = (plan, data, options, phases)
    (self.replan, self.isInterrupted, self.observe) = (replan, isInterrupted, observe)
    validation = try ValidationStream(
      data, limit: min(settings.validateTokens, options.validationTokens ?? .max))
    window = plan.model.longestSizes(settings).seq
    scorer = try Scorer(
      plan.functions, window: window, rows: scoringRows(window: window), scored: nil,
      parameters: trainer.parameters, threads: options.threads)
    predictor = try SizePredictor(plan.model)
    let tokens = validation.targets >= window ? validation.targets : 0
    governor = TrainingGovernor(
      checkpointBytes: plan.layout.bytes + trainer.holder.function.stateBytes,
      validationPart: Double(tokens) / Double(trainer.tokensPerStep))
  }

  /// Trains to the end. Throws `Interrupted` after saving.
  func run() throws {
    try resume()
    if validation.targets < window {
      try observe(
        .warning(
          "\(validation.targets) validation targets do not fill a sequence of \(window): held-out "
            + "text is not scored while training"))
    }
    try observe(.phase(PhaseClock.Name.train))
    paced = phases.sum([PhaseClock.Name.train])
    noteTime()
    let profiledStep = options.profiles ? trainer.moment.step + RunOptions.profiledStep : nil
    // A limit that is too short for a step is told after it.
    var isOver = trainer.moment.step > 0 && trainer.schedule.isOver(trainer.moment)
    while !isOver {
      if plan.model.choosesWhileTraining, chosen == nil, trainer.roundsNext {
        try choosePrecision()
      }
      let report = try step(isProfiled: trainer.moment.step + 1 == profiledStep)
      noteTime(isStep: true)
      let isLast = trainer.schedule.isOver(trainer.moment)
      if report.step % settings.validateEvery == 0 || isLast { try validate(step: report.step) }
      if report.step % settings.checkpointEvery == 0 || isLast { try save() }
      noteTime()
      isOver = isLast || trainer.schedule.isOver(trainer.moment)
      if isOver {
        // What was due took the rest of the time.
        if validatedStep != report.step, try validate(step: report.step) { savedStep = nil }
        if savedStep != report.step { try save() }
      } else if isInterrupted() {
        if savedStep != report.step { try save() }
        throw Interrupted(step: report.step)
      }
    }
    if let profiledStep, trainer.moment.step < profiledStep {
      try observe(.warning("nothing was profiled: training ended before step \(profiledStep)"))
    }
  }

  // MARK: Precision

  /// Chooses the stored forms from the weights as they are, and goes on with a plan that rounds to them.
  private func choosePrecision() throws {
    let packing = Packing(
      plan, data: data, seed: options.seed, threads: options.threads, observe: observe)
    let packed = try packing.pack(trainer.parameters)
    let chosen = ChosenPrecision(
      step: trainer.moment.step,
      forms: plan.model.freeParameters.map { ($0.path, packed.precision[$0.path]!) })
    try adopt(chosen)
    try directory.log([
      "event": "precision", "step": .int(chosen.step), "forms": chosen.json["forms"] ?? .null,
      "predicted_bytes": packed.predictedBytes.map(JSONValue.int) ?? .null,
    ])
    try observe(.phase(PhaseClock.Name.train))
  }

  private func adopt(_ chosen: ChosenPrecision) throws {
    var model = plan.model
    model.settings.quantize = model.settings.quantize?.fixed(chosen.forms)
    let rounding = try replan(model)
    try trainer.replan(rounding)
    predictor = try SizePredictor(rounding.model)
    self.chosen = chosen
  }

  // MARK: Time

  /// Tells the schedule how much of the limit was spent outside of steps, and what there is to come.
  private func noteTime(isStep: Bool = false) {
    let spent = phases.sum([PhaseClock.Name.train])
    if isStep {
      paces = Array((paces + [spent - paced]).suffix(50))
      paced = spent
    }
    trainer.moment.overhead = phases.sum(TrainingGovernor.phases) - trainer.moment.seconds
    trainer.moment.reserve = governor.reserve(steps: paces)
  }

  /// What is wrong with the seconds that training took; nil where they are within the file's limit.
  var overtime: OverLimit? {
    let spent = phases.sum(TrainingGovernor.phases)
    guard let limit = settings.limitSeconds, spent > limit else { return nil }
    return OverLimit(work: "training", limit: limit, seconds: spent)
  }

  // MARK: Steps

  private func step(isProfiled: Bool) throws -> StepReport {
    let report: StepReport
    do {
      report = try isProfiled ? profiledStep() : trainer.step()
    } catch let failure as NumericFailure {
      try directory.log(["event": "diverged", "message": .string(failure.description)])
      throw failure
    }
    losses.append(report.loss)
    if losses.count > 100 { losses.removeFirst() }
    seconds.append(report.seconds)
    if seconds.count > 50 { seconds.removeFirst() }
    let speed = Double(trainer.tokensPerStep * seconds.count) / max(seconds.reduce(0, +), 1e-9)
    try directory.log(report.logLine)
    try observe(.step(report, tokensPerSecond: speed))
    return report
  }

  /// Does a step and records it; of several micro-batches the last counts. A scoring batch follows.
  private func profiledStep() throws -> StepReport {
    var profiles: [Profile] = []
    let report = try trainer.step { profile in
      profiles.removeAll { $0.name == profile.name }
      profiles.append(profile)
    }
    scorer.parametersChanged()
    try observe(.profiles(profiles + [scorer.profile()]))
    return report
  }

  /// Scores held-out text, if there is a window of it; says whether it did.
  @discardableResult
  private func validate(step: Int) throws -> Bool {
    guard validation.targets >= window else { return false }
    governor.noteValidation(
      try phases.bill(PhaseClock.Name.validate) { try score(step: step) })
    validatedStep = step
    return true
  }

  private func score(step: Int) throws {
    scorer.parametersChanged()
    let score = try scorer.evaluate(validation, stride: nil)
    guard score.nats.isFinite else {
      throw NumericFailure(
        "the validation score of step \(step) is not finite; lower the learning rates")
    }
    let bytes = try predictor.bytes(of: try trainer.exported())
    try directory.log([
      "event": "validation", "step": .int(step), "nll": .double(score.nllPerToken),
      "bpb": .double(score.bitsPerByte), "tokens": .int(score.tokens),
      "predicted_bytes": .int(bytes),
    ])
    try observe(
      .validation(
        step: step, bitsPerByte: score.bitsPerByte, nll: score.nllPerToken, bytes: bytes))
  }

  // MARK: Checkpoints

  private func resume() throws {
    for warning in directory.warnings { try observe(.warning(warning)) }
    guard let checkpoint = directory.checkpoint else { return }
    try trainer.restore(checkpoint)
    guard let losses = checkpoint.metadata["losses"]?.arrayValue else {
      throw FormatError(.corrupt, file: checkpoint.path, field: "losses", "missing")
    }
    self.losses = losses.compactMap(\.doubleValue)
    for (phase, seconds) in checkpoint.metadata["phases"]?.objectValue ?? [:] {
      phases.add(seconds.doubleValue ?? 0, to: phase)
    }
    if let saved = checkpoint.metadata["precision"], saved != .null {
      try adopt(ChosenPrecision(saved, in: checkpoint))
    }
    savedStep = checkpoint.step
    try observe(.resumed(step: checkpoint.step))
  }

  private func save() throws {
    governor.noteCheckpoint(try phases.bill(PhaseClock.Name.checkpoint) { try writeCheckpoint() })
    savedStep = trainer.moment.step
    try observe(.checkpoint(step: trainer.moment.step))
  }

  private func writeCheckpoint() throws {
    try directory.sync()
    let checkpoints = RunDirectory.checkpoints(in: directory.path)
    do {
      try Checkpoint.save(
        in: checkpoints, step: trainer.moment.step, states: trainer.savedTensors(),
        metadata: [
          "trainer": trainer.savedCounters(), "log": .int(directory.logOffset),
          "audit": .int(directory.audit.offset), "losses": .array(losses.map(JSONValue.double)),
          "phases": spent, "precision": chosen?.json ?? .null,
        ])
      try Checkpoint.prune(in: checkpoints)
    } catch {
      // A directory that is gone explains it better than the file that is missing in it.
      try directory.sync()
      throw error
    }
  }

  /// Seconds of training so far, by phase.
  private var spent: JSONValue {
    .object(
      Dictionary(
        uniqueKeysWithValues: phases.seconds.filter { TrainingGovernor.phases.contains($0.phase) }
          .map { ($0.phase, .double($0.seconds)) }))
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
