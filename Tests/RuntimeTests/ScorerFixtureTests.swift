// SPDX-License-Identifier: Apache-2.0
// Sliding evaluation and test-time training against reference values.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ScorerFixtureTests {
    @Test func slidingScoresEqualTheReference() throws {
      let fixture = try ReferenceFixture("sliding")
      let base = try ReferenceFixture("baseline-even")
      let (window, stride) = (fixture.int("window"), fixture.int("stride"))
      var evaluation = Evaluation(name: "sliding", window: window)
      evaluation.stride = stride
      evaluation.batch = 3
      let model = try base.baseline { $0.evaluate = [evaluation] }
      let compiled = try CompiledModel(model)
      let tokens = try fixture.identifiers("tokens")
      let targets = fixture.int("targets")
      let windows = slidingWindows(targets: targets, length: window, stride: stride)
      let wanted = try #require(fixture.config["windows"]?.arrayValue).map { window in
        ["start", "first_scored", "end"].map { window[$0]?.intValue ?? -1 }
      }
      #expect(windows.map { [$0.start, $0.firstScored, $0.end] } == wanted)
      let scorer = try Scorer(
        compiled.plan.functions, window: window, rows: 3, scored: stride,
        parameters: try block(base, compiled.plan), threads: 1)
      var nll = [Float](repeating: .nan, count: targets)
      try scorer.score(windows, of: tokens, into: &nll)
      let expected = try fixture.tensors("expected")
      let reference = try #require(expected["nll"]).doubles()
      #expect(absoluteDifference(nll.map(Double.init), reference) < fixture.tolerance("nll"))
      let sum = nll.reduce(0.0) { $0 + Double($1) }
      #expect(abs(sum - fixture.double("nll_sum")) < fixture.tolerance("nll_sum"))
    }

    @Test(arguments: ["ttt-sgd", "ttt-adamw-perlayer"])
    func adaptationEqualsTheReference(_ name: String) throws {
      let fixture = try ReferenceFixture(name)
      let base = try ReferenceFixture("baseline-even")
      let settings = try Self.settings(fixture)
      let compiled = try CompiledModel(base.baseline { $0.ttt = settings })
      let parameters = try block(base, compiled.plan)
      let adaptation = try Adaptation(
        compiled.plan.functions, settings: settings, parameters: parameters, threads: 1)
      let result = try adaptation.run(fixture.identifiers("tokens"))
      let expected = try fixture.tensors("expected")
      let chunks = try #require(expected["chunk_nll"]).doubles()
      #expect(absoluteDifference(result.chunks, chunks) < fixture.tolerance("score"))
      let norms = try #require(expected["grad_norm"]).doubles()
      #expect(absoluteDifference(result.gradientNorms, norms) < fixture.tolerance("grad_norm"))
      let sum = result.nll.reduce(0.0) { $0 + Double($1) }
      #expect(abs(sum - fixture.double("results", "score_sum")) < fixture.tolerance("score"))
      for (name, tensor) in expected where name.hasPrefix("final.") {
        let path = ReferenceFixture.path(String(name.dropFirst("final.".count)))
        let found = parameters.floats(path).map(Double.init)
        #expect(
          relativeDifference(found, try tensor.doubles()) < fixture.tolerance("final"), "\(path)")
      }
    }

    private static func settings(_ fixture: ReferenceFixture) throws -> TTTSettings {
      var settings = TTTSettings(
        mode: .scoreFirst, chunk: fixture.int("chunk"), window: fixture.int("window"),
        stride: fixture.int("stride"))
      settings.epochs = fixture.int("epochs")
      settings.batch = fixture.int("batch_sequences")
      settings.clip = fixture.double("clip_norm")
      settings.schedule = .cosineOverChunks
      let rule = try #require(fixture.config["optimiser"])
      let lr = fixture.double("lr")
      if rule["rule"]?.stringValue == "sgd" {
        let sgd = OptimizerRule.sgd(lr: lr, momentum: rule["momentum"]?.doubleValue ?? 0)
        settings.optimizers = [OptimizerEntry(target: .default, rule: sgd)]
      } else {
        let betas = try #require(rule["betas"]?.arrayValue).compactMap(\.doubleValue)
        let adamw = OptimizerRule.adamw(
          lr: lr, beta1: betas[0], beta2: betas[1], epsilon: rule["eps"]?.doubleValue ?? 0)
        settings.optimizers = [OptimizerEntry(target: .default, rule: adamw)]
      }
      for (glob, factor) in rule["lr_factor"]?.objectValue ?? [:] {
        settings.scales.append(
          .init(glob: try #require(Glob(glob)), factor: factor.doubleValue ?? .nan))
      }
      return settings
    }

    private func block(_ fixture: ReferenceFixture, _ plan: Plan) throws -> ParameterBlock {
      let block = try ParameterBlock(layout: plan.layout)
      for (path, values) in try ReferenceFixture.contents(fixture.tensors("weights")) {
        let place = try #require(block[path])
        for (index, value) in values.enumerated() { place[index] = Float(value) }
      }
      return block
    }
  }
}
