// SPDX-License-Identifier: Apache-2.0
// The loss that caps its logits itself against a softcap before a loss without one, for the whole
// range of caps, by kernels and by the interpreter.

import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct FuseSoftcapCrossEntropyTests {
    private static func model(cap: String) throws -> Model {
      try Repository.model(
        text: """
          model capped
          const cap = \(cap)
          param e [19, 16]  init normal(1)  group embedding
          param head [19, 16]
          forward(ids: tokens[B, T]) -> dist[B, T, 19] {
            return softmax(softcap(linear(rms_norm(embed(e, ids)), head), cap))
          }
          """)
    }

    /// Loss, nll and gradients, with the cap in the loss or before it.
    private func graph(_ model: Model, isFused: Bool) throws -> Graph {
      var runner = PassRunner()
      let passes = Pipeline.gradient(sizes: model.graph.openSizes(["B": 3, "T": 5]))
        .filter { isFused || $0.name != "fuse-softcap-cross-entropy" }
      return try runner.run(passes + Pipeline.fuse, on: model.graph)
    }

    @Test(arguments: ["1e-30", "1e-6", "0.5", "3", "30", "1e9", "1e30"])
    func aCapInsideTheLossEqualsOneBeforeIt(cap: String) throws {
      let model = try Self.model(cap: cap)
      let graphs = try [true, false].map { try graph(model, isFused: $0) }
      #expect(graphs[0].nodes.allSatisfy { $0.op != .softcap })
      #expect(
        graphs[1].nodes.contains { $0.op == .softcap || $0.body.contains { $0.op == .softcap } })
      let contents = model.graph.randomContents(seed: 7)
      let inputs = graphs[0].randomInputs(seed: 8, vocab: 19)
      let exact = try graphs.map { try Interpreter($0).run(parameters: contents, inputs: inputs) }
      let found = try graphs.map { graph in
        let compiled = try CompiledFunction(graph)
        compiled.contents = contents
        return compiled.run(inputs)
      }
      for name in ["loss", "nll", "grad.e", "grad.head"] {
        let wanted = exact[0].reals(of: name)
        #expect(!wanted.isEmpty)
        // Behind a tiny cap gradients are zero but for rounding: compare with a loss of about 1.
        #expect(absoluteDifference(exact[1].reals(of: name), wanted) < 1e-12, "\(name)")
        for values in found {
          #expect(absoluteDifference(values[name] ?? [], wanted) < 2e-5, "\(name)")
        }
      }
    }

    @Test(arguments: ["0", "-3", "1e-31", "1e31"])
    func capsThatKernelsCannotApplyAreRefused(cap: String) throws {
      let errors = #expect(throws: Diagnostics.self) { try Self.model(cap: cap) }
      #expect(errors?.all.count == 1)
      #expect(errors?.all.first?.location?.line == 6)
      #expect(errors?.all.first?.message.contains("cap must be from 1e-30 to 1e30") == true)
    }
  }
}
