// SPDX-License-Identifier: Apache-2.0
// Plans whose products and attention compute in bf16: whole functions against the interpreter in
// Float64, and the same bits for any threads and any place in a batch.

import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  /// A bf16 number has 8 bits: an operand of a product is off by up to 2^-9 of its size. That is noise:
  /// a sum averages it out, and every layer adds some. Tolerances are two to four times the largest
  /// error seen; it was the same for all instruction sets to three digits.
  @Suite struct ChooseComputePrecisionTests {
    struct Shape: CustomStringConvertible, Sendable {
      var description: String
      var vocab: Int
      var set: [String: String]
      var windows: Repository.Windows
    }

    static let shapes = [
      Shape(description: "even widths", vocab: 67, set: [:], windows: .short),
      Shape(
        description: "odd widths", vocab: 71,
        set: [
          "dim": "42", "heads": "3", "hidden": "53", "vocab": "71", "seq": "35", "batch": "3",
        ], windows: Repository.Windows(stride: 5, chunk: 105)),
      Shape(
        description: "several tiles", vocab: 515,
        set: [
          "layers": "2", "dim": "90", "heads": "5", "hidden": "131", "vocab": "515", "seq": "65",
          "batch": "5",
        ], windows: Repository.Windows(stride: 13, chunk: 195)),
    ]

    struct Quantised: CustomStringConvertible, Sendable {
      var description: String
      var qat: QATSettings = .off
      var alpha = 0.0
    }

    static let quantised = [
      Quantised(description: "full precision"),
      Quantised(
        description: "straight-through QAT", qat: .on(.straightThrough, from: .start), alpha: 1),
      Quantised(
        description: "soft rounds", qat: .on(.softRound(form: .a, from: 1, to: 8), from: .start),
        alpha: 4),
    ]

    private static func compiled(
      _ shape: Shape, _ set: [String: String] = [:], compute: ComputePrecision = .bf16,
      change: (inout Settings) -> Void = { _ in }
    ) throws -> CompiledModel {
      let model = try CompiledModel.small(
        shape.set.merging(set) { $1 }, windows: shape.windows
      ) { settings in
        for index in settings.evaluate.indices { settings.evaluate[index].batch = 3 }
        settings.train?.optimizers = TrainingStepTests.optimizers(TrainingStepTests.sgd)
        change(&settings)
      }
      return try CompiledModel(model, compute: compute)
    }

    private static func inputs(
      _ graph: Graph, _ shape: Shape, seed: UInt64 = 1, alpha: Double = 0
    ) -> [String: Interpreter.Content] {
      var scalars = ["learning_rate": 0.75, "step": Double(seed), "qat.alpha": alpha]
      for input in graph.inputs {
        if graph.name(input).hasPrefix("momentum") { scalars[graph.name(input)] = 0.875 }
        if graph.name(input).hasPrefix("taper") { scalars[graph.name(input)] = 0.5 }
      }
      return graph.randomInputs(seed: seed, vocab: shape.vocab, scalars: scalars)
    }

    @Test(arguments: shapes, quantised)
    func gradientsPointWhereTheInterpretersDo(_ shape: Shape, _ quantised: Quantised) throws {
      let compiled = try Self.compiled(shape, ["accumulate": "2"]) { $0.qat = quantised.qat }
      let graph = try #require(compiled.graphs["gradient"])
      let inputs = Self.inputs(graph, shape, alpha: quantised.alpha)
      let contents = graph.randomContents(seed: 1)
      let expected = try Interpreter(graph).run(parameters: contents, inputs: inputs)
      try Route.withEach { route in
        let function = try compiled.loaded("gradient")
        function.contents = contents
        let found = function.run(inputs)
        Self.expectEqualLosses(found, expected, "\(route)")
        for name in found.keys where name.hasPrefix("grad.") {
          let values = expected.reals(of: name)
          Self.expectAligned(
            found[name] ?? [], values, Tolerance(count: values.count), "\(name), \(route)")
        }
      }
    }

    @Test(
      arguments: shapes, [TrainingStepTests.sgd, TrainingStepTests.adamw, TrainingStepTests.muon])
    func trainingStepsMoveParametersAsTheInterpreters(_ shape: Shape, _ rule: OptimizerRule) throws
    {
      let compiled = try Self.compiled(shape) {
        $0.train?.optimizers = TrainingStepTests.optimizers(rule)
        $0.train?.clip = 0.5
      }
      try Self.expectEqualStep(compiled, "train", shape)
    }

    @Test(arguments: shapes)
    func adaptationStepsMoveParametersAsTheInterpreters(_ shape: Shape) throws {
      let compiled = try Self.compiled(shape) {
        $0.ttt?.optimizers = TrainingStepTests.optimizers(TrainingStepTests.sgd)
      }
      try Self.expectEqualStep(compiled, FunctionName.adapt, shape)
    }

    @Test(arguments: shapes)
    func scoresEqualTheInterpreters(_ shape: Shape) throws {
      let compiled = try Self.compiled(shape)
      let names = compiled.plan.functions.map(\.name).filter { $0.contains(".b3") }
      // Plain windows, and sliding ones whose last layer computes the scored positions only.
      #expect(names.count == 2)
      for name in names {
        let graph = try #require(compiled.graphs[name])
        let inputs = Self.inputs(graph, shape)
        let contents = graph.randomContents(seed: 1)
        let expected = try Interpreter(graph).run(parameters: contents, inputs: inputs)
        try Route.withEach { route in
          let function = try compiled.loaded(name)
          function.contents = contents
          Self.expectEqualLosses(function.run(inputs), expected, "\(name), \(route)")
        }
      }
    }

    @Test(arguments: shapes)
    func everyFunctionHasTheSameBitsForAnyThreadsAndInEveryRun(_ shape: Shape) throws {
      let compiled = try Self.compiled(shape) {
        $0.qat = .on(.straightThrough, from: .start)
        $0.train?.optimizers = TrainingStepTests.optimizers(TrainingStepTests.muon)
      }
      for plan in compiled.plan.functions {
        let graph = try #require(compiled.graphs[plan.name])
        let contents = graph.randomContents(seed: 1)
        var first: [[String: [Double]]]?
        for threads in [1, 2, 3, 3] {
          let function = try compiled.loaded(plan.name, threads: threads)
          var results: [[String: [Double]]] = []
          for _ in 1...2 {
            function.contents = contents
            for seed: UInt64 in 1...2 {
              results.append(function.run(Self.inputs(graph, shape, seed: seed, alpha: 1)))
            }
            results.append(function.contents)
          }
          #expect(Array(results[..<3]) == Array(results[3...]), "\(plan.name) run twice")
          if let first { #expect(results == first, "\(plan.name), \(threads) threads") }
          first = first ?? results
        }
      }
    }

    /// Rows of a batch are windows: turned by one place they keep their bits.
    @Test(arguments: shapes, [ComputePrecision.f32, .bf16])
    func scoresDoNotDependOnTheirPlaceInABatch(_ shape: Shape, _ compute: ComputePrecision) throws {
      let compiled = try Self.compiled(shape, compute: compute)
      for plan in compiled.plan.functions where plan.name.contains(".b3") {
        let graph = try #require(compiled.graphs[plan.name])
        try Route.withEach { route in
          let function = try compiled.loaded(plan.name)
          function.contents = graph.randomContents(seed: 1)
          var inputs = Self.inputs(graph, shape)
          let nll = try #require(function.run(inputs)["nll"])
          for (name, content) in inputs {
            guard case .ids(let ids) = content else { continue }
            inputs[name] = .ids(Self.turned(ids, by: ids.count / 3))
          }
          let turned = try #require(function.run(inputs)["nll"])
          #expect(turned == Self.turned(nll, by: nll.count / 3), "\(plan.name), \(route)")
        }
      }
    }

    private static func turned<T>(_ values: [T], by count: Int) -> [T] {
      Array(values[count...]) + Array(values[..<count])
    }

    // MARK: Agreement

    private struct Tolerance {
      var cosine = 0.999
      var norm = 0.01

      /// Of a gradient of so many numbers: the fewer, the less their noise averages out.
      init(count: Int) {
        // Seen: matrices 0.9997 and 0.7 %, vectors of the width 0.9998 and 1.2 %.
        if count < 500 { norm = 0.03 }
        // Gains of heads are sums over all positions that nearly cancel. Seen: 0.9985 and 4 %.
        if count < 16 { (cosine, norm) = (0.995, 0.1) }
      }

      /// Of AdamW's first step. It is little more than the sign of the gradient, and bf16 may turn the
      /// sign of a number next to zero. Seen: matrices 0.991, vectors 0.955.
      init(signsOf count: Int) {
        self.init(count: count)
        cosine = count < 500 ? 0.88 : 0.97
      }
    }

    /// The nll of a token is off by the noise of logits of about 10, their mean much less; these means
    /// are over a few hundred tokens at most. Seen: 0.14 nats and 0.1 %.
    private static func expectEqualLosses(
      _ found: [String: [Double]], _ expected: Interpreter.Result, _ what: String
    ) {
      let (nll, exact) = (found["nll"] ?? [], expected.reals(of: "nll"))
      #expect(absoluteDifference(nll, exact) < 0.3, "nll, \(what)")
      let sums = (nll.reduce(0, +), exact.reduce(0, +))
      #expect(abs(sums.0 / sums.1 - 1) < 2e-3, "mean nll, \(what)")
      if let loss = found["loss"] {
        #expect(relativeDifference(loss, expected.reals(of: "loss")) < 2e-3, "loss, \(what)")
      }
    }

    private static func expectAligned(
      _ found: [Double], _ expected: [Double], _ tolerance: Tolerance, _ what: String
    ) {
      func dot(_ a: [Double], _ b: [Double]) -> Double {
        zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
      }
      #expect(found.count == expected.count, "\(what)")
      let norms = (dot(found, found).squareRoot(), dot(expected, expected).squareRoot())
      #expect(dot(found, expected) / (norms.0 * norms.1) > tolerance.cosine, "way of \(what)")
      #expect(abs(norms.0 / norms.1 - 1) < tolerance.norm, "size of \(what)")
    }

    private static func expectEqualStep(
      _ compiled: CompiledModel, _ name: String, _ shape: Shape
    ) throws {
      let graph = try #require(compiled.graphs[name])
      let inputs = inputs(graph, shape)
      let contents = graph.randomContents(seed: 1)
      let expected = try Interpreter(graph).run(parameters: contents, inputs: inputs)
      let function = try compiled.loaded(name)
      function.contents = contents
      let found = function.run(inputs)
      expectEqualLosses(found, expected, name)
      let norm = relativeDifference(found["grad_norm"] ?? [], expected.reals(of: "grad_norm"))
      #expect(norm < 0.01)
      let after = function.contents
      let signed = Set(graph.nodes.filter { $0.op == .adamwUpdate }.map(\.operands[0]))
      for (value, parameter) in zip(graph.parameterValues, graph.parameters) {
        let path = parameter.path
        guard parameter.role == .param, let end = expected.writes[path], let start = contents[path]
        else { continue }
        let change = { (values: [Double]) in zip(values, start).map { $0 - $1 } }
        let isSigned = signed.contains(value)
        expectAligned(
          change(after[path] ?? []), change(end),
          isSigned ? Tolerance(signsOf: start.count) : Tolerance(count: start.count),
          "@\(path) of \(name)")
      }
    }
  }
}
