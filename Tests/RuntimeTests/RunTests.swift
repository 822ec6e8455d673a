// SPDX-License-Identifier: Apache-2.0
// Whole runs on a small generated corpus: training, artifact, scores, adaptation, resuming.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

/// A data folder of generated sentences.
struct SmallCorpus {
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
      texts.append(try folder.write(text, to: "text-\(document).txt"))
    }
    let out = folder.path + "/data"
    _ = try DataFolder.prepare(texts: texts, vocab: 288, validation: 0.1, out: out)
    data = try DataFolder.open(out)
  }
}

extension RuntimeTests {
  @Suite struct RunTests {
    private static let corpus = Result { try SmallCorpus() }
    private var data: DataFolder { get throws { try Self.corpus.get().data } }

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

    private func run(
      _ folder: TemporaryFolder, _ name: String, model: Model? = nil,
      compute: ComputePrecision = .f32, threads: Int = 1, steps: Int = 12, resumes: Bool = false,
      adapts: Bool = false, stopAfter: Int? = nil, events: ((RunEvent) -> Void)? = nil
    ) throws -> Report {
      let plan = try CompiledModel(model ?? Self.model(), compute: compute).plan
      var done = 0
      let run = Run(
        plan: plan, data: try data,
        options: RunOptions(
          directory: folder.path + "/" + name,
          length: TrainingLength(steps: steps, seconds: nil), seed: 5, threads: threads,
          adapts: adapts, resumes: resumes, validationTokens: 1500),
        clock: { 0 }, isInterrupted: { stopAfter.map { done >= $0 } ?? false },
        observe: { event in
          if case .step(let report, _) = event { done = report.step }
          events?(event)
        })
      return try run.run(manifest: RunManifest(members: ["graph": "g", "seed": "5"]))
    }

    private func bytes(_ folder: TemporaryFolder, _ name: String) throws -> Data {
      try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + name + "/artifact.gca"))
    }

    @Test(arguments: [ComputePrecision.f32, .bf16])
    func artifactsHaveTheSameBytesForAnyNumberOfThreads(_ compute: ComputePrecision) throws {
      let folder = try TemporaryFolder()
      var losses: [Double] = []
      for threads in 1...3 {
        let result = try run(folder, "threads-\(threads)", compute: compute, threads: threads)
        losses.append(try #require(result.training).loss)
        #expect(result.training?.steps == 12)
      }
      let artifacts = try (1...3).map { try bytes(folder, "threads-\($0)") }
      #expect(artifacts[0] == artifacts[1])
      #expect(artifacts[0] == artifacts[2])
      #expect(Set(losses).count == 1)
    }

    @Test(arguments: ["1", "2"], [ComputePrecision.f32, .bf16])
    func interruptedAndResumedEqualsUninterrupted(
      _ accumulate: String, _ compute: ComputePrecision
    ) throws {
      let folder = try TemporaryFolder()
      var model = try Self.model(["accumulate": accumulate, "batch": "2"])
      model.settings.train?.average = .ema(0.9)
      let whole = try run(folder, "whole", model: model, compute: compute)
      #expect(throws: Interrupted.self) {
        try run(folder, "parts", model: model, compute: compute, stopAfter: 7)
      }
      var first: Int?
      var reports: [Int] = []
      let parts = try run(folder, "parts", model: model, compute: compute, resumes: true) { event in
        if case .resumed(let step) = event { first = step }
        if case .step(let report, _) = event { reports.append(report.step) }
      }
      #expect(first == 7)
      #expect(reports == Array(8...12))
      #expect(try bytes(folder, "parts") == bytes(folder, "whole"))
      #expect(parts.training == whole.training)
      #expect(parts.scores.entries == whole.scores.entries)
    }

    @Test func aLostCheckpointIsMadeUpFor() throws {
      let folder = try TemporaryFolder()
      _ = try run(folder, "whole")
      #expect(throws: Interrupted.self) { try run(folder, "parts", stopAfter: 7) }
      // Only the checkpoint of step 5 is left.
      let checkpoints = folder.path + "/parts/checkpoints"
      for name in try FileManager.default.contentsOfDirectory(atPath: checkpoints)
      where name.contains("7") {
        try FileManager.default.removeItem(atPath: checkpoints + "/" + name)
      }
      var first: Int?
      _ = try run(folder, "parts", resumes: true) { event in
        if case .resumed(let step) = event { first = step }
      }
      #expect(first == 5)
      #expect(try bytes(folder, "parts") == bytes(folder, "whole"))
    }

    @Test(arguments: [ComputePrecision.f32, .bf16])
    func theArtifactScoresAsTheRunSaid(_ compute: ComputePrecision) throws {
      let folder = try TemporaryFolder()
      let result = try run(folder, "run", compute: compute)
      #expect(result.precision == compute)
      let artifact = try Artifact.read(result.artifact.path)
      let plan = try CompiledModel(artifact.model, compute: compute).plan
      let evaluator = Evaluator(
        functions: plan.functions, settings: artifact.model.settings,
        stream: try ValidationStream(data, limit: 1500), threads: 2, clock: { 0 },
        observe: { _ in })
      let scores = try evaluator.evaluate(
        float: nil, quantized: try artifact.parameters(), adapts: false, audit: nil)
      #expect(scores.entries == result.scores.entries.filter { $0.weights == .quantized })
      #expect(scores.leftOut == ["float", "float_sliding"])
      #expect(result.scores.first(.float, strided: false) != nil)
      let sliding = try #require(scores.first(.quantized, strided: true))
      #expect(sliding.tokens == 1500)
      #expect(sliding.bitsPerByte > 0)
    }

    @Test func everyEvaluationIsScoredUnderItsNameOnTheWeightsItNames() throws {
      let folder = try TemporaryFolder()
      var model = try Self.model()
      var dense = Evaluation(name: "dense", window: 32)
      dense.stride = 8
      var denseFloat = dense
      denseFloat.name = "dense_float"
      denseFloat.onFloat = true
      model.settings.evaluate = [
        Evaluation(name: "plain", window: 32), Evaluation(name: "short", window: 16), dense,
        denseFloat,
      ]
      let scores = try run(folder, "run", model: model).scores
      #expect(scores.entries.map(\.name) == ["plain", "short", "dense", "dense_float"])
      #expect(scores.entries.map(\.weights) == [.quantized, .quantized, .quantized, .float])
      #expect(scores.entries.map(\.stride) == [nil, nil, 8, 8])
      #expect(Set(scores.entries.map(\.score.nats)).count == 4)
      let json = scores.json
      let listed = try #require(json["scores"]?.arrayValue)
      #expect(
        listed.map { $0["bpb"] }[..<3] == [
          json["bpb_quantized"], .double(scores.entries[1].score.bitsPerByte), json["bpb_sliding"],
        ])
      #expect(json["bpb_float"] == .null)
      #expect(json["bpb_float_sliding"] == listed[3]["bpb"])
    }

    @Test func weightsThatAreNotFiniteHaveNoScore() throws {
      let folder = try TemporaryFolder()
      let artifact = try Artifact.read(try run(folder, "run").artifact.path)
      let plan = try CompiledModel(artifact.model, compute: .f32).plan
      let evaluator = Evaluator(
        functions: plan.functions, settings: artifact.model.settings,
        stream: try ValidationStream(data, limit: 1500), threads: 1, clock: { 0 },
        observe: { _ in })
      let weights = try artifact.parameters()
      for value in [Float.nan, .infinity] {
        weights["tok_emb"]![0] = value
        #expect(throws: NumericFailure.self) {
          try evaluator.evaluate(float: nil, quantized: weights, adapts: false, audit: nil)
        }
      }
    }

    @Test func weightsThatTheirStoredFormCannotHoldAreNotPacked() throws {
      let model = try Self.model()
      for value in [Float.nan, 1e30] {
        let weights = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
        weights["tok_emb"]![0] = value
        let artifact = Artifact(
          model: model.forArtifact, parameters: weights, precision: model.precisionTable)
        #expect(throws: NumericFailure.self) { try artifact.checkFinite(madeFrom: weights) }
      }
    }

    @Test func aScorerDoesNotWriteParameters() throws {
      var functions = try CompiledModel(Self.model(), compute: .f32).plan.functions
      let name = FunctionName.score(window: 32, rows: scoringRows(window: 32), last: nil)
      let index = try #require(functions.firstIndex { $0.name == name })
      functions[index].updates = ["tok_emb"]
      let parameters = try ParameterBlock(
        layout: ParameterLayout(try Self.model().graph.parameters))
      #expect(throws: LegalityError.self) {
        try Scorer(
          functions, window: 32, rows: scoringRows(window: 32), scored: nil,
          parameters: parameters, threads: 1)
      }
    }

    @Test func trainingLowersTheLoss() throws {
      let folder = try TemporaryFolder()
      var losses: [Double] = []
      let result = try run(folder, "run", steps: 60) { event in
        if case .step(let report, _) = event { losses.append(report.loss) }
      }
      #expect(losses.count == 60)
      #expect(losses.last! < losses.first! - 1)
      #expect(result.scores.first(.quantized, strided: false)!.nllPerToken < losses.first! - 1)
      #expect(result.live.contains { $0.feature == "warmdown" && $0.firstStep != nil })
    }

    @Test func adaptationRunsLegallyAndIsAudited() throws {
      let folder = try TemporaryFolder()
      let result = try run(folder, "run", adapts: true)
      let adapted = try #require(result.scores.adapted)
      #expect(adapted.tokens == result.scores.first(.quantized, strided: true)?.tokens)
      #expect(adapted.bytes == result.scores.first(.quantized, strided: true)?.bytes)
      #expect(result.scores.illegal == nil)
      let events = try AuditLog.verify(folder.path + "/run/audit.jsonl")
      let names = events.compactMap { $0["event"]?.stringValue }
      #expect(names.filter { $0 == "score" }.count == 3)
      #expect(names.filter { $0 == "update" }.count == 2)
      for event in events.dropFirst() {
        #expect(try AuditEvent(json: event).json == event)
      }
      // Each chunk is scored before it is trained on, with the weights the update before it left.
      var weights: String?
      for event in events {
        switch event["event"]?.stringValue {
        case "score":
          if let weights { #expect(event["weights"]?.stringValue == weights) }
        case "update":
          #expect(event["before"]?.stringValue != event["after"]?.stringValue)
          weights = event["after"]?.stringValue
        default: break
        }
      }
      let nats = events.filter { $0["event"]?.stringValue == "score" }
        .compactMap { $0["nats"]?.doubleValue }.reduce(0, +)
      #expect(abs(nats - adapted.nats) < 1e-6 * nats)
    }

    @Test func adaptFirstIsNoScore() throws {
      let folder = try TemporaryFolder()
      var model = try Self.model()
      model.settings.ttt?.mode = .adaptFirst
      let result = try run(folder, "run", model: model, steps: 3, adapts: true)
      #expect(result.scores.adapted == nil)
      #expect(result.scores.illegal != nil)
      #expect(result.scores.json["bpb_ttt"] == .null)
    }

    @Test func featuresOfAdaptationNameTheirUpdates() throws {
      let folder = try TemporaryFolder()
      var model = try Self.model()
      model.settings.ttt?.clip = 1e6
      model.settings.ttt?.scales = [.init(glob: try #require(Glob("*.fc")), factor: 2)]
      model.settings.ttt?.frozen = [try #require(Glob("tok_emb"))]
      var warnings: [String] = []
      let result = try run(folder, "run", model: model, steps: 3, adapts: true) { event in
        if case .warning(let text) = event { warnings.append(text) }
      }
      let live = Dictionary(uniqueKeysWithValues: result.live.map { ($0.feature, $0) })
      // Chunks of 512 of 1,500 targets: two are trained on, in 8 updates of 2 rows each.
      let optimizer = try #require(live["ttt optimizer default"])
      #expect(optimizer.firstStep == 1 && optimizer.lastStep == 16 && optimizer.steps == 16)
      #expect(optimizer.params.count == model.graph.parameters.count - 1)
      #expect(live["ttt scale \"*.fc\""]?.params == ["blocks.0.mlp.fc", "blocks.1.mlp.fc"])
      #expect(live["ttt freeze \"tok_emb\""]?.params == ["tok_emb"])
      #expect(live["ttt clip"]?.firstStep == nil)
      #expect(warnings.contains { $0.contains("ttt clip 1000000 never clipped") })
      #expect(live["ttt clip"]?.json["unit"] == "update")
      #expect(live["optimizer matrix"]?.json["unit"] == "step")
    }

    @Test(arguments: [TTTSettings.Mode.scoreFirst, .adaptFirst])
    func withoutEpochsNothingIsAdapted(_ mode: TTTSettings.Mode) throws {
      let folder = try TemporaryFolder()
      var model = try Self.model()
      model.settings.ttt?.epochs = 0
      model.settings.ttt?.mode = mode
      let result = try run(folder, "run", model: model, steps: 3, adapts: true)
      let adapted = try #require(result.scores.adapted ?? result.scores.illegal)
      #expect(adapted.bitsPerByte == result.scores.first(.quantized, strided: true)?.bitsPerByte)
      let log = try String(contentsOfFile: folder.path + "/run/audit.jsonl", encoding: .utf8)
      #expect(!log.contains("\"update\""))
    }

    @Test func anExistingRunIsNotOverwritten() throws {
      let folder = try TemporaryFolder()
      _ = try run(folder, "run", steps: 2)
      let before = try bytes(folder, "run")
      #expect(throws: FormatError.self) { try run(folder, "run", steps: 2) }
      #expect(try bytes(folder, "run") == before)
      _ = try folder.write("mine", to: "note.txt")
      #expect(throws: FormatError.self) { try run(folder, "", steps: 2) }
      #expect(throws: FormatError.self) { try run(folder, "nowhere", steps: 2, resumes: true) }
    }

    @Test func aResumedRunMustBeTheSameRun() throws {
      let folder = try TemporaryFolder()
      _ = try run(folder, "run", steps: 2)
      let plan = try CompiledModel(Self.model()).plan
      let other = Run(
        plan: plan, data: try data,
        options: RunOptions(
          directory: folder.path + "/run", length: TrainingLength(steps: 2, seconds: nil), seed: 6,
          threads: 1, adapts: false, resumes: true),
        clock: { 0 }, isInterrupted: { false }, observe: { _ in })
      let error = #expect(throws: FormatError.self) {
        try other.run(manifest: RunManifest(members: ["graph": "g", "seed": "6"]))
      }
      #expect(error?.field == "seed")
    }

    @Test func overBudgetNamesTheLargestGroups() throws {
      let folder = try TemporaryFolder()
      var model = try Self.model()
      model.settings.quantize?.budget = 100
      let result = try run(folder, "run", model: model, steps: 2)
      let excess = try #require(result.overBudget)
      #expect(excess.budget == 100)
      #expect(excess.bytes == result.artifact.bytes)
      #expect(!excess.largest.isEmpty)
    }

    /// Averages and sums of micro-batches against the interpreter, through the trainer.
    @Test(arguments: ["1", "2"])
    func trainerStepsEqualTheInterpreters(_ accumulate: String) throws {
      var model = try Self.model(["accumulate": accumulate])
      model.settings.train?.average = .ema(0.5)
      model.settings.train?.clip = 0.5
      model.settings.train?.isShuffled = false
      model.settings.qat = .off
      let compiled = try CompiledModel(model)
      let stream = try data.train()
      let trainer = try Trainer(
        compiled.plan, data: stream, length: TrainingLength(steps: 10, seconds: nil), seed: 3,
        threads: 1, clock: { 0 })
      let isWhole = accumulate == "1"
      let gradient = try #require(compiled.graphs[isWhole ? "train" : "gradient"])
      let update = try #require(compiled.graphs[isWhole ? "train" : "update"])
      var contents: [String: [Double]] = [:]
      for (path, tensor) in trainer.savedTensors().values.flatMap({ $0 }) {
        contents[path] = try tensor.doubles()
      }
      var cursor = 0
      let count = 4 * 32
      for step in 1...2 {
        let settings = trainer.schedule.settings(trainer.moment)
        let report = try trainer.step()
        var sums: [String: [Double]] = [:]
        var loss = 0.0
        var result: Interpreter.Result?
        for _ in 0..<Int(accumulate)! {
          let span = try stream.read(cursor..<(cursor + count + 1)).map(Int32.init)
          cursor += count + 1
          var inputs: [String: Interpreter.Content] = [
            "ids": .ids(Array(span.dropLast())), "targets": .ids(Array(span.dropFirst())),
            "weights": .reals(
              [Double](repeating: 1 / Double(trainer.tokensPerStep), count: count)),
          ]
          if isWhole { inputs.merge(scalars(update, step, settings)) { $1 } }
          let run = try Interpreter(gradient).run(parameters: contents, inputs: inputs)
          loss += run.reals(of: "loss")[0]
          for name in run.outputs.keys where name.hasPrefix("grad.") {
            let values = run.reals(of: name)
            sums[name] = sums[name].map { zip($0, values).map(+) } ?? values
          }
          result = run
        }
        if !isWhole {
          var inputs = scalars(update, step, settings)
          for (name, values) in sums { inputs[name] = .reals(values) }
          result = try Interpreter(update).run(parameters: contents, inputs: inputs)
        }
        contents.merge(try #require(result).writes) { $1 }
        #expect(abs(report.loss - loss) < 1e-4, "step \(step)")
      }
      for (path, tensor) in trainer.savedTensors().values.flatMap({ $0 }) {
        let found = try tensor.doubles()
        #expect(relativeDifference(found, try #require(contents[path])) < 1e-3, "@\(path)")
      }
      let exported = try trainer.exported()
      #expect(
        relativeDifference(
          exported.floats("blocks.0.attn_scale").map(Double.init),
          contents["ema.blocks.0.attn_scale"]!)
          < 1e-3)
    }

    private func scalars(
      _ graph: Graph, _ step: Int, _ settings: StepSettings
    ) -> [String: Interpreter.Content] {
      var inputs: [String: Interpreter.Content] = [:]
      for name in graph.inputs.map(graph.name) where graph.type(graph.input(named: name)!).rank == 0
      {
        switch name {
        case "learning_rate": inputs[name] = .reals([settings.rate])
        case "step": inputs[name] = .reals([Double(step)])
        case "qat.alpha": inputs[name] = .reals([settings.qatAlpha])
        default:
          let rule = MuonRule(lr: 0, momentum: 0.95, rampFrom: 0.85, rampSteps: 300)
          inputs[name] = .reals([Schedule.momentum(rule, step: step - 1)])
        }
      }
      return inputs
    }
  }
}
