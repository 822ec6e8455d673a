// SPDX-License-Identifier: Apache-2.0
// Whole runs: equal bytes for any threads and after resuming, and directories that are respected.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct RunTests {
    @Test(arguments: [ComputePrecision.f32, .bf16])
    func artifactsHaveTheSameBytesForAnyNumberOfThreads(_ compute: ComputePrecision) throws {
      let folder = try TemporaryFolder()
      var losses: [Double] = []
      for threads in 1...3 {
        let result = try SmallRun.run(
          folder, "threads-\(threads)", compute: compute, threads: threads)
        losses.append(try #require(result.training).loss)
        #expect(result.training?.steps == 12)
      }
      let artifacts = try (1...3).map { try SmallRun.bytes(folder, "threads-\($0)") }
      #expect(artifacts[0] == artifacts[1])
      #expect(artifacts[0] == artifacts[2])
      #expect(Set(losses).count == 1)
    }

    @Test(arguments: ["1", "2"], [ComputePrecision.f32, .bf16])
    func interruptedAndResumedEqualsUninterrupted(
      _ accumulate: String, _ compute: ComputePrecision
    ) throws {
      let folder = try TemporaryFolder()
      var model = try SmallRun.model(["accumulate": accumulate, "batch": "2"])
      model.settings.train?.average = .ema(0.9)
      // Rows of twice the length, and a rate that still rises where the run is interrupted.
      var long = Variant(name: "long", start: .training(0.4), graph: model.graph)
      (long.sizes, long.warmup) = (TokenSizes(rows: 1, seq: 64), 4)
      model.variants.append(long)
      let whole = try SmallRun.run(folder, "whole", model: model, compute: compute)
      #expect(throws: Interrupted.self) {
        try SmallRun.run(folder, "parts", model: model, compute: compute, stopAfter: 7)
      }
      var first: Int?
      var reports: [Int] = []
      let parts = try SmallRun.run(folder, "parts", model: model, compute: compute, resumes: true) {
        event in
        if case .resumed(let step) = event { first = step }
        if case .step(let report, _) = event { reports.append(report.step) }
      }
      #expect(first == 7)
      #expect(reports == Array(8...12))
      #expect(try SmallRun.bytes(folder, "parts") == SmallRun.bytes(folder, "whole"))
      #expect(parts.training == whole.training)
      #expect(parts.scores.entries == whole.scores.entries)
    }

    @Test func aLostCheckpointIsMadeUpFor() throws {
      let folder = try TemporaryFolder()
      _ = try SmallRun.run(folder, "whole")
      #expect(throws: Interrupted.self) { try SmallRun.run(folder, "parts", stopAfter: 7) }
      // Only the checkpoint of step 5 is left.
      let checkpoints = folder.path + "/parts/checkpoints"
      for name in try FileManager.default.contentsOfDirectory(atPath: checkpoints)
      where name.contains("7") {
        try FileManager.default.removeItem(atPath: checkpoints + "/" + name)
      }
      var first: Int?
      _ = try SmallRun.run(folder, "parts", resumes: true) { event in
        if case .resumed(let step) = event { first = step }
      }
      #expect(first == 5)
      #expect(try SmallRun.bytes(folder, "parts") == SmallRun.bytes(folder, "whole"))
    }

    @Test func weightsThatTheirStoredFormCannotHoldAreNotPacked() throws {
      let model = try SmallRun.model()
      for value in [Float.nan, 1e30] {
        let weights = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
        weights["tok_emb"]![0] = value
        let artifact = try Artifact(
          model: model.forArtifact, parameters: weights, precision: model.precisionTable)
        #expect(throws: NumericFailure.self) { try artifact.checkFinite(madeFrom: weights) }
      }
    }

    @Test func anExistingRunIsNotOverwritten() throws {
      let folder = try TemporaryFolder()
      _ = try SmallRun.run(folder, "run", steps: 2)
      let before = try SmallRun.bytes(folder, "run")
      #expect(throws: FormatError.self) { try SmallRun.run(folder, "run", steps: 2) }
      #expect(try SmallRun.bytes(folder, "run") == before)
      try folder.write("note.txt", "mine")
      #expect(throws: FormatError.self) { try SmallRun.run(folder, "", steps: 2) }
      #expect(throws: FormatError.self) {
        try SmallRun.run(folder, "nowhere", steps: 2, resumes: true)
      }
    }

    @Test func aResumedRunMustBeTheSameRun() throws {
      let folder = try TemporaryFolder()
      _ = try SmallRun.run(folder, "run", steps: 2)
      let plan = try CompiledModel(SmallRun.model()).plan
      let other = Run(
        plan: plan, data: try SmallCorpus.shared.get().data,
        options: RunOptions(
          directory: folder.path + "/run", length: TrainingLength(steps: 2, seconds: nil), seed: 6,
          threads: 1, adapts: false, resumes: true),
        clock: { 0 }, replan: { try compile($0, target: plan.target) },
        isInterrupted: { false }, observe: { _ in })
      let error = #expect(throws: FormatError.self) {
        try other.run(manifest: RunManifest(members: ["graph": "g", "seed": "6"]))
      }
      #expect(error?.field == "seed")
    }

    @Test func overBudgetNamesTheLargestGroups() throws {
      let folder = try TemporaryFolder()
      var model = try SmallRun.model()
      model.settings.quantize?.budget = 100
      let result = try SmallRun.run(folder, "run", model: model, steps: 2)
      let excess = try #require(result.overBudget)
      #expect(excess.budget == 100)
      #expect(excess.bytes == result.artifact.bytes)
      #expect(!excess.largest.isEmpty)
    }

  }
}
