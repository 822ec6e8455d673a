// SPDX-License-Identifier: Apache-2.0
// Optimising passes keep what a function computes: the interpreter runs it before and after.

import IR
import Passes
import Runtime
import TestSupport
import Testing

@Suite struct PassMeaningTests {
  static let passes: Set = [
    "fold-constants", "eliminate-duplicates", "eliminate-dead-nodes",
    "fuse-softcap-cross-entropy", "sink-slices", "recompute-cheap", "fuse-rows",
  ]
  static let arguments = ["graphs/tiny.graph", "graphs/baseline.graph"].flatMap { path in
    [2, 3].map { (path, $0) }
  }

  /// A clock of the passes that changed something, so that no pass is checked on nothing.
  private struct Tally {
    var changed: Set<String> = []
  }

  @Test(arguments: arguments)
  func optimisingPassesKeepLossGradientsAndScores(_ path: String, layers: Int) throws {
    let model = try Repository.model(
      path,
      set: [
        "layers": "\(layers)", "dim": "32", "heads": "2", "kv_heads": "1", "vocab": "67",
      ])
    let sizes = model.graph.openSizes(["B": 2, "T": 9])
    let pipelines: [(String, [Pass])] = [
      ("loss", Pipeline.loss(sizes: sizes, zLoss: 0.01)),
      ("gradient", Pipeline.gradient(sizes: sizes)),
      ("score", Pipeline.score(sizes: sizes, last: 4)),
      ("score of all", Pipeline.score(sizes: sizes, last: nil)),
    ]
    var changed: Set<String> = []
    for (name, passes) in pipelines {
      var before = model.graph
      for pass in passes + Pipeline.fuse {
        let after = try pass.run(before)
        #expect(after.violations() == [], "\(pass.name) of \(name)")
        if Self.passes.contains(pass.name), after != before, after.inputs.count >= 2 {
          changed.insert(pass.name)
          try expectEqual(before, after, "\(pass.name) of \(name)")
        }
        before = after
      }
    }
    #expect(changed.isSuperset(of: Self.passes.subtracting(["fold-constants"])))
  }

  /// Folding and merging have little to do in the models; here they have.
  @Test func simplificationKeepsAFunctionMadeForIt() throws {
    let text = """
      function f
      param @w : f32[4] {group=scalar, init=ones}
      input %x : f32[2, 3, 4]
      %a = scale(%x) {by=3} : f32[2, 3, 4]
      %b = scale(%a) {by=-0.5} : f32[2, 3, 4]
      %c = offset(%b) {by=0.25} : f32[2, 3, 4]
      %d = offset(%c) {by=-0.25} : f32[2, 3, 4]
      %e = scale(%x) {by=3} : f32[2, 3, 4]
      %g = mul(%e, @w) : f32[2, 3, 4]
      %h = mul(%a, @w) : f32[2, 3, 4]
      %i = sub(%g, %h) : f32[2, 3, 4]
      %j = add(%i, %d) : f32[2, 3, 4]
      %k = rms_norm(%j) : f32[2, 3, 4]
      %s = slice(%k) {axis=1, count=2, start=1} : f32[2, 2, 4]
      return y = %s
      """
    var parser = CoreParser(path: "f", text: text)
    let graph = try parser.function()
    let passes: [Pass] = [
      .foldConstants, .eliminateDuplicates, .sinkSlices, .eliminateDeadNodes, .fuseRows,
    ]
    var after = graph
    for pass in passes { after = try pass.run(after) }
    #expect(after.nodes.count < graph.nodes.count)
    try expectEqual(graph, after, "all passes")
  }

  private func expectEqual(_ before: Graph, _ after: Graph, _ what: String) throws {
    let contents = before.randomContents(seed: 1)
    let inputs = before.randomInputs(seed: 2, vocab: 67)
    let expected = try Interpreter(before).run(parameters: contents, inputs: inputs)
    let found = try Interpreter(after).run(parameters: contents, inputs: inputs)
    #expect(Set(found.outputs.keys) == Set(expected.outputs.keys), "\(what)")
    for name in expected.outputs.keys {
      let difference = relativeDifference(found.reals(of: name), expected.reals(of: name))
      #expect(difference < 1e-12, "\(name), \(what)")
    }
  }
}
