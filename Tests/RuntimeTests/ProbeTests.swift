// SPDX-License-Identifier: Apache-2.0
// Probes and sums: they hold for honest scorers and find leaks and gains that are planted.

import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ProbeTests {
    /// An embedding and a head, scored in plain and in overlapping windows, with adaptation.
    private static let twoLayers = """
      model two_layers

      const vocab = 288, dim = 16, seq = 32

      param tok_emb [vocab, dim]  init normal(0.5)  group embedding
      param head [vocab, dim]  init normal(0.5)

      forward(ids: tokens[B, T]) -> dist[B, T, vocab] {
        x = rms_norm(embed(tok_emb, ids))
        return softmax(linear(x, head))
      }

      evaluate {
        plain window seq
        sliding window seq stride 8
      }

      ttt score_first {
        chunk 64 tokens
        window seq
        stride 8
        epochs 1
        batch 2 rows
        optimizer default sgd(lr: 0.1)
      }

      """

    private static func small() throws -> Model {
      try SmallRun.model(["vocab": "288"])
    }

    /// Scorers of random weights. `change` rewrites the text of a scoring function.
    private static func recomputation(
      _ model: Model, targets: Int = 700, adapts: Bool = false,
      changing change: ((String) -> String)? = nil
    ) throws -> Recomputation {
      Machine.initialise()
      var runner = PassRunner()
      var unfused: [String: Graph] = [:]
      runner.observe = { pass, graph in
        if pass == "choose-compute-precision" { unfused[graph.name] = graph }
      }
      let plan = try compile(
        model, target: TargetMachine(machine: Machine.name, isa: Machine.isa), runner: &runner)
      let parameters = try ParameterBlock(layout: plan.layout)
      for (path, values) in model.graph.randomContents(seed: 3) {
        for (index, value) in values.enumerated() { parameters[path]?[index] = Float(value) }
      }
      var functions = plan.functions
      if let change {
        for (index, function) in functions.enumerated() where function.name.hasPrefix("score") {
          let text = change(try #require(unfused[function.name]).printed())
          var parser = CoreParser(path: "leak", text: text)
          let passes = [.eliminateDeadNodes] + Pipeline.fuse
          let graph = try runner.run(passes, on: parser.function())
          functions[index] = try lower(graph, layout: plan.layout)
        }
      }
      return Recomputation(
        functions: functions, settings: model.settings,
        stream: try ValidationStream(SmallCorpus.shared.get().data, limit: targets),
        parameters: parameters,
        adapts: adapts, threads: 2)
    }

    /// Adds the hidden values of the last row to those of the first, or those of the last position.
    private static func leaking(_ axis: Int) -> (String) -> String {
      { text in
        guard let product = text.firstMatch(of: /linear\((%[a-z._]+), @head\)/),
          let type = text.firstMatch(of: /cross_entropy\(.*f32\[([0-9]+), ([0-9]+)\]/),
          let rows = Int(type.1), let columns = Int(type.2)
        else { return text }
        let hidden = String(product.1)
        let sizes = axis == 0 ? "1, \(columns), 16" : "\(rows), 1, 16"
        let start = (axis == 0 ? rows : columns) - 1
        let line = text[..<product.range.lowerBound].lastIndex(of: "\n")!
        return text[...line]
          + "%secret = slice(\(hidden)) {axis=\(axis), count=1, squeeze=false, start=\(start)} : "
          + "f32[\(sizes)]\n"
          + "%moved = unslice(%secret) {axis=\(axis), shape=[\(rows), \(columns), 16], "
          + "start=0} : f32[\(rows), \(columns), 16]\n"
          + "%leaky = add(\(hidden), %moved) : f32[\(rows), \(columns), 16]\n"
          + text[text.index(after: line)...].replacing("linear(\(hidden),", with: "linear(%leaky,")
      }
    }

    @Test func honestScorersAndAdaptationKeepTheirBits() throws {
      let recomputation = try Self.recomputation(Self.small(), targets: 1500, adapts: true)
      let report = try recomputation.probe(places: 20)
      #expect(report.leak == nil, "\(report.leak?.description ?? "")")
      #expect(report.places.map(\.name) == ["float, quantized", "float_sliding, sliding", "ttt"])
      #expect(report.places.allSatisfy { $0.count == 20 })
    }

    @Test(arguments: [0, 1])
    func aPlantedLeakIsFoundAndNamed(_ axis: Int) throws {
      let model = try Repository.model(text: Self.twoLayers)
      #expect(try Self.recomputation(model).probe(places: 10).leak == nil)
      let recomputation = try Self.recomputation(model, changing: Self.leaking(axis))
      let leak = try #require(try recomputation.probe(places: 10).leak)
      #expect(leak.cause == (axis == 0 ? .otherRows : .laterTokens))
      #expect(leak.name == "plain")
      #expect(leak.target <= leak.place)
      #expect(leak.window == leak.target / 32 * 32)
      #expect(axis == 0 ? leak.row == 0 : leak.window == leak.target)
      #expect(leak.description.contains("target \(leak.target) depends on"))
    }

    @Test func aLeakInOverlappingWindowsAloneIsFound() throws {
      let model = try Repository.model(text: Self.twoLayers)
      let recomputation = try Self.recomputation(
        model, changing: { $0.contains("score.w32.b128.s8\n") ? Self.leaking(1)($0) : $0 })
      let report = try recomputation.probe(places: 10)
      #expect(report.places.map(\.name) == ["plain", "sliding"])
      #expect(report.leak?.name == "sliding")
    }

    @Test func adaptingFirstIsFound() throws {
      var model = try Repository.model(text: Self.twoLayers)
      model.settings.ttt?.mode = .adaptFirst
      let leak = try #require(try Self.recomputation(model, adapts: true).probe(places: 5).leak)
      #expect(leak.name == "ttt")
      #expect(leak.cause == .laterChunks)
    }

    @Test func anUpdateThatReadsTheNextChunkIsFound() throws {
      let model = try Repository.model(text: Self.twoLayers)
      let recomputation = try Self.recomputation(model, adapts: true)
      let places = recomputation.places(5, below: 700, for: "test")
      let settings = try #require(model.settings.ttt)
      let honest = settings.steps(targets: 700)
      #expect(try recomputation.leakWhileAdapting(places, settings, honest) == nil)
      let ahead = honest.map { step -> AdaptationStep in
        guard case .learn(let chunk, let targets, let rate, let epochs) = step else { return step }
        let next = targets.upperBound..<min(targets.upperBound + settings.chunk, 700)
        return .learn(chunk: chunk, targets: next, rate: rate, epochs: epochs)
      }
      let leak = try recomputation.leakWhileAdapting(places, settings, ahead)
      #expect(leak?.cause == .laterChunks)
      #expect(leak?.place == 64)
    }

    @Test func probabilitiesAddUpToOne() throws {
      let recomputation = try Self.recomputation(Self.small(), targets: 1500, adapts: true)
      let report = try recomputation.sums(places: 20)
      #expect(report.isNormalised, "\(report)")
      #expect(report.error > 0)
      #expect(report.places.map(\.name) == ["float, quantized", "float_sliding, sliding", "ttt"])
      #expect(report.places.allSatisfy { $0.count >= 20 })
    }

    @Test(arguments: ["0.5", "0.9999"])
    func aScorerThatIsNotNormalisedIsFound(_ factor: String) throws {
      let model = try Repository.model(text: Self.twoLayers)
      let recomputation = try Self.recomputation(model) { text in
        let type = text.firstMatch(of: /cross_entropy\(.* (f32\[[0-9]+, [0-9]+\]),/)!.1
        return text.replacing(
          "return nll = %nll",
          with: "%gain = scale(%nll) {by=\(factor)} : \(type)\nreturn nll = %gain")
      }
      let report = try recomputation.sums(places: 10)
      #expect(!report.isNormalised)
      #expect(report.worst?.name == "plain" || report.worst?.name == "sliding")
    }

    @Test func placesHoldTheBordersThatMatter() throws {
      let recomputation = try Self.recomputation(
        Repository.model(text: Self.twoLayers), targets: 2000, adapts: true)
      let places = recomputation.places(40, below: 2000, for: "test")
      #expect(places.count == 40)
      #expect(Set(places).count == 40)
      #expect(places == recomputation.places(40, below: 2000, for: "test"))
      #expect(places.first == 0)
      #expect(places.last == 1999)
      #expect(places.contains { $0 % 64 == 63 } && places.contains { $0 % 64 == 0 && $0 > 0 })
      let boundary = recomputation.stream.table.boundary
      #expect(places.contains { $0 > 0 && boundary[Int(recomputation.stream.tokens[$0])] })
      #expect(recomputation.places(1, below: 5, for: "test") == [0])
      #expect(recomputation.places(9, below: 5, for: "test") == [0, 1, 2, 3, 4])
    }
  }
}
