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

    /// Averages, sums of micro-batches and rounding whose alpha moves, against the interpreter, through the
    /// trainer.
    @Test(
      arguments: ["1", "2"],
      [
        QATSettings.off, .on(.straightThrough, from: .start),
        .on(.softRound(form: .a, from: 1, to: 8), from: .start),
      ])
    func trainerStepsEqualTheInterpreters(_ accumulate: String, _ qat: QATSettings) throws {
      var model = try SmallRun.model(["accumulate": accumulate])
      model.settings.train?.average = .ema(0.5)
      model.settings.train?.clip = 0.5
      model.settings.train?.order = .stream
      model.settings.qat = qat
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
          inputs.merge(scalars(gradient, step, settings)) { $1 }
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

    /// A model that reads one token alone learns the same from rows of any length, as long as a switch
    /// reads the same tokens.
    @Test(arguments: ["", " shuffled", " coprime"])
    func aSwitchOfTheRowsLeavesNoTokenOut(_ order: String) throws {
      func weights(_ variant: String) throws -> [Float] {
        let model = try Repository.model(
          text: """
            model m
            const seq = 8, batch = 8
            \(variant)
            param e [288, 8]  init normal(1)  group embedding
            param h [288, 8]
            forward(ids: tokens[B, T]) -> dist[B, T, 288] { return softmax(linear(embed(e, ids), h)) }
            train {
              read batch rows of seq\(order)
              stop at 8 steps
              optimizer embedding sgd(lr: 1)
              optimizer matrix sgd(lr: 1)
            }
            """)
        let trainer = try Trainer(
          try CompiledModel(model).plan, data: try SmallCorpus.shared.get().data.train(),
          length: TrainingLength(steps: 8, seconds: nil), seed: 3, threads: 1, clock: { 0 })
        for _ in 0..<8 { _ = try trainer.step() }
        return trainer.parameters.floats("h")
      }
      let rows32 = "variant long from 0.5 of training { seq = 32; batch = 2 }"
      let rows16 = "variant middle from 0.25 of training { seq = 16; batch = 4 }"
      let reference = try weights("variant none from 0.5 of training { seq = 32; batch = 2 }")
      #expect(try weights(rows16 + "\n" + rows32) == reference)
      if order.isEmpty { #expect(try weights("") == reference) }
    }

    /// The second variant shifts what was learnt from `a` to `b` and from `b` to `c`: values, moments and
    /// averages.
    @Test func aVariantTakesOverParams() throws {
      func trainer(_ copy: String) throws -> Trainer {
        let model = try Repository.model(
          text: """
            model m
            const late = false
            variant second from step 2 {
              late = true
              \(copy)
            }
            param e [288, 8]  init normal(1)  group embedding
            param w[i in 0 ..< 3] [8, 8]
            forward(ids: tokens[B, T]) -> dist[B, T, 288] {
              x = embed(e, ids)
              if late { x = linear(linear(x, w[1]), w[2]) } else { x = linear(linear(x, w[0]), w[1]) }
              return softmax(linear(x, e))
            }
            train {
              read 2 rows of 16
              stop at 4 steps
              optimizer embedding sgd(lr: 1e-9)
              optimizer matrix adamw(lr: 0.1)
              average ema(0.5)
            }
            """)
        return try Trainer(
          try CompiledModel(model).plan, data: try SmallCorpus.shared.get().data.train(),
          length: TrainingLength(steps: 4, seconds: nil), seed: 3, threads: 1, clock: { 0 })
      }
      let shifted = try trainer("copy \"w.{0,1}\" to \"w.{1,2}\"")
      let kept = try trainer("warmup 2 steps")
      for step in 1...2 { #expect(try shifted.step().loss == kept.step().loss, "step \(step)") }
      let before = kept.savedTensors().values.reduce(into: [:]) { $0.merge($1) { $1 } }
      let loss = try shifted.step().loss
      let third = try kept.step().loss
      #expect(loss != third)
      let after = shifted.savedTensors().values.reduce(into: [:]) { $0.merge($1) { $1 } }
      // The average moves half of the way from its old value, which was that of w.0.
      for (source, target) in [("w.0", "w.1"), ("w.1", "w.2")] {
        let old = try #require(before["ema." + source]).floats()
        let new = try #require(after["ema." + target]).floats()
        let weight = try #require(after[target]).floats()
        let expected = zip(old, weight).map { Double($0) * 0.5 + Double($1) * 0.5 }
        #expect(relativeDifference(new.map(Double.init), expected) < 1e-5)
        let moment = try #require(before["adamw.m." + source]).doubles()
        let moved = try #require(after["adamw.m." + target]).doubles()
        #expect(moment != moved)
        #expect(relativeDifference(moved, moment) < 1)
      }
    }

    /// What does not change between micro-batches is not done again in each of them.
    @Test(arguments: ["straight", "soft"])
    func weightsAreQuantisedAndPackedOnceAStep(_ form: String) throws {
      var model = try SmallRun.model(["accumulate": "2"])
      model.settings.qat = .on(
        form == "soft" ? .softRound(form: .a, from: 1, to: 8) : .straightThrough, from: .start)
      let plan = try CompiledModel(model).plan
      let gradient = try #require(plan["gradient"])
      func count(_ kernel: String, _ calls: [KernelCall]) -> Int {
        calls.count { $0.kernel.name == kernel }
      }
      let quantised = count("fake_quant", gradient.prepare)
      #expect(quantised > 0 && count("quant_scale", gradient.prepare) == quantised)
      #expect(count("fake_quant", gradient.body) == 0 && count("quant_scale", gradient.body) == 0)
      #expect(count("pack", gradient.prepare) > 0 && count("pack", gradient.body) == 0)
      let slopes = count("fake_quant_backward", gradient.body)
      #expect(slopes == (form == "soft" ? quantised : 0))
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
