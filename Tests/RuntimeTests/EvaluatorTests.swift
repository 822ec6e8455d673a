// SPDX-License-Identifier: Apache-2.0
// Every entry is scored on the weights that it names, and only what is a number.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct EvaluatorTests {
    @Test(arguments: [ComputePrecision.f32, .bf16])
    func theArtifactScoresAsTheRunSaid(_ compute: ComputePrecision) throws {
      let folder = try TemporaryFolder()
      let result = try SmallRun.run(folder, "run", compute: compute)
      #expect(result.precision == compute)
      let artifact = try Artifact.read(result.artifact.path)
      let plan = try CompiledModel(artifact.model, compute: compute).plan
      let evaluator = Evaluator(
        functions: plan.functions, settings: artifact.model.settings,
        stream: try ValidationStream(SmallCorpus.shared.get().data, limit: 1500), threads: 2,
        clock: { 0 },
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
      var model = try SmallRun.model()
      var dense = Evaluation(name: "dense", window: 32)
      dense.stride = 8
      var denseFloat = dense
      denseFloat.name = "dense_float"
      denseFloat.onFloat = true
      model.settings.evaluate = [
        Evaluation(name: "plain", window: 32), Evaluation(name: "short", window: 16), dense,
        denseFloat,
      ]
      let scores = try SmallRun.run(folder, "run", model: model).scores
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
      let artifact = try Artifact.read(try SmallRun.run(folder, "run").artifact.path)
      let plan = try CompiledModel(artifact.model, compute: .f32).plan
      let evaluator = Evaluator(
        functions: plan.functions, settings: artifact.model.settings,
        stream: try ValidationStream(SmallCorpus.shared.get().data, limit: 1500), threads: 1,
        clock: { 0 },
        observe: { _ in })
      let weights = try artifact.parameters()
      for value in [Float.nan, .infinity] {
        weights["tok_emb"]![0] = value
        #expect(throws: NumericFailure.self) {
          try evaluator.evaluate(float: nil, quantized: weights, adapts: false, audit: nil)
        }
      }
    }

    @Test func aScorerDoesNotWriteParameters() throws {
      var functions = try CompiledModel(SmallRun.model(), compute: .f32).plan.functions
      let name = FunctionName.score(window: 32, rows: scoringRows(window: 32), last: nil)
      let index = try #require(functions.firstIndex { $0.name == name })
      functions[index].updates = ["tok_emb"]
      let parameters = try ParameterBlock(
        layout: ParameterLayout(try SmallRun.model().graph.parameters))
      #expect(throws: LegalityError.self) {
        try Scorer(
          functions, window: 32, rows: scoringRows(window: 32), scored: nil,
          parameters: parameters, threads: 1)
      }
    }
  }
}
