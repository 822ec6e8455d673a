// SPDX-License-Identifier: Apache-2.0
// What changes from step to step: learning rate, momentum, QAT, the variant that trains.

/// How long training lasts. Of several limits the nearest one counts.
public struct TrainingLength: Sendable, Equatable {
  public var steps: Int?
  /// Of steps alone.
  public var seconds: Double?
  /// Of steps, validations and checkpoints, the last ones included.
  public var limit: Double?

  public init(steps: Int?, seconds: Double?, limit: Double? = nil) {
    (self.steps, self.seconds, self.limit) = (steps, seconds, limit)
  }
}

/// Where training stands before a step.
public struct TrainingMoment: Sendable, Equatable {
  /// Steps done.
  public var step: Int
  /// Seconds spent in steps; evaluation, checkpoints and pauses do not count.
  public var seconds: Double
  /// Seconds of training that were spent outside of steps.
  public var overhead = 0.0
  /// Seconds that a further step and the end of training are expected to take.
  public var reserve = 0.0
  /// The variant of the step before, and the step in which it began. A clock alone does not tell.
  public var variant = 0
  public var variantStep = 0

  public init(step: Int, seconds: Double) {
    (self.step, self.seconds) = (step, seconds)
  }
}

/// What a step needs to know, all derived from the moment.
public struct StepSettings: Sendable, Equatable {
  /// Steps done before this one.
  public var step: Int
  /// Part of training that is over, 0 ..< 1.
  public var fraction: Double
  /// Multiplier of all learning rates.
  public var rate: Double
  /// The multiplier without the warmup: what `lr_below` compares.
  public var decay: Double
  /// Part of the warmdown that is over.
  public var warmdown: Double
  /// Steepness of the QAT node, 0 for off.
  public var qatAlpha: Double
  /// Index of the variant that is live.
  public var variant: Int
  /// Whether the weights after this step enter an average of snapshots.
  public var isSnapshot: Bool
}

/// When a variant begins, and for how many steps its learning rate rises then.
public struct VariantStart: Sendable {
  public var start: ScheduleStart?
  public var warmup = 0

  public init(_ start: ScheduleStart?, warmup: Int = 0) {
    (self.start, self.warmup) = (start, warmup)
  }

  public init(_ variant: Variant) { self.init(variant.start, warmup: variant.warmup) }
}

/// The schedule of one run.
public struct Schedule: Sendable {
  public let train: TrainSettings
  public let qat: QATSettings
  /// When each variant begins, and how long its rate rises.
  public let variants: [VariantStart]
  public let length: TrainingLength

  public init(
    train: TrainSettings, qat: QATSettings, variants: [VariantStart], length: TrainingLength
  ) {
    (self.train, self.qat, self.variants, self.length) = (train, qat, variants, length)
  }

  public init(model: Model, train: TrainSettings, length: TrainingLength) {
    self.init(
      train: train, qat: model.settings.qat, variants: model.variants.map(VariantStart.init),
      length: length)
  }

  /// Whether training is over.
  public func isOver(_ moment: TrainingMoment) -> Bool {
    if let steps = length.steps, moment.step >= steps { return true }
    return clocks(moment).contains { $0.spent >= $0.total }
  }

  /// The clocks that limit training: seconds that are over, and those that there are.
  private func clocks(_ moment: TrainingMoment) -> [(spent: Double, total: Double)] {
    var clocks: [(spent: Double, total: Double)] = []
    if let seconds = length.seconds { clocks.append((moment.seconds, seconds)) }
    if let limit = length.limit {
      clocks.append((moment.seconds + moment.overhead, max(limit - moment.reserve, 1e-9)))
    }
    return clocks
  }

  public func settings(_ moment: TrainingMoment) -> StepSettings {
    var fraction = 0.0
    if let steps = length.steps { fraction = Double(moment.step) / Double(steps) }
    for clock in clocks(moment) { fraction = max(fraction, clock.spent / clock.total) }
    fraction = min(fraction, 1)
    let (decay, warmdown) = decay(moment, fraction)
    var settings = StepSettings(
      step: moment.step, fraction: fraction,
      rate: decay * Self.warmup(train.warmup, step: moment.step),
      decay: decay,
      warmdown: warmdown, qatAlpha: 0, variant: 0, isSnapshot: false)
    if case .swa(let every, let below) = train.average {
      settings.isSnapshot = decay < below && (moment.step + 1) % every == 0
    }
    if case .on(let mode, let start) = qat, let progress = progress(since: start, settings) {
      switch mode {
      case .straightThrough: settings.qatAlpha = 1
      case .softRound(_, let from, let to): settings.qatAlpha = from + (to - from) * progress
      }
    }
    for (index, variant) in variants.enumerated() {
      if let start = variant.start, hasBegun(start, settings) { settings.variant = index }
    }
    if variants.indices.contains(settings.variant) {
      let since = settings.variant == moment.variant ? moment.variantStep : moment.step
      settings.rate *= Self.warmup(variants[settings.variant].warmup, step: moment.step - since)
    }
    return settings
  }

  /// Multiplier of the learning rate in the n-th step of a warmup, 1 behind it.
  private static func warmup(_ steps: Int, step: Int) -> Double {
    steps > 0 ? min(1, Double(step + 1) / Double(steps)) : 1
  }

  /// The moment after a step with these settings that took so long.
  public func moment(
    after moment: TrainingMoment, _ settings: StepSettings, seconds: Double
  ) -> TrainingMoment {
    var next = moment
    next.step += 1
    next.seconds += seconds
    if settings.variant != moment.variant {
      (next.variant, next.variantStep) = (settings.variant, moment.step)
    }
    return next
  }

  /// Multiplier of the learning rate but for the warmup, and the part of the warmdown that is over.
  ///
  /// Warmdown in steps on a clock counts in the mean time of the steps so far, as the baseline does.
  private func decay(_ moment: TrainingMoment, _ fraction: Double) -> (Double, Double) {
    var rate = 1.0
    switch train.warmdown {
    case nil: break
    case .fraction(let part)?:
      rate = part > 0 ? min(1, (1 - fraction) / part) : 1
    case .steps(let steps)? where steps > 0:
      var remaining = Double.infinity
      if let total = length.steps { remaining = Double(total - moment.step) }
      for clock in clocks(moment) where moment.step > 0 {
        let perStep = clock.spent / Double(moment.step)
        remaining = min(remaining, (clock.total - clock.spent) / max(perStep, 1e-9))
      }
      rate = min(1, remaining / Double(steps))
    case .steps?: break
    }
    return (max(rate, train.floor), 1 - rate)
  }

  /// Whether a window that begins at `start` has begun.
  public func hasBegun(_ start: ScheduleStart, _ settings: StepSettings) -> Bool {
    progress(since: start, settings) != nil
  }

  /// How far a window that begins at `start` and ends with training has gone; nil before it.
  private func progress(since start: ScheduleStart, _ settings: StepSettings) -> Double? {
    switch start {
    case .start: return settings.fraction
    case .training(let from): return Self.part(settings.fraction, from: from)
    case .warmdown(let from):
      return settings.warmdown > 0 ? Self.part(settings.warmdown, from: from) : nil
    case .rateBelow(let limit):
      return settings.decay < limit ? 1 - settings.decay / limit : nil
    case .step(let first):
      guard settings.step >= first else { return nil }
      // On a clock the steps to come are those that would follow at the pace so far.
      let all = Double(settings.step) / max(settings.fraction, 1e-9)
      return min(1, Double(settings.step - first) / max(all - Double(first), 1))
    }
  }

  private static func part(_ value: Double, from: Double) -> Double? {
    value >= from ? (from < 1 ? (value - from) / (1 - from) : 1) : nil
  }
}

/// A value that changes linearly: over the first steps, or from a part of training on to its end.
public struct Ramp: Hashable, Sendable {
  public enum Window: Hashable, Sendable {
    /// None: the value never changes.
    case none
    /// The first steps of training.
    case steps(Int)
    /// What follows when this part of training is over.
    case after(Double)
  }
  public var from: Double
  public var to: Double
  public var window: Window

  public init(_ value: Double) { self.init(from: value, to: value, over: .none) }

  public init(from: Double, to: Double, over window: Window) {
    (self.from, self.to, self.window) = (from, to, window)
  }

  /// The value after so many steps, when this part of training is over.
  public func value(after step: Int, fraction: Double) -> Double {
    switch window {
    case .none: to
    case .steps(let steps): from + min(1, Double(step) / Double(steps)) * (to - from)
    case .after(let part): from + max(0, fraction - part) / (1 - part) * (to - from)
    }
  }
}
