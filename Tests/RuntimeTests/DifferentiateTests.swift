// SPDX-License-Identifier: Apache-2.0
// Gradients of whole models: every record, every variant, against central differences in Float64.

import IR
import Language
import Passes
import Runtime
import TestSupport
import Testing

@Suite struct DifferentiateTests {
  /// Sizes at which the interpreter takes a millisecond.
  private static let tiny: [String: String] = [
    "vocab": "23", "dim": "16", "heads": "4", "kv_heads": "2", "hidden": "24", "width": "12",
    "rope_dims": "2", "rope_train": "8", "buckets": "13", "bigram_width": "6", "value_width": "6",
  ]

  /// A model of these sizes, and the weight of its z-loss.
  private static func model(_ path: String) throws -> (model: Model, zLoss: Double) {
    let small = try Repository.model(path, preset: "small")
    let set = try tiny.filter { size in small.constants.contains { $0.name == size.key } }
      .merging(RecordFiles.pieces(path)) { $1 }
    return (
      try Repository.forward(path, preset: "small", set: set), small.settings.train?.zLoss ?? 0
    )
  }

  /// The direction of each class of params alone, or the gradient of a small one would drown in the
  /// others; what training runs is compared: recomputed and fused.
  @Test(arguments: RecordFiles.all)
  func gradientsAreSlopes(_ path: String) throws {
    let (model, zLoss) = try Self.model(path)
    var runner = PassRunner()
    for variant in model.variants {
      let sizes = variant.graph.openSizes(["B": 2, "T": 13])
      let contents = variant.graph.randomContents(seed: 11)
      let gradient = try runner.run(
        Pipeline.gradient(sizes: sizes, zLoss: zLoss) + Pipeline.fuse, on: variant.graph)
      let loss = Interpreter(
        try runner.run([.bindSizes(sizes), .deriveLoss(zLoss: zLoss)], on: variant.graph))
      var inputs = gradient.randomInputs(seed: 12, vocab: 23)
      inputs["ids"] = .ids(RecordFiles.documents)
      let found = try Interpreter(gradient).run(parameters: contents, inputs: inputs)
      let classes = Dictionary(grouping: contents.keys, by: \.tensorClass)
      for (name, paths) in classes.sorted(by: { $0.key < $1.key }) {
        var random = TestRandom(seed: 13)
        var directions: [String: [Double]] = [:]
        var slope = 0.0
        for path in paths.sorted() {
          let gradient = found.reals(of: "grad." + path)
          let direction = gradient.map { _ in random.awayFromZero() }
          #expect(gradient.count == contents[path]?.count, "@\(path)")
          slope += zip(gradient, direction).reduce(0) { $0 + $1.0 * $1.1 }
          directions[path] = direction
        }
        let step = 1e-5
        func moved(_ factor: Double) throws -> Double {
          var there = contents
          for (path, direction) in directions {
            there[path] = zip(there[path]!, direction).map { $0 + factor * step * $1 }
          }
          let result = try loss.run(parameters: there, inputs: inputs).reals(of: "loss")
          return try #require(result.first)
        }
        // Four points: an error of the fourth power of the step.
        let difference =
          try (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)
        #expect(abs(slope) > 1e-7, "\(name), \(variant.name): nothing to compare")
        #expect(
          abs(slope - difference) <= 1e-5 * abs(slope) + 1e-9,
          "\(name), \(variant.name): \(slope), \(difference)")
      }
    }
  }
}
