// SPDX-License-Identifier: Apache-2.0
// The models of graphs/: counts, names, core text, settings, overrides, variants.

import IR
import Language
import TestSupport
import Testing

@Suite struct ModelTests {
  static let models = Repository.files(in: "graphs").filter { !$0.contains("/lib/") }

  @Test func baselineHasThePublishedParameterCount() throws {
    let model = try Repository.model("graphs/baseline.graph")
    #expect(model.scored.graph.parameterCount == 17_059_912)
    #expect(model.settings.train?.rows == 8)
    #expect(model.settings.train?.accumulate == 64)
  }

  @Test(arguments: models)
  func modelsCompileWithoutWarnings(path: String) throws {
    let model = try Repository.model(path)
    #expect(model.warnings.isEmpty)
    #expect(model.scored.graph.violations().isEmpty)
    #expect(model.scored.graph.forwardErrors(at: nil).isEmpty)
  }

  @Test(arguments: models)
  func coreTextReadsBackByteForByte(path: String) throws {
    let model = try Repository.model(path)
    let text = model.printed()
    let again = try Model.parse(path: "core", text: text)
    #expect(again.printed() == text)
    #expect(again.settings == model.settings)
    #expect(
      again.variants.map(\.graph.parameterCount) == model.variants.map(\.graph.parameterCount))
    let source = SourceFile(path: "core", text: text)
    #expect(try elaborate(file: source, includes: { $0 }).printed() == text)
  }

  @Test func pathsAreStateDictNames() throws {
    let sizes = ["layers": "4", "dim": "64", "heads": "4", "kv_heads": "2", "vocab": "128"]
    let model = try Repository.model("graphs/baseline.graph", set: sizes)
    // The file states the published count; with other sizes it is another model.
    #expect(model.scored.graph.parameterCount == 124_048)
    let block =
      ["attn_scale", "mlp_scale", "resid_mix"]
      + ["attn.c_q", "attn.c_k", "attn.c_v", "attn.q_gain", "attn.proj", "mlp.fc", "mlp.proj"]
    var names: Set<String> = ["tok_emb", "skip_weights"]
    for layer in 0..<4 { for name in block { names.insert("blocks.\(layer).\(name)") } }
    #expect(Set(model.scored.graph.parameters.map(\.path)) == names)
  }

  @Test func valuesAreNamedByPathAndLocalName() throws {
    let graph = try Repository.model("graphs/tiny.graph").scored.graph
    let names = Set(graph.nodes.flatMap(\.results).map(graph.name))
    #expect(names.contains("blocks.0.mlp.f"))
    #expect(names.contains("blocks.3.attn.y"))
    #expect(names.contains("softmax"))
  }

  @Test func locationsShowTheChainOfCalls() throws {
    let graph = try Repository.model("graphs/tiny.graph").scored.graph
    let node = try #require(graph.nodes.first { graph.name($0.result) == "blocks.3.mlp.f" })
    let place = try #require(SourceLocation(node.location))
    #expect(place.path == "graphs/lib/blocks.graph")
    #expect(place.callers.count == 2)
    #expect(place.callers[1].loops == [LoopValue(name: "i", value: "3")])
    #expect(place.description == node.location)
  }

  @Test func overridesReachDerivedConsts() throws {
    let text = """
      model m
      const a = 4, b = 2 * a, c = [b, a // 3]
      \(Self.smallest("b", extra: "read c[1] rows of a"))
      """
    #expect(throws: Diagnostics.self) { try Repository.model(text: text) }
    let plain = text.replacingOccurrences(of: "read c[1] rows of a", with: "read rows rows of a")
      .replacingOccurrences(of: "c = [b, a // 3]", with: "c = [b, a // 3], rows = c[-1]")
    let model = try Repository.model(text: plain, set: ["a": "9"])
    #expect(model.settings.train?.rows == 3)
    #expect(model.scored.graph.parameters[0].type == .tensor([18, 2]))
    #expect(
      model.constants.map(\.origin.text) == [
        "--set", "graphs/test.graph:2", "graphs/test.graph:2", "graphs/test.graph:2",
      ])
  }

  @Test func unknownOverridesAreSuggested() throws {
    let text = "model m\nconst width = 4\n" + Self.smallest("width", extra: "read 1 rows of 2")
    do {
      _ = try Repository.model(text: text, set: ["widht": "3"])
      Issue.record("accepted")
    } catch let error as Diagnostics {
      #expect(error.all.map(\.code.rawValue) == ["E0216"])
      #expect(error.all[0].suggestion == "did you mean 'width'?")
    }
  }

  @Test func aPartNamedLikeAnOpWarns() throws {
    let text = """
      model m
      param e [3, 2]  init normal(1)  group embedding
      part square = Twice()
      block Twice(x) { return x + x }
      forward(ids: tokens[B, T]) -> dist[B, T, 3] {
        return softmax(linear(square(embed(e, ids)), e))
      }
      """
    let model = try Repository.model(text: text)
    #expect(model.warnings.map(\.code.rawValue) == ["W0101"])
    #expect(!model.scored.graph.nodes.contains { $0.op == .square })
  }

  @Test func variantsReplaceConstsAndShareParams() throws {
    let text = """
      model m
      const order = 0 ..< 2
      variant looped from 0.5 of training {
        warmup 4 steps
        order = [0, 1, 0]  # at last
        length = 2
        copy "layers.0.*" to "layers.1.*"
      }
      const length = 4, batch = 4 // length
      param e [3, 2]  init normal(1)  group embedding
      part layers[i in 0 ..< 2] = Layer()
      block Layer(x) {
        param w [2, 2]
        return x + linear(x, w)
      }
      forward(ids: tokens[B, T]) -> dist[B, T, 3] {
        x = embed(e, ids)
        for i in order { x = layers[i](x) }
        return softmax(linear(x, e))
      }
      train {
        read batch rows of length
        stop at 10 steps
        optimizer default sgd(lr: 0.1)
      }
      evaluate { float window length on float }
      """
    let model = try Repository.model(text: text)
    #expect(model.variants.map(\.name) == ["", "looped"])
    #expect(model.variants[1].sizes == TokenSizes(rows: 2, seq: 2))
    // What follows training is read with the consts of the last variant.
    #expect(model.settings.train?.seq == 4 && model.settings.evaluate.map(\.window) == [2])
    #expect(model.variants[1].start == .training(0.5))
    #expect(model.variants[0].graph.parameters == model.variants[1].graph.parameters)
    let names = model.variants[1].graph.nodes.map { model.variants[1].graph.name($0.result) }
    #expect(names.contains("layers.0'2.linear"))
    #expect(model.variants[1].graph.nodes.count == model.variants[0].graph.nodes.count + 2)
    let printed = model.printed()
    #expect(try Model.parse(path: "core", text: printed).printed() == printed)
  }

  /// A forward over an embedding of some width, with a `train` section.
  static func smallest(_ rows: String, extra: String) -> String {
    """
    param e [\(rows), 2]  init normal(1)  group embedding
    forward(ids: tokens[B, T]) -> dist[B, T, \(rows)] {
      return softmax(linear(embed(e, ids), e))
    }
    train {
      \(extra)
      stop at 10 steps
      optimizer embedding sgd(lr: 0.1)
    }
    """
  }
}
