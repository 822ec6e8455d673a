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

  private func adaptation(_ mode: TTTSettings.Mode, epochs: Int) -> TTTSettings {
    var settings = TTTSettings(mode: mode, chunk: 8, window: 4, stride: 4)
    settings.epochs = epochs
    settings.schedule = .cosineOverChunks
    return settings
  }

  @Test func scoreFirstFallsFromChunkToChunk() {
    let settings = adaptation(.scoreFirst, epochs: 3)
    let rates = (0..<5).map { settings.rate(epoch: 0, chunk: $0, of: 5) }
    #expect(absoluteDifference(rates, [1, 0.8535533905932737, 0.5, 0.1464466094067262, 0]) < 1e-12)
  }

  /// The cosine does not begin again with an epoch, and falls over epochs of a single chunk.
  @Test(arguments: [(1, 4), (2, 2), (4, 1)])
  func adaptFirstFallsOverAllEpochs(epochs: Int, chunks: Int) {
    let settings = adaptation(.adaptFirst, epochs: epochs)
    let rates = (0..<epochs).flatMap { epoch in
      (0..<chunks).map { settings.rate(epoch: epoch, chunk: $0, of: chunks) }
    }
    #expect(absoluteDifference(rates, [1, 0.8535533905932737, 0.5, 0.1464466094067262]) < 1e-12)
  }

  @Test func momentumRampsLinearly() {
    let rule = MuonRule(lr: 1, momentum: 0.95, rampFrom: 0.85, rampSteps: 10)
    let found = [0, 5, 10, 50].map { Schedule.momentum(rule, step: $0) }
    #expect(absoluteDifference(found, [0.85, 0.9, 0.95, 0.95]) < 1e-12)
    #expect(Schedule.momentum(MuonRule(lr: 1, momentum: 0.9), step: 0) == 0.9)
  }
}

@Suite struct WindowTests {
  @Test(arguments: [(1, 8, 3), (8, 8, 4), (9, 8, 4), (100, 8, 3), (64, 8, 8), (7, 8, 1)])
  func slidingWindowsScoreEveryTargetOnce(_ targets: Int, length: Int, stride: Int) {
    let windows = slidingWindows(targets: targets, length: length, stride: stride)
    var scored = [Int](repeating: 0, count: targets)
    for window in windows {
      #expect(window.end - window.start <= length)
      #expect(window.start <= window.firstScored)
      for target in window.firstScored..<window.end { scored[target] += 1 }
    }
    #expect(scored == [Int](repeating: 1, count: targets))
    // Every target but those of the first window is scored with full context.
    for window in windows.dropFirst() where stride < length {
      #expect(window.firstScored - window.start == length - stride)
    }
  }

  @Test func noTargetsNeedNoWindows() {
    #expect(slidingWindows(targets: 0, length: 8, stride: 4).isEmpty)
    #expect(plainWindows(targets: 7, length: 8).isEmpty)
    #expect(chunked([], targets: 0, chunk: 8).isEmpty)
  }

  @Test func plainWindowsLeaveTheRest() {
    let windows = plainWindows(targets: 20, length: 8)
    #expect(windows.map(\.start) == [0, 8])
    #expect(windows.map(\.end) == [8, 16])
  }

  @Test func chunksHoldTheWindowsWhoseTargetsBeginInThem() {
    let windows = slidingWindows(targets: 40, length: 8, stride: 4)
    let chunks = chunked(windows, targets: 40, chunk: 16)
    #expect(chunks.count == 3)
    #expect(chunks.flatMap { $0 } == windows)
    for (index, chunk) in chunks.enumerated() {
      for window in chunk { #expect(window.firstScored / 16 == index) }
    }
    // No window of a chunk reads a token that is trained on only later.
    #expect(chunks[0].allSatisfy { $0.end <= 16 })
  }
}
