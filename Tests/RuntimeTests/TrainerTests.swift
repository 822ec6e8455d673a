// SPDX-License-Identifier: Apache-2.0
// Steps of the trainer against the interpreter, and what they are for.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct TrainerTests {
    @Test func trainingLowersTheLoss() throws {
      let folder = try TemporaryFolder()
      var losses: [Double] = []
      let result = try SmallRun.run(folder, "run", steps: 60) { event in
        if case .step(let report, _) = event { losses.append(report.loss) }
      }
      #expect(losses.count == 60)
      #expect(losses.last! < losses.first! - 1)
      #expect(result.scores.first(.quantized, strided: false)!.nllPerToken < losses.first! - 1)
      #expect(result.live.contains { $0.feature == "warmdown" && $0.firstStep != nil })
    }

    /// Averages and sums of micro-batches against the interpreter, through the trainer.
    @Test(arguments: ["1", "2"])
    func trainerStepsEqualTheInterpreters(_ accumulate: String) throws {
      var model = try SmallRun.model(["accumulate": accumulate])
      model.settings.train?.average = .ema(0.5)
      model.settings.train?.clip = 0.5
      model.settings.train?.order = .stream
      model.settings.qat = .off
      let compiled = try CompiledModel(model)
      let stream = try SmallCorpus.shared.get().data.train()
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
        case _ where name.hasPrefix("taper"): inputs[name] = .reals([1])
        default:
          let ramp = Ramp(from: 0.85, to: 0.95, over: .steps(300))
          inputs[name] = .reals([ramp.value(after: step - 1, fraction: settings.fraction)])
        }
      }
      return inputs
    }
  }
}
