// SPDX-License-Identifier: Apache-2.0
// The files of graphs/records: what each must be, whole and under its preset `small`.

import Formats
import IR
import Language
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct RecordTests {
    @Test func everyRowHasAFile() {
      let rows = RecordFiles.records.compactMap { Int($0.split(separator: "/").last!.prefix(2)) }
      #expect(rows == Array(0...48))
    }

    @Test(arguments: RecordFiles.records)
    func aRecordIsAShortFormattedFile(_ path: String) throws {
      let source = try Repository.source(path)
      #expect(source.statementLines <= 80)
      #expect(try formatGraph(source) == source.text)
    }

    /// The preset leaves out nothing: the same kinds of ops and the same features.
    @Test(arguments: RecordFiles.all) func smallHasWhatTheWholeHas(_ path: String) throws {
      let (whole, small) = (
        try Repository.model(path), try Repository.model(path, preset: "small")
      )
      #expect(whole.variants.map(\.name) == small.variants.map(\.name))
      for (a, b) in zip(whole.variants, small.variants) {
        #expect(Set(a.graph.nodes.map(\.op)) == Set(b.graph.nodes.map(\.op)))
      }
      #expect(whole.features.map(\.kind) == small.features.map(\.kind))
    }

    @Test(arguments: RecordFiles.all) func smallFitsALaptop(_ path: String) throws {
      let small = try Repository.model(path, preset: "small")
      func numbers(_ name: String) -> [Int] {
        switch small.constants.first(where: { $0.name == name })?.value {
        case .list(let entries)?: entries.compactMap(\.whole)
        case let value?: [value.whole].compactMap { $0 }
        case nil: []
        }
      }
      let dim = try #require(numbers("dim").first)
      #expect((64...128).contains(dim))
      #expect(try #require(numbers("layers").first) >= 4)
      let shape = small.graph.type(small.graph.outputs[0].value).shape
      #expect((shape.last?.number ?? .max) <= 1024)
      let train = try #require(small.settings.train)
      #expect(train.rows * train.seq * train.accumulate <= 8192)
      let pieces = numbers("piece") + numbers("pieces")
      #expect(pieces.allSatisfy { $0 <= 512 })
      // Documents that nothing cuts would be a preset that leaves out the cuts.
      let hasDocuments = small.graph.nodes.contains { $0.op == .documents }
      #expect(pieces.isEmpty == !hasDocuments)
      #expect(pieces.allSatisfy { $0 < train.seq })
    }

    /// Compiling refuses another number; that one is written down only this can see.
    @Test(arguments: RecordFiles.all) func smallExpectsItsParameters(_ path: String) throws {
      let small = try Repository.model(path, preset: "small")
      #expect(small.settings.expect.parameters == small.graph.parameterCount)
    }

    @Test(arguments: RecordFiles.all) func smallCompilesAndIsProvedCausal(_ path: String) throws {
      let small = try Repository.model(path, preset: "small")
      // Runs the proof on every variant.
      #expect(
        try !compile(small, target: TargetMachine(machine: "any", isa: "any")).functions.isEmpty)
      let first = try #require(Certificate(of: small).invariants.first { $0.id == "I1" })
      #expect(first.how == .proof)
      #expect(first.by == Safeguard.causality.rawValue)
      let count = small.variants.count
      #expect(count == 1 || first.claim.contains("in each of \(count) variants"))
    }

    /// The proof is none of an empty claim: a head that knows all tokens is refused, in any variant.
    @Test(arguments: RecordFiles.all) func aLeakInAnyVariantIsRefused(_ path: String) throws {
      let model = try Repository.model(path, preset: "small")
      for index in model.variants.indices {
        var leaking = model
        leaking.variants[index].graph = try Self.leaking(model.variants[index].graph)
        let errors = #expect(throws: Diagnostics.self) { try Certificate(of: leaking) }
        #expect(errors?.isLegality == true)
        #expect(throws: (any Error).self) {
          try compile(leaking, target: TargetMachine(machine: "any", isa: "any"))
        }
      }
    }

    /// The same function, whose last product takes for weights the sums of what each token embeds.
    private static func leaking(_ graph: Graph) throws -> Graph {
      let head = try #require(graph.nodes.last { $0.op == .linear })
      let table = graph.type(head.operands[1])
      let embed = try #require(
        graph.nodes.first { $0.op == .embed && graph.type($0.operands[0]) == table })
      let vocab = try #require(table.shape[0].number)
      var copy = Rebuilder(graph)
      for node in graph.nodes {
        guard node == head else {
          copy.copy(node)
          continue
        }
        let sums = try copy.builder.apply(
          .embedBackward, [copy[embed.results[0]], copy[embed.operands[1]]], [.vocab: .int(vocab)])
        let logits = try copy.builder.apply(.linear, [copy[node.operands[0]], sums[0]])
        copy.map(node.results[0], to: logits[0])
      }
      return copy.finish()
    }

    /// Loss and gradients of a small record: kernels on every route against the interpreter.
    @Test(arguments: RecordFiles.all)
    func smallComputesWhatTheInterpreterDoes(_ path: String) throws {
      let model = try Repository.forward(
        path, preset: "small", set: RecordFiles.pieces(path))
      var runner = PassRunner()
      for variant in model.variants {
        let sizes = variant.graph.openSizes(["B": 2, "T": 13])
        let gradient = try runner.run(
          Pipeline.gradient(sizes: sizes) + Pipeline.fuse, on: variant.graph)
        let contents = gradient.randomContents(seed: 1)
        var inputs = gradient.randomInputs(seed: 2, vocab: 200)
        inputs["ids"] = .ids(RecordFiles.documents)
        let exact = try Interpreter(gradient).run(parameters: contents, inputs: inputs)
        try Route.withEach { route in
          let compiled = try CompiledFunction(gradient)
          compiled.contents = contents
          let found = compiled.run(inputs)
          for output in gradient.outputs where gradient.type(output.value).isReal {
            let difference = relativeDifference(
              try #require(found[output.name]), exact.reals(of: output.name))
            #expect(difference < 2e-3, "\(output.name), \(variant.name), \(route)")
          }
        }
      }
    }

    /// Stored and read, the weights have the same bits, in every form that the file asks for.
    @Test(arguments: RecordFiles.all) func smallIsPackedAndReadToTheBit(_ path: String) throws {
      let folder = try TemporaryFolder()
      let model = try Repository.model(path, preset: "small")
      let block = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
      for (path, values) in model.graph.randomContents(seed: 4) {
        for (index, value) in values.enumerated() { block[path]?[index] = Float(value) }
      }
      let table = model.precisionTable
      let artifact = try Artifact(model: model.forArtifact, parameters: block, precision: table)
      let container = try artifact.container()
      try container.write(folder.path + "/a.gca")
      let read = try Artifact.read(folder.path + "/a.gca")
      #expect(read.tensors == artifact.tensors)
      #expect(try read.parameters().sha256() == artifact.parameters().sha256())
      #expect(try read.container().encoded() == container.encoded())
      // The table is what the file says, and something of it loses bits.
      for (path, tensor) in read.tensors {
        #expect(tensor.precision == table[path]?.nearest, "@\(path)")
      }
      #expect(try read.parameters().sha256() != block.sha256())
      // Other weights are stored as others.
      block["tok_emb"]![0] += 1
      let other = try Artifact(model: model.forArtifact, parameters: block, precision: table)
      #expect(other.tensors != artifact.tensors)
    }

    struct Reference: Sendable, CustomStringConvertible {
      let fixture: String
      let path: String
      /// Sizes beside those that all fixtures name.
      let set: [String: String]
      let variant: Int
      var description: String { fixture }
    }
    static let references = [
      Reference(
        fixture: "record-162", path: "graphs/records/14-162-smear.graph",
        set: ["buckets": "61", "bigram_width": "24"], variant: 0),
      Reference(
        fixture: "record-549", path: "graphs/records/20-549-leaky.graph",
        set: [
          "buckets": "53", "bigram_width": "20", "value_width": "16", "values_last": "2",
          "xsa_last": "3", "rope_dims": "4", "rope_train": "16",
        ], variant: 0),
      Reference(
        fixture: "record-1855", path: "graphs/records/44-1855-retuned.graph",
        set: [
          "loop": "2 ..< 4", "skips": "5", "lanes_from": "4", "rope_dims": "8",
          // Its rows are one document each.
          "pack": "false",
        ], variant: 1),
    ]

    @Test(arguments: references)
    func lossLogitsAndGradientsEqualTheReference(_ reference: Reference) throws {
      let fixture = try ReferenceFixture(reference.fixture)
      var set = reference.set
      for name in ["vocab", "dim", "layers", "heads", "kv_heads", "hidden"] {
        set[name] = "\(fixture.int("model", name))"
      }
      let model = try Repository.forward(reference.path, set: set)
      let weights = try ReferenceFixture.contents(fixture.tensors("weights"))
      let graph = model.variants[reference.variant].graph
      #expect(Set(graph.parameters.map(\.path)) == Set(weights.keys))
      try ModelFixtureTests.expectTheReference(of: fixture, graph)
      guard reference.variant > 0 else { return }
      // The same weights in the plain order.
      let plain = try fixture.tensors("expected-variants").mapValues { try $0.doubles() }
      let sizes = graph.openSizes(["B": fixture.int("batch"), "T": fixture.int("seq")])
      var runner = PassRunner()
      let loss = try runner.run(Pipeline.loss(sizes: sizes), on: model.variants[0].graph)
      let ids = try fixture.identifiers("tokens")
      let other = try Interpreter(loss).run(
        parameters: weights,
        inputs: [
          "ids": .ids(ids), "targets": .ids(try fixture.identifiers("targets")),
          "weights": .reals([Double](repeating: 1 / Double(ids.count), count: ids.count)),
        ])
      let nll = try #require(plain.first { $0.key.hasSuffix("nll") }?.value)
      #expect(absoluteDifference(other.reals(of: "nll"), nll) < 1e-9)
    }

    /// Bytes that the forward and the backward pass of a row of 2,048 tokens take in f32, gradients of
    /// parameters among them, beside what parameters and states take.
    private static func stepBytes(_ model: Model, variant: Int? = nil) throws -> Int {
      try compileFunction(
        .trainGradient(variant: variant ?? model.variants.count - 1),
        TokenSizes(rows: 1, seq: 2048), of: model, target: TargetMachine(machine: "any", isa: "any")
      ).arenaBytes
    }

    /// With one digit behind the point.
    private static func megabytes(_ bytes: Int) -> String {
      let tenths = Int((Double(bytes) / 100_000).rounded())
      return "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }

    /// A feature of a record, and what takes it out of the file.
    private struct Growth {
      let feature: String
      let path: String
      var edits: [(String, String)] = []
      var set: [String: String] = [:]
      /// What is kept for the backward pass, or why nothing is.
      let reason: String

      /// Bytes of a step without and with the feature; loops are out where the variant is the first.
      func bytes() throws -> (without: Int, with: Int) {
        let whole = try Repository.model("graphs/records/" + path)
        let with = try RecordTests.stepBytes(whole)
        if edits.isEmpty && set.isEmpty {
          return (try RecordTests.stepBytes(whole, variant: 0), with)
        }
        var text = try Repository.text("graphs/records/" + path)
        for (part, replacement) in edits {
          #expect(text.contains(part), "\(path): \(part)")
          text = text.replacing(part, with: replacement)
        }
        let source = SourceFile(path: "graphs/records/" + path, text: text)
        let constants = try set.map { try ConstantOverride(flag: $0.key, text: $0.value) }
        let without = try elaborate(
          file: source, includes: Repository.text, choices: Choices(constants: constants),
          used: SectionName.all.subtracting([.expect]))
        return (try RecordTests.stepBytes(without), with)
      }
    }

    private static let growths = [
      Growth(
        feature: "MLP of three widths", path: "13-mlp3x.graph", set: ["hidden": "2 * dim"],
        reason: "What `fc` yields is kept in each layer, half a width more a token."),
      Growth(
        feature: "smear", path: "14-162-smear.graph",
        edits: [(" |> smear", ""), (", smear = Smear()", "")],
        reason: "The input of the mix is kept once."),
      Growth(
        feature: "bigram", path: "14-162-smear.graph",
        edits: [
          (" + bigram(ids)", ""), ("bigram = Bigram(buckets: buckets, width: bigram_width), ", ""),
          (", buckets = 4096, bigram_width = 128", ""),
          ("  \"bigram.proj\" orthogonal(1 / sqrt(2 * layers))\n", ""),
        ],
        reason: "Narrow rows of the table, and gradients of a table with as many rows as buckets."),
      Growth(
        feature: "XSA in four layers", path: "16-265-xsa.graph", set: ["xsa_last": "0"],
        reason: "Two values of the width where the need is largest, not one in each layer."),
      Growth(
        feature: "value vectors", path: "19-414-values.graph",
        edits: [
          ("param ve_layer_scales[i in 0 ..< values_last] [1]  init ones  group scalar\n", ""),
          (",\n    ve_shared = TokenValues(width: value_width)", ""),
          ("{bigram,ve_shared}.proj", "bigram.proj"), ("  values = ve_shared(ids)\n", ""),
          (
            "    v = 0\n    if i >= layers - values_last { v = ve_layer_scales[i - layers + values_last] * values }\n",
            ""
          ), ("(x, x0, v)", "(x, x0)"), (", values_last = 2, value_width = 128", ""),
        ], reason: "One narrow vector a token, which all layers share."),
      Growth(
        feature: "leaky relu", path: "20-549-leaky.graph", edits: [(", slope: 0.5", "")],
        reason: "The backward pass makes it again of what `fc` yields, as the other one."),
      Growth(
        feature: "gated skips", path: "28-1394-sp8192.graph",
        edits: [
          ("param skip_gates [skips, dim]  init zeros  group scalar\n", ""),
          (
            "lerp(skip_weights[d] * skip[len(encoder) - 1 - d], x, sigmoid(skip_gates[d]))",
            "x + skip_weights[d] * skip[len(encoder) - 1 - d]"
          ),
        ], reason: "The difference of both sides has a gradient, so both are kept at each skip."),
      Growth(
        feature: "parallel layers", path: "29-1412-parallel.graph",
        set: ["parallel_from": "layers"],
        reason: "One value of the width more is alive where the need is largest."),
      Growth(
        feature: "loop, three runs of three layers", path: "32-1493-loop3.graph",
        reason: "Each run keeps what a layer keeps; weights and their gradients are those of one."),
      Growth(
        feature: "crossed lanes", path: "34-1529-crossed.graph", set: ["lanes_from": "layers"],
        reason:
          "Most of it comes with the first such layer; each further one takes two values of the width."
      ),
      Growth(
        feature: "documents", path: "35-1530-documents.graph", set: ["pack": "false"],
        reason: "A number a token."),
      Growth(
        feature: "gates of heads", path: "38-1667-gate.graph",
        edits: [(", gate: 12, gate_to: 2", "")],
        reason:
          "What attention yields is kept beside its product with the gate, in each run of a layer."),
      Growth(
        feature: "smear of the table", path: "43-1851-smear.graph",
        edits: [
          ("param smear_gate [1, 12], smear_lambda [1]  init zeros  group scalar\n", ""),
          (
            "  g = smear_lambda * sigmoid(linear(x[..., 0 : 12], smear_gate)) * token_mask(ids, except: bos)\n",
            ""
          ), ("  x = x + g * shift(x)\n", ""),
        ], reason: "The rows of the table are kept beside the mix."),
      Growth(
        feature: "asymmetric cap", path: "45-1945-asym.graph",
        edits: [
          ("param cap_above [], cap_below []  init constant(softcap)  group scalar\n", ""),
          ("softcap_asymmetric(", "softcap("), (", cap_above, cap_below)", ", softcap)"),
        ], reason: "The need is largest elsewhere."),
    ]

    /// docs/records.md is made of the files; UPDATE_GOLDEN=1 writes it again.
    @Test func thePageOfRecordsIsFresh() throws {
      var text = """
        # Records

        The history of the leaderboard of OpenAI's Parameter Golf, one file a record in `graphs/records`. `graphc diff`
        shows what one adds to another, `--preset small` makes each a model for a laptop. Rates and decays that
        no text gives are inferred from the records around them. The column step MB is what the forward and the
        backward pass of one row of 2,048 tokens need in f32, in the variant that trains last: values that
        are kept and the gradients of all weights, beside the weights and the states of the optimizers.

        | file | score | lines | parameters | matrix MFLOP a token | step MB | small | live | not yet |
        |---|---|---|---|---|---|---|---|---|

        """
      for path in RecordFiles.records {
        let source = try Repository.source(path)
        let model = try Repository.model(path)
        let small = try Repository.model(path, preset: "small")
        let later = source.lines.first { $0.hasPrefix("# Not yet: ") }?.dropFirst(11).dropLast()
        let name = path.split(separator: "/").last!.dropLast(6)
        let live = model.features.filter { $0.kind.phase != nil }.map(\.name)
          .filter { !$0.hasPrefix("optimizer") }.joined(separator: ", ")
        let flops = model.scored.graph.nodes.reduce(0) { sum, node in
          node.op == .linear ? sum + 2 * model.graph.type(node.operands[1]).count : sum
        }
        let score = try #require(source.text.firstMatch(of: /1\.[0-9]{4,5}/)).output
        let cells: [Any] = [
          "[\(name)](../\(path))", score, source.statementLines, model.graph.parameterCount,
          flops / 1_000_000, Self.megabytes(try Self.stepBytes(model)), small.graph.parameterCount,
          live, later ?? "",
        ]
        text += "| " + cells.map { "\($0)" }.joined(separator: " | ") + " |\n"
      }
      text += """

        ## What a feature takes

        The step MB of a record without one of its features, and with it: all else is equal.

        | feature | record | without | with | growth | why |
        |---|---|---|---|---|---|

        """
      for growth in Self.growths {
        let (without, with) = try growth.bytes()
        let cells = [
          growth.feature, String(growth.path.dropLast(6)), Self.megabytes(without),
          Self.megabytes(with), Self.megabytes(with - without), growth.reason,
        ]
        text += "| " + cells.joined(separator: " | ") + " |\n"
      }
      #expect(try Golden(file: "docs/records.md").expected(of: text) == text)
    }
  }
}

extension SourceFile {
  /// Lines that are neither empty nor comments.
  fileprivate var statementLines: Int {
    lines.count { !$0.allSatisfy(\.isWhitespace) && !$0.drop { $0 == " " }.hasPrefix("#") }
  }
}
