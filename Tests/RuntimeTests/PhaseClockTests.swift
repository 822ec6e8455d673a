// SPDX-License-Identifier: Apache-2.0
// Every second of a run is billed to one phase, and limits of seconds are kept.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

/// A clock that somebody moves.
private final class HandClock {
  var time = 100.0
  /// Seconds that pass with every look.
  var tick = 0.0
  func now() -> Double {
    time += tick
    return time
  }
}

extension RuntimeTests {
  @Suite struct PhaseClockTests {
    @Test func everySecondBelongsToOnePhase() throws {
      let hand = HandClock()
      let phases = PhaseClock(clock: hand.now)
      hand.time += 1
      phases.enter("train")
      hand.time += 2
      let seconds = phases.bill("validate") { hand.time += 4 }
      #expect(seconds == 4)
      hand.time += 8
      phases.enter("pack")
      hand.time += 16
      phases.enter("train")
      hand.time += 32
      let bills = Dictionary(uniqueKeysWithValues: phases.seconds.map { ($0.phase, $0.seconds) })
      #expect(bills == ["load": 1, "train": 42, "validate": 4, "pack": 16])
      #expect(phases.sum(["train", "validate"]) == 46)
    }

    @Test func eventsOfARunChangeThePhase() throws {
      let hand = HandClock()
      let phases = PhaseClock(clock: hand.now)
      var heard: [String] = []
      let observe = phases.billing { if case .phase(let name) = $0 { heard.append(name) } }
      hand.time += 1
      try observe(.phase("pack"))
      hand.time += 2
      try observe(.progress(0.5))
      #expect(heard == ["pack"])
      #expect(phases.seconds.map(\.seconds) == [1, 2])
    }

    @Test func resultsHoldTheSecondsOfEachPhase() throws {
      let folder = try TemporaryFolder()
      let hand = HandClock()
      hand.tick = 0.01
      let report = try TimedRun.run(folder, "run", SmallRun.model(), hand.now, adapts: true)
      let json = try #require(report.json["seconds"]?.objectValue)
      let wanted = [
        "load", "train", "validate", "checkpoint", "pack", "eval quantized", "eval sliding", "ttt",
      ]
      for phase in wanted { #expect(json[phase]?.doubleValue ?? 0 > 0, "\(phase)") }
      let sum = json.values.reduce(0) { $0 + ($1.doubleValue ?? 0) }
      // The last look is at the result, which is written behind it.
      #expect(abs(sum - (hand.time - 100)) < 0.1 * sum, "\(sum)")
    }
  }

  @Suite struct TimeLimitsTests {
    private func model(training: Double? = nil, evaluation: Double? = nil) throws -> Model {
      var model = try SmallRun.model()
      model.settings.train?.limitSeconds = training
      model.settings.evaluationLimit = evaluation
      return model
    }

    @Test func theReserveHoldsAStepAValidationAndACheckpoint() {
      var governor = TrainingGovernor(checkpointBytes: 100_000_000, validationPart: 0.5)
      // Half a step's tokens are scored, and a slow disk takes 50 MB a second.
      #expect(governor.reserve(steps: [1, 3, 2]) == 3 + 1.5 + 2)
      governor.noteValidation(0.25)
      governor.noteCheckpoint(0.125)
      governor.noteCheckpoint(0.0625)
      #expect(governor.reserve(steps: [1, 3, 2]) == 3 + 0.25 + 0.125)
    }

    @Test(arguments: [1.6, 3.2, 6.4])
    func trainingEndsBeforeItsLimitWithAllThatBelongsToIt(_ limit: Double) throws {
      let folder = try TemporaryFolder()
      let hand = HandClock()
      hand.tick = 0.01
      let report = try TimedRun.run(folder, "run", model(training: limit), hand.now, steps: 10_000)
      #expect(report.overtime == nil)
      let spent = report.seconds.filter { TrainingGovernor.phases.contains($0.phase) }
        .reduce(0) { $0 + $1.seconds }
      #expect(spent < limit + 0.005 && spent > 0.7 * limit, "\(spent) of \(limit)")
      #expect(report.training?.steps ?? 0 > 1)
      // The schedule knew it: the last step was near the end of the warmdown.
      let log = try JSONLines.read(folder.file("run/log.jsonl"))
      let last = try #require(log.last { $0["event"] == "step" })
      #expect(last["fraction"]?.doubleValue ?? 0 > 0.8)
      #expect(log.contains { $0["event"] == "validation" && $0["step"] == last["step"] })
    }

    @Test func aStepThatIsTooLongIsSaid() throws {
      let folder = try TemporaryFolder()
      let hand = HandClock()
      hand.tick = 0.01
      let report = try TimedRun.run(folder, "run", model(training: 0.01), hand.now)
      #expect(report.training?.steps == 1)
      #expect(report.overtime?.work == "training")
    }

    @Test func anEvaluationThatWouldTakeTooLongIsStopped() throws {
      let hand = HandClock()
      let governor = EvaluationGovernor(limit: 10, clock: hand.now)
      let first: Int? = try governor.run {
        hand.time += 3
        try governor.check(0.5)
        hand.time += 3
        try governor.check(1)
        return 1
      }
      #expect(first == 1 && governor.excess(unfinished: nil) == nil)
      // A twentieth says nothing yet; a tenth at this pace leads to 16 seconds.
      var reached = 0.0
      let second: Int? = try governor.run {
        for part in [0.05, 0.1, 0.15] {
          hand.time += 0.5
          reached = part
          try governor.check(part)
        }
        return 2
      }
      #expect(second == nil && reached == 0.1)
      let excess = try #require(governor.excess(unfinished: "sliding"))
      #expect(excess.seconds == 7 && excess.unfinished == "sliding")
    }

    @Test func whatWasScoredBeforeTheLimitIsSaved() throws {
      let folder = try TemporaryFolder()
      let hand = HandClock()
      hand.tick = 0.01
      // Who keeps a limit looks at the clock.
      let whole = try TimedRun.run(
        folder, "whole", model(evaluation: 1e9), hand.now, adapts: true)
      let seconds = Dictionary(
        uniqueKeysWithValues: whole.seconds.map { ($0.phase, $0.seconds) })
      let plain = seconds["eval float"]! + seconds["eval quantized"]!
      let report = try TimedRun.run(
        folder, "cut", model(evaluation: plain + 0.02), hand.now, adapts: true)
      let stopped = try #require(report.scores.excess?.unfinished)
      #expect(["float_sliding", "sliding"].contains(stopped))
      #expect(report.scores.entries.count == (stopped == "sliding" ? 3 : 2))
      #expect(report.scores.adaptation == nil)
      #expect(report.json["eval"]?["stopped"] == .string(stopped))
      let log = try AuditLog.verify(folder.file("cut/audit.jsonl"))
      #expect(log.contains { $0["event"] == "stop" && $0["name"] == .string(stopped) })
      let chain = try AuditChain(log, path: "audit.jsonl")
      #expect(chain.stop?.event.entry == stopped && chain.result != nil)
    }

    @Test func testTimeTrainingIsStoppedToo() throws {
      let folder = try TemporaryFolder()
      let hand = HandClock()
      hand.tick = 0.01
      // Who keeps a limit looks at the clock.
      let whole = try TimedRun.run(
        folder, "whole", model(evaluation: 1e9), hand.now, adapts: true)
      let plain = whole.seconds.filter { $0.phase.hasPrefix("eval ") }.reduce(0) { $0 + $1.seconds }
      let report = try TimedRun.run(
        folder, "cut", model(evaluation: plain + 0.03), hand.now, adapts: true)
      #expect(report.scores.excess?.unfinished == "ttt")
      #expect(report.scores.entries.count == 4 && report.scores.adaptation == nil)
      let log = try AuditLog.verify(folder.file("cut/audit.jsonl"))
      #expect(try AuditChain(log, path: "audit.jsonl").adaptation?.end == nil)
    }
  }
}

/// A small run on a clock of the test.
private enum TimedRun {
  static func run(
    _ folder: TemporaryFolder, _ name: String, _ model: Model, _ clock: @escaping () -> Double,
    steps: Int = 12, adapts: Bool = false
  ) throws -> Report {
    let plan = try CompiledModel(model).plan
    let run = Run(
      plan: plan, data: try SmallCorpus.shared.get().data,
      options: RunOptions(
        directory: folder.file(name),
        length: TrainingLength(
          steps: steps, seconds: nil, limit: model.settings.train?.limitSeconds), seed: 5,
        threads: 1, adapts: adapts, resumes: false, validationTokens: 1500),
      clock: clock, replan: { try compile($0, target: plan.target) },
      isInterrupted: { false }, observe: { _ in })
    return try run.run(manifest: RunManifest(members: ["graph": "g", "seed": "5"]))
  }
}
