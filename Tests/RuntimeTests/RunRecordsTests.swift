// SPDX-License-Identifier: Apache-2.0
// Whole runs of some records of different kinds under their preset small: equal bits for any threads, after
// an interruption and out of the artifact. scripts/prove-records has all of them, for longer.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct RunRecordsTests {
    /// Plain, averaged snapshots, adapted, a loop in strides of its own, documents, stages.
    static let paths = ["01", "14", "20", "24", "44", "47"].map { number in
      RecordFiles.records.first { $0.contains("/\(number)-") }!
    }

    /// With the tokens of the corpus here, and fewer of them in a step.
    private static func model(_ path: String) throws -> Model {
      let text = try Repository.text(path)
      var set = ["vocab": "288"]
      if text.contains("from bos") { set["accumulate"] = "2" } else { set["batch"] = "4" }
      if text.contains("chunk = ") { set["chunk"] = "512" }
      var model = try Repository.model(path, preset: "small", set: set)
      model.settings.ttt?.epochs = 1
      model.settings.train?.checkpointEvery = 5
      return model
    }

    @Test(arguments: paths) func aRunHasTheSameBits(_ path: String) throws {
      let folder = try TemporaryFolder()
      let model = try Self.model(path)
      let adapts = model.settings.ttt != nil
      let whole = try SmallRun.run(folder, "1", model: model, threads: 1, adapts: adapts)
      // All variants trained, and each feature of the file had its steps.
      for feature in whole.live where feature.phase == .training {
        #expect(feature.firstStep != nil, "\(feature.feature)")
      }
      let bytes = try SmallRun.bytes(folder, "1")
      for threads in 2...3 {
        _ = try SmallRun.run(folder, "\(threads)", model: model, threads: threads)
        #expect(try SmallRun.bytes(folder, "\(threads)") == bytes, "\(threads) threads")
      }
      try Self.expectTheScores(whole.scores, of: folder.path + "/1/artifact.gca", adapts: adapts)

      #expect(throws: Interrupted.self) {
        try SmallRun.run(folder, "parts", model: model, threads: 2, stopAfter: 6)
      }
      var steps: [Int] = []
      _ = try SmallRun.run(folder, "parts", model: model, threads: 1, resumes: true) { event in
        if case .step(let report, _) = event { steps.append(report.step) }
      }
      #expect(steps == Array(7...12))
      #expect(try SmallRun.bytes(folder, "parts") == bytes)
    }

    /// An artifact that is all there is packs again to its bytes and scores as the run that wrote it.
    private static func expectTheScores(
      _ expected: EvaluationScores, of path: String, adapts: Bool
    ) throws {
      let artifact = try Artifact.read(path)
      #expect(try artifact.container().encoded() == [UInt8](Data(contentsOf: URL(filePath: path))))
      let plan = try CompiledModel(artifact.model).plan
      let evaluator = Evaluator(
        functions: plan.functions, settings: artifact.model.settings,
        stream: try ValidationStream(SmallCorpus.shared.get().data, limit: 1500), threads: 2,
        clock: { 0 }, observe: { _ in })
      let found = try evaluator.evaluate(
        float: nil, quantized: artifact.parameters(), adapts: adapts, audit: nil)
      #expect(!found.entries.isEmpty)
      #expect(found.entries == expected.entries.filter { $0.weights == .quantized })
      #expect(found.adaptation == expected.adaptation)
      #expect((found.adaptation != nil) == adapts)
    }
  }
}
