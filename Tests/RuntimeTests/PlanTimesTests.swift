// SPDX-License-Identifier: Apache-2.0
// Seconds of a run from those of its functions. What they are on a machine decides nothing here.

import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct PlanTimesTests {
    private func times(mayTry: Bool, _ plan: Plan) throws -> PlanTimes {
      var time = 0.0
      return try PlanTimes.measure(
        plan, threads: 1, mayTry: mayTry,
        clock: {
          time += 1
          return time
        },
        smaller: {
          var model = plan.model
          (model.settings.evaluate, model.settings.ttt) = ([], nil)
          model.settings.train?.rows = 1
          return try CompiledModel(model).plan
        })
    }

    @Test func shortFunctionsAreTriedAndOthersScaled() throws {
      let plan = try CompiledModel(SmallRun.model()).plan
      for isTried in [true, false] {
        let times = try times(mayTry: isTried, plan)
        let origin = isTried ? PlanTimes.Origin.measured : .scaled
        #expect(times.steps.count == 1)
        #expect(times.functions.count == plan.functions.count - 1)
        for time in times.steps + times.functions.values {
          #expect(time.origin == origin && time.seconds > 0 && time.seconds.isFinite)
        }
      }
    }

    @Test func scaledTimesGrowWithTheWork() throws {
      var large = try SmallRun.model()
      let small = try times(mayTry: false, CompiledModel(large).plan)
      large.settings.train?.rows *= 8
      let plan = try CompiledModel(large).plan
      let same = try CompiledModel(SmallRun.model()).plan
      let rates = WorkRates(
        sampling: try same.functions.prefix(1).map {
          let parameters = try ParameterBlock(layout: same.layout)
          return try Executable($0, parameters: parameters, threads: 1)
        })
      #expect(!small.steps.isEmpty)
      #expect(
        rates.seconds(plan.functions[0].body) > 2 * rates.seconds(same.functions[0].body))
    }
  }

  @Suite struct PhaseEstimateTests {
    private func phases(
      _ length: TrainingLength, validation: Int?, _ change: (inout Model) -> Void = { _ in }
    ) throws -> PhaseEstimates {
      var model = try SmallRun.model()
      change(&model)
      let plan = try CompiledModel(model).plan
      var time = 0.0
      let clock = {
        time += 1
        return time
      }
      let times = try PlanTimes.measure(
        plan, threads: 1, mayTry: true, clock: clock, smaller: { plan })
      return PhaseEstimates(
        plan, times, rates: try PackingRates(threads: 1, clock: clock), length: length,
        validation: validation, adapts: true)
    }

    @Test func stepsAndTokensAreCounted() throws {
      // Every function takes a second of this clock.
      let estimate = try phases(TrainingLength(steps: 12, seconds: nil), validation: 1500)
      func seconds(_ phase: String) -> Double? {
        estimate.phases.first { $0.phase == phase }?.seconds
      }
      #expect(estimate.steps == 12 && abs(estimate.stepSeconds - 1) < 1e-9)
      #expect(abs((seconds("train") ?? 0) - 12) < 1e-9)
      // Two validations of 46 windows, which one call holds.
      #expect(seconds("validate") == 2)
      #expect(seconds("eval quantized") == 1)
      // One call for the first window and one for the 92 others.
      #expect(seconds("eval sliding") == 2)
      // Three chunks are scored, the first in two calls; two are learnt from, in eight updates of two windows.
      let hash = 7 * Double(try CompiledModel(SmallRun.model()).plan.layout.bytes) / 32_768
      #expect(abs((seconds("ttt") ?? 0) - (4 + 16 + hash)) < 1e-6)
      #expect(estimate.sum() != nil)
    }

    @Test func withoutTextThereAreSecondsAMillionTokens() throws {
      let estimate = try phases(TrainingLength(steps: 12, seconds: nil), validation: nil)
      let phase = try #require(estimate.phases.first { $0.phase == "eval quantized" })
      #expect(phase.seconds == nil && estimate.sum() == nil)
      // Calls of 128 windows of 32 tokens.
      #expect(phase.secondsPerMillionTokens == (1_000_000.0 / 32 / 128).rounded(.up))
    }

    @Test func clocksDecideTheSteps() throws {
      let seconds = try phases(TrainingLength(steps: nil, seconds: 20), validation: 1500)
      #expect(seconds.steps == 20 || seconds.steps == 21)
      // A step a second, a sixth of a validation, and both at the end.
      let limited = try phases(
        TrainingLength(steps: nil, seconds: nil, limit: 20), validation: 1500
      ) { $0.settings.train?.limitSeconds = 20 }
      let steps = try #require(limited.steps)
      #expect(steps < 20 && steps > 10)
      let training = try #require(
        limited.sum { ["train", "validate", "checkpoint"].contains($0.phase) })
      #expect(training <= 20)
    }
  }
}
