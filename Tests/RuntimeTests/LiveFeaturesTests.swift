// SPDX-License-Identifier: Apache-2.0
// Live is what was observed: each feature names the steps in which it changed a number and the params
// it acted on, and a run says in words what had no effect.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct LiveFeaturesTests {
    private func trainer(
      steps: Int, _ change: (inout Settings) -> Void = { _ in }
    ) throws -> Trainer {
      var model = try SmallRun.model()
      model.settings.qat = .off
      model.settings.train?.warmdown = nil
      change(&model.settings)
      return try Trainer(
        CompiledModel(model).plan, data: try SmallCorpus.shared.get().data.train(),
        length: TrainingLength(steps: steps, seconds: nil), seed: 3, threads: 1, clock: { 0 })
    }

    /// Trains to the end and returns each feature as `first-last/count`, or `never`.
    private func trained(
      steps: Int, _ change: (inout Settings) -> Void
    ) throws -> (live: [String: String], remarks: [String]) {
      let trainer = try trainer(steps: steps, change)
      for _ in 0..<steps { _ = try trainer.step() }
      var live: [String: String] = [:]
      for feature in trainer.live {
        live[feature.feature] = feature.firstStep.map {
          "\($0)-\(feature.lastStep ?? 0)/\(feature.steps)"
        }
        if feature.firstStep == nil { live[feature.feature] = "never" }
      }
      return (live, trainer.remarks)
    }

    @Test func windowsAreLiveWhereTheyChangeTheRate() throws {
      let (live, remarks) = try trained(steps: 8) {
        $0.train?.warmup = 3
        $0.train?.warmdown = .steps(4)
        $0.qat = .on(.straightThrough, from: .warmdown(0))
      }
      // The third step of the warmup and the first of the warmdown have the whole rate.
      #expect(live["warmup"] == "1-2/2")
      #expect(live["warmdown"] == "6-8/3")
      #expect(live["qat"] == "6-8/3")
      #expect(live["optimizer matrix"] == "1-8/8")
      #expect(remarks == [])
    }

    @Test func aWarmupThatDoesNotEndIsSaid() throws {
      let (live, remarks) = try trained(steps: 3) { $0.train?.warmup = 10 }
      #expect(live["warmup"] == "1-3/3")
      #expect(remarks.count == 1)
      #expect(remarks.first?.contains("warmup of 10 steps did not end in 3") == true)
    }

    @Test func clipsAreLiveWhereTheyClip() throws {
      let norms = try {
        let trainer = try trainer(steps: 6)
        return try (0..<6).map { _ in try trainer.step().gradientNorm }
      }()
      let first = norms[0]
      #expect(norms.contains { $0 > first * 1.001 } || norms.contains { $0 < first * 0.999 })
      let always = try trained(steps: 6) { $0.train?.clip = 1e-6 }
      #expect(always.live["clip"] == "1-6/6")
      #expect(always.remarks == [])
      let never = try trained(steps: 6) { $0.train?.clip = 1e6 }
      #expect(never.live["clip"] == "never")
      #expect(never.remarks.count == 1)
      #expect(never.remarks.first?.contains("clip 1000000 never clipped") == true)
      // A limit just above the first norm: the first step is not clipped.
      let limit = first * 1.0001
      let some = try trained(steps: 1) { $0.train?.clip = limit }
      #expect(some.live["clip"] == "never")
      let below = try trained(steps: 1) { $0.train?.clip = first * 0.9999 }
      #expect(below.live["clip"] == "1-1/1")
    }

    @Test(arguments: [1, 2])
    func averagesAreLiveWhereTheyDiffer(accumulate: Int) throws {
      let differs = try trained(steps: 4) {
        $0.train?.average = .ema(0.5)
        $0.train?.accumulate = accumulate
      }
      #expect(differs.live["average"] == "1-4/4")
      #expect(differs.remarks == [])
      let equals = try trained(steps: 4) {
        $0.train?.average = .ema(0)
        $0.train?.accumulate = accumulate
      }
      #expect(equals.live["average"] == "never")
      #expect(equals.remarks.count == 1)
      #expect(equals.remarks.first?.contains("the average equals the weights") == true)
    }

    @Test(arguments: [1, 2])
    func zLossIsLiveWhereItChangesTheLoss(accumulate: Int) throws {
      func live(_ weight: Double) throws -> (live: [String: String], remarks: [String]) {
        try trained(steps: 2) {
          $0.train?.zLoss = weight
          $0.train?.accumulate = accumulate
        }
      }
      #expect(try live(1e-4).live["z_loss"] == "1-2/2")
      let silent = try live(1e-30)
      #expect(silent.live["z_loss"] == "never")
      #expect(silent.remarks.first?.contains("z_loss 1e-30 changed the loss in none") == true)
    }

    @Test func liveFeaturesNameWhatTheyActOn() throws {
      let trainer = try trainer(steps: 2) { $0.qat = .on(.straightThrough, from: .start) }
      let paths = trainer.model.graph.parameters.map(\.path)
      let params = Dictionary(uniqueKeysWithValues: trainer.live.map { ($0.feature, $0.params) })
      #expect(params["optimizer embedding"] == ["tok_emb"])
      #expect(
        params["optimizer matrix"]
          == paths.filter { $0.contains("attn.c_") || $0.contains("proj") || $0.contains("fc") })
      #expect(params["optimizer scalar"]?.contains("skip_weights") == true)
      #expect(params["qat"]?.contains("tok_emb") == true)
      #expect(params["qat"]?.contains("skip_weights") == false)
      #expect(
        ["embedding", "scalar", "matrix"].flatMap { params["optimizer " + $0] ?? [] }.sorted()
          == paths.sorted())
    }

    @Test func aResumedRunKeepsWhatWasLive() throws {
      let folder = try TemporaryFolder()
      let change: (inout Settings) -> Void = {
        $0.train?.warmup = 2
        $0.train?.clip = 1e-6
      }
      let first = try trainer(steps: 4, change)
      for _ in 0..<2 { _ = try first.step() }
      try Checkpoint.save(
        in: folder.path, step: 2, states: first.savedTensors(),
        metadata: ["trainer": first.savedCounters()])
      let second = try trainer(steps: 4, change)
      try second.restore(try #require(Checkpoint.latest(in: folder.path).0))
      #expect(second.live == first.live)
      for _ in 0..<2 { _ = try second.step() }
      let clip = try #require(second.live.first { $0.feature == "clip" })
      #expect(clip.firstStep == 1 && clip.lastStep == 4 && clip.steps == 4)
      #expect(second.live.first { $0.feature == "warmup" }?.steps == 1)
    }
  }
}
