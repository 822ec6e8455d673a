// SPDX-License-Identifier: Apache-2.0
// The whole baseline against reference values: compiled functions in f32 and the interpreter in f64.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ModelFixtureTests {
    @Test(arguments: ["baseline-even", "baseline-odd"])
    func lossLogitsAndGradientsEqualTheReference(_ name: String) throws {
      let fixture = try ReferenceFixture(name)
      try Self.expectTheReference(of: fixture, try fixture.baseline().graph)
    }

    /// Loss, logits and all gradients of a forward with the fixture's weights: in the interpreter, and
    /// compiled in f32.
    static func expectTheReference(of fixture: ReferenceFixture, _ graph: Graph) throws {
      let sizes = graph.openSizes(["B": fixture.int("batch"), "T": fixture.int("seq")])
      let weights = try ReferenceFixture.contents(fixture.tensors("weights"))
      let expected = try fixture.tensors("expected")
      let ids = try fixture.identifiers("tokens")
      let count = Double(ids.count)
      let inputs: [String: Interpreter.Content] = [
        "ids": .ids(ids), "targets": .ids(try fixture.identifiers("targets")),
        "weights": .reals([Double](repeating: 1 / count, count: ids.count)),
      ]
      var runner = PassRunner()
      let gradient = try runner.run(
        Pipeline.gradient(sizes: sizes) + Pipeline.fuse, on: graph)
      let logits = try runner.run(Pipeline.logits(sizes: sizes) + Pipeline.fuse, on: graph)
      let exact = try Interpreter(gradient).run(parameters: weights, inputs: inputs)
      let exactLogits = try Interpreter(logits).run(
        parameters: weights, inputs: ["ids": .ids(ids)])

      let reference = try expected.mapValues { try $0.doubles() }
      #expect(absoluteDifference(exact.reals(of: "loss"), reference["loss"]!) < 1e-9)
      #expect(absoluteDifference(exact.reals(of: "nll"), reference["nll"]!) < 1e-9)
      // The file holds these in f32.
      #expect(absoluteDifference(exactLogits.reals(of: "logits"), reference["logits"]!) < 2e-6)

      let compiled = try CompiledFunction(gradient)
      compiled.contents = weights
      let found = compiled.run(inputs)
      for name in ["loss", "nll"] {
        #expect(
          absoluteDifference(found[name] ?? [], reference[name]!) < fixture.tolerance(name),
          "\(name)")
      }
      for (name, values) in reference where name.hasPrefix("grad.") {
        let output = "grad." + ReferenceFixture.path(String(name.dropFirst(5)))
        #expect(relativeDifference(exact.reals(of: output), values) < 1e-6, "\(name)")
        #expect(
          relativeDifference(found[output] ?? [], values) < fixture.tolerance("grad"), "\(name)")
      }
      let compiledLogits = try CompiledFunction(logits)
      compiledLogits.contents = weights
      let foundLogits = compiledLogits.run(["ids": .ids(ids)])["logits"] ?? []
      #expect(absoluteDifference(foundLogits, reference["logits"]!) < fixture.tolerance("logits"))
    }

    /// Numbers of Tests/Support/reference.py, which knows nothing of this program.
    @Test func aSmallBaselineEqualsTheOneInNumpy() throws {
      let text = try Repository.text("Tests/Fixtures/baseline-small.json")
      let reference = try JSONValue.parse(text)
      let model = try Repository.model(
        "graphs/tiny.graph",
        set: [
          "vocab": "13", "dim": "12", "layers": "3", "heads": "3", "kv_heads": "1",
          "hidden": "20", "softcap": "9",
        ])
      let sizes = model.graph.openSizes(["B": 2, "T": 7])
      var runner = PassRunner()
      let graph = try runner.run(
        Pipeline.gradient(sizes: sizes) + Pipeline.fuse, on: model.graph)
      var contents: [String: [Double]] = [:]
      for parameter in graph.parameters {
        let isScalar = ["scale", "mix", "gain", "skip_weights"].contains(
          where: parameter.path.hasSuffix)
        contents[parameter.path] = Self.noise(
          parameter.path, parameter.type.count, center: isScalar ? 1 : 0)
      }
      let tokens = try #require(reference["tokens"]?.arrayValue).compactMap { $0.intValue }
      let inputs: [String: Interpreter.Content] = [
        "ids": .ids(tokens.dropLast().map(Int32.init)),
        "targets": .ids(tokens.dropFirst().map(Int32.init)),
        "weights": .reals([Double](repeating: 1.0 / 14, count: 14)),
      ]
      let exact = try Interpreter(graph).run(parameters: contents, inputs: inputs)
      let compiled = try CompiledFunction(graph)
      compiled.contents = contents
      let found = compiled.run(inputs)
      let nll = try #require(reference["nll"]?.arrayValue).compactMap(\.doubleValue)
      #expect(absoluteDifference(exact.reals(of: "nll"), nll) < 1e-12)
      #expect(absoluteDifference(found["nll"] ?? [], nll) < 1e-5)
      let loss = try #require(reference["loss"]?.doubleValue)
      #expect(absoluteDifference(exact.reals(of: "loss"), [loss]) < 1e-12)
      for (path, entries) in try #require(reference["gradients"]?.objectValue) {
        let (all, kernels) = (exact.reals(of: "grad." + path), found["grad." + path] ?? [])
        for entry in entries.arrayValue ?? [] {
          let pair = try #require(entry.arrayValue)
          let (index, slope) = (try #require(pair[0].intValue), try #require(pair[1].doubleValue))
          #expect(abs(all[index] - slope) < 1e-8, "\(path) \(index)")
          #expect(abs(kernels[index] - slope) < 1e-5, "\(path) \(index)")
        }
      }
    }

    /// The formula of reference.py.
    private static func noise(_ name: String, _ count: Int, center: Double) -> [Double] {
      let seed = name.utf8.reduce(UInt32(0)) { $0 &* 31 &+ UInt32($1) }
      return (0..<count).map { index in
        var mixed = UInt32(truncatingIfNeeded: index) &* 2_654_435_761 &+ seed
        mixed = (mixed ^ (mixed >> 15)) &* 2_246_822_519
        return Double(Float(center + Double(mixed) / 4_294_967_296 - 0.5))
      }
    }
  }
}
