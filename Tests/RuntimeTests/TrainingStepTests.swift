// SPDX-License-Identifier: Apache-2.0
// Whole training steps by kernels and by the interpreter, with parameters and states carried on.

import IR
import Passes
import Runtime
import TestSupport
import Testing

/// A train function that was compiled, as graph and as plan.
struct CompiledModel {
  let plan: Plan
  /// By function name: the graph just before lowering.
  let graphs: [String: Graph]

  init(_ model: Model, compute: ComputePrecision = .f32) throws {
    Machine.initialise()
    var runner = PassRunner()
    var graphs: [String: Graph] = [:]
    runner.observe = { _, graph in graphs[graph.name] = graph }
    let target = TargetMachine(machine: Machine.name, isa: Machine.isa, compute: compute)
    plan = try compile(model, target: target, runner: &runner)
    self.graphs = graphs
  }

  func loaded(_ name: String, threads: Int = 1) throws -> CompiledFunction {
    try CompiledFunction(try #require(plan[name]), layout: plan.layout, threads: threads)
  }

  /// A small variant of graphs/tiny.graph.
  static func small(
    layers: Int = 3, _ set: [String: String] = [:], windows: Repository.Windows = .short,
    change: (inout Settings) -> Void = { _ in }
  ) throws -> Model {
    var model = try Repository.model(
      "graphs/tiny.graph",
      set: [
        "layers": "\(layers)", "dim": "32", "heads": "2", "kv_heads": "1", "vocab": "67",
        "seq": "17", "batch": "3",
      ].merging(set) { $1 }, windows: windows)
    model.settings.qat = .off
    change(&model.settings)
    return model
  }
}

extension RuntimeTests {
  @Suite struct TrainingStepTests {
    struct Case: CustomStringConvertible, Sendable {
      var description: String
      var alpha = 0.0
      var tolerance = 1e-4
      var change: @Sendable (inout Settings) -> Void

      init(
        _ description: String, alpha: Double = 0, tolerance: Double = 1e-4,
        _ change: @escaping @Sendable (inout Settings) -> Void
      ) {
        self.description = description
        self.alpha = alpha
        self.tolerance = tolerance
        self.change = change
      }
    }

    static func optimizers(_ rule: OptimizerRule) -> [OptimizerEntry] {
      if rule.op == .muonUpdate {
        return [
          OptimizerEntry(target: .default, rule: adamw),
          OptimizerEntry(target: .group("matrix"), rule: rule),
        ]
      }
      return [OptimizerEntry(target: .default, rule: rule)]
    }

    static let adamw = OptimizerRule.adamw(lr: 0.01, epsilon: 1e-6, decay: 0.01)
    static let sgd = OptimizerRule.sgd(lr: 0.02, momentum: 0.9, decay: 0.01)
    static let muon = OptimizerRule.muon(lr: 0.02)
    static let polar = OptimizerRule.muon(
      lr: 0.02, iteration: "polar_express", normalisesRows: true, decay: 0.01)

    static let cases: [Case] = [
      // AdamW divides by the size of a gradient: the rounding of a tiny one becomes a step like others.
      Case("AdamW", tolerance: 3e-4) { $0.train?.optimizers = optimizers(adamw) },
      Case("SGD with clip") {
        $0.train?.optimizers = optimizers(sgd)
        $0.train?.clip = 0.1
      },
      Case("Muon") { $0.train?.optimizers = optimizers(muon) },
      Case("Polar Express with decay") { $0.train?.optimizers = optimizers(polar) },
      Case("averages") {
        $0.train?.optimizers = optimizers(sgd)
        $0.train?.average = .ema(0.75)
      },
      Case("z-loss") {
        $0.train?.optimizers = optimizers(sgd)
        $0.train?.zLoss = 0.01
      },
      Case("straight-through QAT that is off") {
        $0.train?.optimizers = optimizers(sgd)
        $0.qat = .on(.straightThrough, from: .start)
      },
      Case("straight-through QAT", alpha: 1) {
        $0.train?.optimizers = optimizers(sgd)
        $0.qat = .on(.straightThrough, from: .start)
      },
      Case("soft rounds that are off") {
        $0.train?.optimizers = optimizers(sgd)
        $0.qat = .on(.softRound(form: .a, from: 1, to: 8), from: .start)
      },
      Case("soft rounds", alpha: 4) {
        $0.train?.optimizers = optimizers(sgd)
        $0.qat = .on(.softRound(form: .a, from: 1, to: 8), from: .start)
      },
      Case("logistic soft rounds", alpha: 2) {
        $0.train?.optimizers = optimizers(sgd)
        $0.qat = .on(.softRound(form: .b, from: 1, to: 8), from: .start)
      },
    ]

    private static func inputs(_ graph: Graph, step: Int, _ test: Case) -> [String: Interpreter
      .Content]
    {
      var scalars = ["learning_rate": 0.75, "step": Double(step), "qat.alpha": test.alpha]
      for input in graph.inputs {
        if graph.name(input).hasPrefix("momentum") { scalars[graph.name(input)] = 0.875 }
        if graph.name(input).hasPrefix("taper") { scalars[graph.name(input)] = 0.5 }
      }
      return graph.randomInputs(seed: UInt64(step), vocab: 67, scalars: scalars)
    }

    @Test(arguments: cases)
    func threeStepsEqualTheInterpreters(_ test: Case) throws {
      let compiled = try CompiledModel(CompiledModel.small(change: test.change))
      let graph = try #require(compiled.graphs["train"])
      let function = try compiled.loaded("train")
      var contents = graph.randomContents(seed: 1)
      function.contents = contents
      for step in 1...3 {
        let inputs = Self.inputs(graph, step: step, test)
        let expected = try Interpreter(graph).run(parameters: contents, inputs: inputs)
        let outputs = function.run(inputs)
        contents.merge(expected.writes) { $1 }
        for name in ["loss", "nll", "grad_norm"] {
          let difference = relativeDifference(outputs[name] ?? [], expected.reals(of: name))
          #expect(difference < test.tolerance, "\(name) of step \(step)")
        }
      }
      let found = function.contents
      for (path, values) in contents {
        #expect(relativeDifference(found[path] ?? [], values) < test.tolerance, "@\(path)")
      }
    }

    @Test(arguments: cases.filter { ["Muon", "averages", "soft rounds"].contains($0.description) })
    func stepsHaveTheSameBitsForAnyNumberOfThreads(_ test: Case) throws {
      let compiled = try CompiledModel(CompiledModel.small(change: test.change))
      let graph = try #require(compiled.graphs["train"])
      var first: [[String: [Double]]]?
      for threads in 1...3 {
        let function = try compiled.loaded("train", threads: threads)
        function.contents = graph.randomContents(seed: 1)
        var results: [[String: [Double]]] = []
        for step in 1...2 { results.append(function.run(Self.inputs(graph, step: step, test))) }
        results.append(function.contents)
        if let first { #expect(results == first, "\(threads) threads") }
        first = first ?? results
      }
    }

    @Test func gradientAndUpdateFunctionsMakeAWholeStep() throws {
      let change: (inout Settings) -> Void = {
        $0.train?.optimizers = Self.optimizers(Self.muon)
        $0.train?.clip = 0.5
        $0.train?.average = .ema(0.75)
      }
      let whole = try CompiledModel(CompiledModel.small(change: change))
      let parts = try CompiledModel(CompiledModel.small(["accumulate": "2"], change: change))
      let graph = try #require(whole.graphs["train"])
      let (train, gradient, update) = (
        try whole.loaded("train"), try parts.loaded("gradient"), try parts.loaded("update")
      )
      let start = graph.randomContents(seed: 1)
      for function in [train, gradient, update] { function.contents = start }
      let test = Self.cases[0]
      for step in 1...2 {
        let inputs = Self.inputs(graph, step: step, test)
        train.run(inputs)
        let own = inputs.filter { gradient.executable.hasInput($0.key) }
        var updateInputs = inputs.filter { update.executable.hasInput($0.key) }
        for (name, values) in gradient.run(own) where name.hasPrefix("grad.") {
          updateInputs[name] = .reals(values)
        }
        update.run(updateInputs)
        gradient.contents = update.contents
      }
      let (found, expected) = (update.contents, train.contents)
      for (path, values) in expected {
        #expect(relativeDifference(found[path] ?? [], values) < 1e-5, "@\(path)")
      }
    }

    @Test func changedParametersTakeEffectWhenPrepared() throws {
      let compiled = try CompiledModel(CompiledModel.small())
      let name = try #require(
        compiled.plan.functions.map(\.name).first { $0.hasPrefix("score.w17") })
      let graph = try #require(compiled.graphs[name])
      #expect(compiled.plan[name]?.prepare.isEmpty == false)
      #expect(compiled.plan[name]?.setup.isEmpty == false)
      let inputs = graph.randomInputs(seed: 3, vocab: 67)
      let (changed, fresh) = (try compiled.loaded(name), try compiled.loaded(name))
      changed.contents = graph.randomContents(seed: 1)
      let before = changed.run(inputs)
      changed.contents = graph.randomContents(seed: 2)
      fresh.contents = graph.randomContents(seed: 2)
      let after = changed.run(inputs)
      #expect(after == fresh.run(inputs))
      #expect(after != before)
    }
  }
}
