// SPDX-License-Identifier: Apache-2.0
// What changes from step to step, and which windows score which targets.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct ScheduleTests {
  private func schedule(
    steps: Int? = 10, seconds: Double? = nil, qat: QATSettings = .off,
    _ change: (inout TrainSettings) -> Void = { _ in }
  ) throws -> Schedule {
    var model = try CompiledModel.small(layers: 2)
    model.settings.qat = qat
    var train = TrainSettings(rows: 1, seq: 4)
    change(&train)
    return Schedule(
      model: model, train: train, length: TrainingLength(steps: steps, seconds: seconds))
  }

  private func rates(_ schedule: Schedule, _ steps: [Int]) -> [Double] {
    steps.map { schedule.settings(TrainingMoment(step: $0, seconds: 0)).rate }
  }

  @Test func ratesAreConstantWithoutAWarmdown() throws {
    #expect(rates(try schedule(), [0, 5, 9]) == [1, 1, 1])
  }

  @Test func warmupRisesFromItsFirstStep() throws {
    let schedule = try schedule { $0.warmup = 4 }
    #expect(rates(schedule, [0, 1, 2, 3, 4, 9]) == [0.25, 0.5, 0.75, 1, 1, 1])
  }

  @Test func warmdownInStepsEndsAtZero() throws {
    let schedule = try schedule { $0.warmdown = .steps(4) }
    #expect(rates(schedule, [5, 6, 7, 9]) == [1, 1, 0.75, 0.25])
  }

  @Test func warmdownOfAFractionEndsAtZero() throws {
    let schedule = try schedule { $0.warmdown = .fraction(0.5) }
    let found = rates(schedule, [0, 5, 6, 9])
    #expect(absoluteDifference(found, [1, 1, 0.8, 0.2]) < 1e-12)
  }

  @Test func floorsHoldTheRateUp() throws {
    let schedule = try schedule {
      $0.warmdown = .steps(4)
      $0.floor = 0.5
    }
    #expect(rates(schedule, [7, 8, 9]) == [0.75, 0.5, 0.5])
  }

  @Test func theNearerLimitCounts() throws {
    let schedule = try schedule(steps: 100, seconds: 20) { $0.warmdown = .steps(5) }
    // Two seconds a step leave ten steps.
    #expect(schedule.settings(TrainingMoment(step: 5, seconds: 10)).rate == 1)
    #expect(schedule.settings(TrainingMoment(step: 8, seconds: 16)).rate == 0.4)
    #expect(schedule.settings(TrainingMoment(step: 5, seconds: 10)).fraction == 0.5)
    #expect(!schedule.isOver(TrainingMoment(step: 9, seconds: 19.9)))
    #expect(schedule.isOver(TrainingMoment(step: 9, seconds: 20)))
    #expect(schedule.isOver(TrainingMoment(step: 100, seconds: 0)))
  }

  @Test func aLimitCountsWhatIsSpentOutsideOfSteps() throws {
    var schedule = try schedule(steps: 100) { $0.warmdown = .steps(5) }
    schedule = Schedule(
      model: try CompiledModel.small(layers: 2), train: schedule.train,
      length: TrainingLength(steps: 100, seconds: nil, limit: 20))
    func moment(_ step: Int, _ seconds: Double, overhead: Double, reserve: Double) -> TrainingMoment
    {
      var moment = TrainingMoment(step: step, seconds: seconds)
      (moment.overhead, moment.reserve) = (overhead, reserve)
      return moment
    }
    // Two seconds a step with what stands between, and four at the end: eight steps.
    let middle = moment(4, 6, overhead: 2, reserve: 4)
    #expect(schedule.settings(middle).fraction == 0.5)
    #expect(schedule.settings(middle).rate == 0.8)
    #expect(!schedule.isOver(moment(7, 11, overhead: 4, reserve: 4)))
    #expect(schedule.isOver(moment(8, 12, overhead: 4, reserve: 4)))
    // It stays with a moment from step to step.
    let next = schedule.moment(after: middle, schedule.settings(middle), seconds: 1)
    #expect(next.overhead == 2 && next.reserve == 4 && next.seconds == 7)
  }

  @Test func softRoundsSteepenOverTheirWindow() throws {
    let schedule = try schedule(
      qat: .on(.softRound(form: .a, from: 1, to: 9), from: .training(0.5)))
    let alphas = [0, 4, 5, 7, 10].map {
      schedule.settings(TrainingMoment(step: $0, seconds: 0)).qatAlpha
    }
    #expect(absoluteDifference(alphas, [0, 0, 1, 4.2, 9]) < 1e-12)
  }

  @Test func quantisationBeginsWithTheWarmdown() throws {
    let schedule = try schedule(qat: .on(.straightThrough, from: .warmdown(0))) {
      $0.warmdown = .steps(4)
    }
    let alphas = [0, 6, 7, 9].map {
      schedule.settings(TrainingMoment(step: $0, seconds: 0)).qatAlpha
    }
    #expect(alphas == [0, 0, 1, 1])
  }

  @Test func quantisationBeginsBelowARate() throws {
    let schedule = try schedule(qat: .on(.straightThrough, from: .rateBelow(0.5))) {
      $0.warmdown = .steps(4)
    }
    let alphas = [0, 7, 8, 9].map {
      schedule.settings(TrainingMoment(step: $0, seconds: 0)).qatAlpha
    }
    #expect(alphas == [0, 0, 0, 1])
  }

  @Test func theWarmupIsNoFallOfTheRate() throws {
    let schedule = try schedule(qat: .on(.straightThrough, from: .rateBelow(0.5))) {
      $0.warmup = 4
      $0.warmdown = .steps(4)
    }
    let alphas = (0..<10).map {
      schedule.settings(TrainingMoment(step: $0, seconds: 0)).qatAlpha
    }
    #expect(alphas == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
  }

  @Test func variantsWaitForTheDecayOfTheRate() throws {
    var model = try CompiledModel.small(layers: 2)
    model.variants.append(
      Variant(name: "late", start: .rateBelow(0.8), graph: model.variants[0].graph))
    var train = TrainSettings(rows: 1, seq: 4)
    train.warmup = 6
    train.warmdown = .steps(4)
    let schedule = Schedule(
      model: model, train: train, length: TrainingLength(steps: 10, seconds: nil))
    let variants = (0..<10).map {
      schedule.settings(TrainingMoment(step: $0, seconds: 0)).variant
    }
    #expect(variants == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
  }

  @Test func momentumRampsLinearly() {
    let ramp = Ramp(from: 0.85, to: 0.95, over: .steps(10))
    let found = [0, 5, 10, 50].map { ramp.value(after: $0, fraction: 0) }
    #expect(absoluteDifference(found, [0.85, 0.9, 0.95, 0.95]) < 1e-12)
    #expect(Ramp(0.9).value(after: 0, fraction: 0) == 0.9)
  }

  @Test func aTaperBeginsWhenItsPartOfTrainingIsOver() {
    let taper = Ramp(from: 1, to: 0.5, over: .after(0.7))
    let found = [0, 0.7, 0.85, 1].map { taper.value(after: 3, fraction: $0) }
    #expect(absoluteDifference(found, [1, 1, 0.75, 0.5]) < 1e-12)
  }

  /// Steps 6, 8 and 10 of ten, in which the rate falls from the fifth on.
  @Test func snapshotsAreTakenWhereTheRateIsLow() {
    var train = TrainSettings(rows: 1, seq: 1)
    train.warmdown = .steps(6)
    train.average = .swa(every: 2, below: 0.9)
    let schedule = Schedule(
      train: train, qat: .off, variants: [VariantStart(nil)],
      length: TrainingLength(steps: 10, seconds: nil))
    let taken = (0..<10).filter {
      schedule.settings(TrainingMoment(step: $0, seconds: 0)).isSnapshot
    }
    #expect(taken == [5, 7, 9])
  }

  @Test func qatBeginsAtAStep() {
    let schedule = Schedule(
      train: TrainSettings(rows: 1, seq: 1),
      qat: .on(.softRound(form: .a, from: 1, to: 5), from: .step(4)), variants: [VariantStart(nil)],
      length: TrainingLength(steps: 8, seconds: nil))
    let alphas = (0..<8).map { schedule.settings(TrainingMoment(step: $0, seconds: 0)).qatAlpha }
    #expect(absoluteDifference(alphas, [0, 0, 0, 0, 1, 2, 3, 4]) < 1e-12)
  }

  /// The rate rises again when a variant begins, which on a clock only the steps before tell.
  @Test func theRateRisesWhenAVariantBegins() {
    let schedule = Schedule(
      train: TrainSettings(rows: 1, seq: 1), qat: .off,
      variants: [VariantStart(nil), VariantStart(.training(0.5), warmup: 4)],
      length: TrainingLength(steps: nil, seconds: 8))
    var moment = TrainingMoment(step: 0, seconds: 0)
    var rates: [Double] = []
    // The second step takes as long as four.
    for seconds in [1.0, 4, 1, 1, 1] {
      let settings = schedule.settings(moment)
      rates.append(settings.rate)
      moment = schedule.moment(after: moment, settings, seconds: seconds)
    }
    #expect(rates == [1, 1, 0.25, 0.5, 0.75])
    #expect(moment.variant == 1 && moment.variantStep == 2)
  }
}
