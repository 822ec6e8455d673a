// SPDX-License-Identifier: Apache-2.0
// Seconds of every phase of a run, from those of its functions.

import Formats
import IR

/// What a phase of a run is expected to take.
public struct PhaseEstimate: Sendable, Equatable {
  /// As a run bills it.
  public var phase: String
  /// nil: nobody knows how many tokens there are.
  public var seconds: Double?
  /// Of phases that go over the validation text.
  public var secondsPerMillionTokens: Double?
  public var origin: PlanTimes.Origin

  init(
    _ phase: String, _ seconds: Double?, perMillion: Double? = nil,
    _ origin: PlanTimes.Origin = .measured
  ) {
    (self.phase, self.seconds, self.secondsPerMillionTokens) = (phase, seconds, perMillion)
    self.origin = origin
  }
}

/// The phases of a run of a plan.
public struct PhaseEstimates {
  /// In the order of a run.
  public private(set) var phases: [PhaseEstimate] = []
  /// Steps of training; nil: neither the file nor a speed says.
  public private(set) var steps: Int?
  /// Of a step, the mean over all variants.
  public private(set) var stepSeconds = 0.0

  /// Bytes a second of a disk, and seconds that a file takes anyhow. Nothing is written to find out.
  private static let disk = (rate: 200e6, file: 0.02)

  private let plan: Plan
  private let times: PlanTimes
  private let rates: PackingRates

  /// `validation`: targets of the validation text; nil: unknown.
  public init(
    _ plan: Plan, _ times: PlanTimes, rates: PackingRates, length: TrainingLength,
    validation: Int?, adapts: Bool
  ) {
    (self.plan, self.times, self.rates) = (plan, times, rates)
    train(length, validation)
    pack()
    for entry in plan.model.settings.evaluate { evaluate(entry, validation) }
    if adapts, let ttt = plan.model.settings.ttt { adapt(ttt, validation) }
  }

  /// Seconds of some phases together; nil where one of them is unknown.
  public func sum(_ isIncluded: (PhaseEstimate) -> Bool = { _ in true }) -> Double? {
    phases.filter(isIncluded).reduce(0.0) { sum, phase in
      sum.flatMap { sum in phase.seconds.map { sum + $0 } }
    }
  }

  // MARK: Training

  private mutating func train(_ length: TrainingLength, _ validation: Int?) {
    guard let train = plan.model.settings.train, !times.steps.isEmpty else { return }
    let schedule = Schedule(model: plan.model, train: train, length: length)
    stepSeconds = meanStep(schedule)
    let window = plan.model.longestSizes(train).seq
    let targets = min(train.validateTokens, validation ?? train.validateTokens)
    let score = scoring(window: window, rows: scoringRows(window: window), stride: nil, targets)
    let checkpoint = Self.disk.file * 3 + Double(checkpointBytes) / Self.disk.rate
    func events(_ steps: Int, every: Int) -> Int { (steps + every - 1) / every }
    func overhead(_ steps: Int) -> (validate: Double, checkpoint: Double) {
      (
        Double(events(steps, every: train.validateEvery)) * score.seconds,
        Double(events(steps, every: train.checkpointEvery)) * checkpoint
      )
    }
    var steps = length.steps ?? .max
    if let seconds = length.seconds { steps = min(steps, Int(seconds / stepSeconds) + 1) }
    if let limit = length.limit {
      let part =
        stepSeconds + score.seconds / Double(train.validateEvery)
        + checkpoint / Double(train.checkpointEvery)
      steps = min(steps, max(1, Int((limit - score.seconds - checkpoint) / part)))
    }
    self.steps = steps
    let (validate, saved) = overhead(steps)
    phases.append(
      PhaseEstimate(PhaseClock.Name.train, Double(steps) * stepSeconds, times.steps[0].origin))
    phases.append(PhaseEstimate(PhaseClock.Name.validate, validate, score.origin))
    phases.append(PhaseEstimate(PhaseClock.Name.checkpoint, saved))
  }

  /// The mean over training, in which variants follow each other.
  private func meanStep(_ schedule: Schedule) -> Double {
    let parts = 200
    return (0..<parts).reduce(0.0) { sum, part in
      let fraction = Double(part) / Double(parts)
      var moment = TrainingMoment(
        step: Int(fraction * Double(schedule.length.steps ?? parts)), seconds: 0)
      moment.seconds = fraction * (schedule.length.seconds ?? schedule.length.limit ?? 0)
      return sum + times.steps[schedule.settings(moment).variant].seconds / Double(parts)
    }
  }

  private var checkpointBytes: Int {
    let step = plan.model.step
    let holder = step.flatMap { $0.update ?? $0.forwardBackward.first }.flatMap { plan[$0] }
    return plan.layout.bytes + (holder?.stateBytes ?? 0)
  }

  // MARK: Packing

  private mutating func pack() {
    let model = plan.model
    // What is chosen at QAT's first step is measured and packed there too.
    let rounds = model.choosesWhileTraining ? 2.0 : 1
    if let tokens = model.settings.quantize?.calibration,
      let moments = times.functions[FunctionName.moments]
    {
      let passes = (tokens + model.calibrationSizes.count - 1) / model.calibrationSizes.count
      phases.append(
        PhaseEstimate(
          "calibrate", rounds * Double(passes) * moments.seconds, moments.origin))
    }
    let matrices = model.graph.parameters.count { $0.type.rank == 2 }
    let sizes = model.calibrationSizes
    let loss = times.functions[FunctionName.score(window: sizes.seq, rows: sizes.rows, last: nil)]
    func losses(_ tokens: Int) -> Double {
      let calls = max(1, tokens / sizes.seq + sizes.rows - 1) / sizes.rows
      return Double((1 + 2 * matrices) * max(1, calls)) * (loss?.seconds ?? 0)
    }
    if model.settings.quantize?.isAutomatic ?? false {
      phases.append(
        PhaseEstimate(
          "choose-precision", rounds * losses(Packing.lossTokens.choice), loss?.origin ?? .scaled))
    }
    phases.append(PhaseEstimate("pack", rounds * rates.seconds(model)))
    phases.append(
      PhaseEstimate("weigh-precision", losses(Packing.lossTokens.account), loss?.origin ?? .scaled))
  }

  // MARK: Evaluation

  private mutating func evaluate(_ entry: Evaluation, _ validation: Int?) {
    let rows = entry.batch ?? scoringRows(window: entry.window)
    func of(_ targets: Int) -> PlanTimes.Time {
      scoring(window: entry.window, rows: rows, stride: entry.stride, targets)
    }
    phases.append(overText(PhaseClock.Name.evaluation(entry.name), validation, of))
  }

  /// A phase that takes so long for so many targets.
  private func overText(
    _ phase: String, _ validation: Int?, _ time: (Int) -> PlanTimes.Time
  ) -> PhaseEstimate {
    let perMillion = time(1_000_000)
    return PhaseEstimate(
      phase, validation.map { time($0).seconds }, perMillion: perMillion.seconds,
      perMillion.origin)
  }

  /// Scoring targets in windows: the first window of a stream is a call of its own where they overlap.
  private func scoring(window: Int, rows: Int, stride: Int?, _ targets: Int) -> PlanTimes.Time {
    let scored = stride == window ? nil : stride
    let all = time(window, rows, nil)
    let windows = evaluationWindows(targets: targets, length: window, stride: stride).count
    guard let scored, windows > 0 else {
      return PlanTimes.Time(
        seconds: Double((windows + rows - 1) / rows) * all.seconds, origin: all.origin)
    }
    let tail = time(window, rows, scored)
    return PlanTimes.Time(
      seconds: all.seconds + Double((windows - 1 + rows - 1) / rows) * tail.seconds,
      origin: tail.origin)
  }

  private func time(_ window: Int, _ rows: Int, _ last: Int?) -> PlanTimes.Time {
    times.functions[FunctionName.score(window: window, rows: rows, last: last)]
      ?? PlanTimes.Time(seconds: 0, origin: .scaled)
  }

  private mutating func adapt(_ ttt: TTTSettings, _ validation: Int?) {
    let rows = scoringRows(window: ttt.window)
    let last = ttt.stride == ttt.window ? nil : ttt.stride
    let (first, rest) = (time(ttt.window, rows, nil), time(ttt.window, rows, last))
    let update = times.functions[FunctionName.adapt] ?? rest
    // Evidence: the weights are hashed with every score, before and after every update.
    let hash = rates.hashing * Double(plan.layout.bytes)
    func of(_ targets: Int) -> PlanTimes.Time {
      var seconds = 0.0
      for step in ttt.steps(targets: targets) {
        switch step {
        case .score(let chunk, let windows, _):
          let calls = (windows.count + rows - 1) / rows
          seconds += Double(calls) * rest.seconds + (chunk == 0 ? first.seconds : 0) + hash
        case .learn(_, let targets, _, let epochs):
          let sequences = targets.count / ttt.window
          let updates = epochs * ((sequences + ttt.batch - 1) / ttt.batch)
          seconds += Double(updates) * update.seconds + 2 * hash
        case .adaptedFirst: break
        }
      }
      return PlanTimes.Time(seconds: seconds, origin: update.origin)
    }
    phases.append(overText(PhaseClock.Name.adapt, validation, of))
  }
}
