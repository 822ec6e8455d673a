// SPDX-License-Identifier: Apache-2.0
// A small corpus, and runs of a small model on it.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport

/// A data folder of generated sentences.
struct SmallCorpus {
  static let shared = Result { try SmallCorpus() }

  let folder: TemporaryFolder
  let data: DataFolder

  init() throws {
    folder = try TemporaryFolder()
    var random = TestRandom(seed: 42)
    let words = [
      "the", "cat", "dog", "runs", "sleeps", "near", "a", "river", "old", "house", "and",
    ]
    var texts: [String] = []
    for document in 0..<40 {
      var text = ""
      for _ in 0..<60 {
        for _ in 0..<8 { text += words[Int(random.uniform() * Double(words.count))] + " " }
        text += "end.\n"
      }
      texts.append(try folder.write("text-\(document).txt", text))
    }
    let out = folder.path + "/data"
    _ = try DataPreparation(
      texts: texts, tokenizer: .trained(vocab: 288), validation: 0.1, out: out
    ).run()
    data = try DataFolder.open(out)
  }
}

/// Whole runs of a small variant of graphs/tiny.graph.
enum SmallRun {
  static func model(_ set: [String: String] = [:]) throws -> Model {
    var model = try Repository.model(
      "graphs/tiny.graph",
      set: [
        "layers": "2", "dim": "32", "heads": "2", "kv_heads": "1", "seq": "32", "batch": "4",
        "vocab": "288",
      ].merging(set) { $1 },
      windows: Repository.Windows(stride: 16, chunk: 512))
    model.settings.ttt?.epochs = 1
    model.settings.train?.checkpointEvery = 5
    model.settings.train?.validateEvery = 6
    return model
  }

  static func run(
    _ folder: TemporaryFolder, _ name: String, model: Model? = nil,
    compute: ComputePrecision = .f32, threads: Int = 1, steps: Int = 12, resumes: Bool = false,
    adapts: Bool = false, stopAfter: Int? = nil, events: ((RunEvent) -> Void)? = nil
  ) throws -> Report {
    let plan = try CompiledModel(model ?? SmallRun.model(), compute: compute).plan
    var done = 0
    let run = Run(
      plan: plan, data: try SmallCorpus.shared.get().data,
      options: RunOptions(
        directory: folder.path + "/" + name,
        length: TrainingLength(steps: steps, seconds: nil), seed: 5, threads: threads,
        adapts: adapts, resumes: resumes, validationTokens: 1500),
      clock: { 0 }, replan: { try compile($0, target: plan.target) },
      isInterrupted: { stopAfter.map { done >= $0 } ?? false },
      observe: { event in
        if case .step(let report, _) = event { done = report.step }
        events?(event)
      })
    return try run.run(manifest: RunManifest(members: ["graph": "g", "seed": "5"]))
  }

  static func bytes(_ folder: TemporaryFolder, _ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + name + "/artifact.gca"))
  }
}
