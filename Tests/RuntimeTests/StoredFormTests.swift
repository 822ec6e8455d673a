// SPDX-License-Identifier: Apache-2.0
// Every stored form: through an artifact and back, and as training sees it.

import CKernels
import Formats
import IR
import Language
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct StoredFormTests {
    /// Rows of twelve, which groups of 3 and 4 divide, and of eleven.
    private static let rules = [
      "f32", "f16", "fp8", "int2 per_row max", "int3 per_row sdclip(2.5)",
      "int4 per_row search(0.9, 1)", "int5 per_row quantile(0.99)", "int6 per_row max floor(0.02)",
      "int7 per_row max asymmetric", "int8 per_row max half_floor(6.1e-5)", "int4 groups(3) max",
      "int6 groups(4) sdclip(3)", "int3 groups(12) mean", "ternary(4)", "ternary(3) shrink_fix",
      "int4 per_row sdclip(3) fine(2, 3, 8)", "int3 per_row max lqer(1, 2, 4, 5)",
      "int3 per_row max lqer(2, 3, 4, 0)", "int4 per_row max prune(0.3)",
      "int2 per_row sdclip(2) fine(0, 12, 3) lqer(2, 2, 4, 64)",
    ]

    private static func model(_ rule: String, columns: Int = 12) throws -> Model {
      try Repository.model(
        text: """
          model m
          param e [7, \(columns)]  init normal(0.7)  group embedding
          param w [5, \(columns)]  group matrix  init normal(0.3)
          param u [7, 5]  init normal(1)  group head
          param v [7]  init ones  group scalar
          forward(ids: tokens[B, T]) -> dist[B, T, 7] {
            return softmax(linear(linear(embed(e, ids), w), u) * v)
          }
          quantize {
            default \(rule)
            group head f32
            group scalar f16
          }
          """)
    }

    private static func weights(_ model: Model, seed: UInt64) throws -> ParameterBlock {
      let block = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
      block.initialise(seed: seed)
      return block
    }

    @Test(arguments: rules, [1, 2])
    func whatIsReadIsWhatWasStored(_ rule: String, _ seed: UInt64) throws {
      let folder = try TemporaryFolder()
      let model = try Self.model(rule)
      let weights = try Self.weights(model, seed: seed)
      let artifact = try Artifact(
        model: model.forArtifact, parameters: weights, precision: model.precisionTable)
      try artifact.checkFinite(madeFrom: weights)
      _ = try artifact.container().write(folder.path + "/a.gca")
      let read = try Artifact.read(folder.path + "/a.gca")
      #expect(read.tensors == artifact.tensors)
      #expect(read.model.printed() == artifact.model.printed())
      #expect(try read.parameters().sha256() == artifact.parameters().sha256())
      #expect(try read.container().encoded() == artifact.container().encoded())
    }

    /// What a straight-through step sees is what the loader makes.
    @Test(
      arguments: rules.filter { rule in
        rule != "f32" && rule != "f16"
          && ["shrink_fix", "fine", "lqer", "prune"].allSatisfy { !rule.contains($0) }
      })
    func trainingSeesWhatIsStored(_ rule: String) throws {
      let model = try Self.model(rule)
      let weights = try Self.weights(model, seed: 3)
      let artifact = try Artifact(
        model: model.forArtifact, parameters: weights, precision: model.precisionTable)
      let stored = try artifact.parameters()
      var runner = PassRunner()
      let graph = try runner.run(
        [
          .bindSizes(["B": 1, "T": 2]), .assignPrecision(model.precisionTable),
          .markQAT(form: "straight_through"),
        ], on: model.graph)
      for parameter in graph.parameters where ["e", "w"].contains(parameter.path) {
        let path = parameter.path
        let node = try #require(graph.nodes.first { graph.name($0.result) == "qat." + path })
        var builder = Builder(name: "round")
        let operands = [builder.declare(parameter), builder.input(.qatAlpha, .scalar)]
        builder.output(.logits, builder.one(node.op, operands, node.attributes))
        let result = try Interpreter(builder.graph).run(
          parameters: [path: weights.floats(path).map(Double.init)],
          inputs: [Port.qatAlpha.name: .reals([1])])
        #expect(
          result.outputs[Port.logits.name] == .reals(stored.floats(path).map(Double.init)),
          "\(path) by \(rule)")
      }
    }

    @Test func theShrinkageFixKeepsTheMeanOfAGroup() throws {
      let model = try Self.model("ternary(4) shrink_fix")
      let weights = try Self.weights(model, seed: 4)
      let artifact = try Artifact(
        model: model.forArtifact, parameters: weights, precision: model.precisionTable)
      let stored = try artifact.parameters()
      let (before, after) = (weights.floats("w"), stored.floats("w"))
      for start in stride(from: 0, to: before.count, by: 4) {
        func mean(_ values: [Float]) -> Float {
          values[start..<start + 4].reduce(0) { $0 + abs($1) } / 4
        }
        #expect(abs(mean(after) / mean(before) - 1) < 2e-3)
      }
      let plain = try Artifact(
        model: Self.model("ternary(4)").forArtifact, parameters: weights,
        precision: try Self.model("ternary(4)").precisionTable)
      // Codes are the same; only scales differ.
      #expect(plain.tensors["w"]?.streams[0] == artifact.tensors["w"]?.streams[0])
      #expect(plain.tensors["w"]?.streams[1] != artifact.tensors["w"]?.streams[1])
      // Rounded again by the mean of its groups it is what training saw: the fix is for readers that round.
      let again = try Artifact(
        model: plain.model, parameters: stored,
        precision: try Self.model("ternary(4)").precisionTable)
      #expect(again.tensors["w"]?.streams[0] == plain.tensors["w"]?.streams[0])
    }

    /// Fine columns and corrections leave less of an error, pruning more.
    @Test(
      arguments: [
        ("int3 per_row max", "int3 per_row max lqer(2, 4, 4, 0)"),
        ("int3 per_row max", "int3 per_row max fine(4, 4, 8)"),
        ("int8 per_row max prune(0.5)", "int8 per_row max"),
      ])
    func aRicherFormIsNearer(_ plain: String, _ richer: String) throws {
      let errors = try [plain, richer].map { rule in
        let model = try Self.model(rule)
        let weights = try Self.weights(model, seed: 6)
        let stored = try Artifact(
          model: model.forArtifact, parameters: weights, precision: model.precisionTable
        ).parameters()
        return zip(weights.floats("w"), stored.floats("w")).reduce(0) {
          $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
        }
      }
      #expect(errors[1] < 0.9 * errors[0])
    }

    @Test func everyByteIsTheFloatThatE4M3Says() {
      for bits in UInt8.min...UInt8.max where bits & 0x7f != 0x7f {
        let value = quantise_from_float8(bits)
        #expect(quantise_float8(value) == bits)
        #expect(ReferenceQuantizer.roundedToFloat8(Double(value)) == Double(value))
      }
      var random = TestRandom(seed: 5)
      for scale in [1e-3, 0.01, 1, 100, 1000] {
        for _ in 0..<1000 {
          let value = Float(scale * (2 * random.uniform() - 1))
          #expect(
            Double(quantise_from_float8(quantise_float8(value)))
              == ReferenceQuantizer.roundedToFloat8(Double(value)), "\(value)")
        }
      }
      #expect(quantise_from_float8(quantise_float8(1e9)) == 448)
      #expect(quantise_from_float8(quantise_float8(.nan)).isNaN)
    }

    @Test func trainingDoesNotSeeTheShrinkageFix() throws {
      let model = try Self.model("ternary(4) shrink_fix")
      var runner = PassRunner()
      #expect(throws: OpError.self) {
        try runner.run(
          [.assignPrecision(model.precisionTable), .markQAT(form: "straight_through")],
          on: model.graph)
      }
    }
  }
}
