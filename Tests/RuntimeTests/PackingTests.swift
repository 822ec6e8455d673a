// SPDX-License-Identifier: Apache-2.0
// Codes that make up for each other's errors, through the whole way from weights to an artifact.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct PackingTests {
    private func packed(_ clip: String, threads: Int = 1) throws -> (
      Packing.Packed, ParameterBlock
    ) {
      var model = try SmallRun.model()
      model.settings.qat = .off
      for index in (model.settings.quantize?.rules ?? []).indices {
        guard case .int(var quantizer)? = model.settings.quantize?.rules[index].precision else {
          continue
        }
        (quantizer.bits, quantizer.clip) = (3, .sdclip(2))
        quantizer.isSolved = clip == "gptq"
        model.settings.quantize?.rules[index].precision = .int(quantizer)
      }
      model.settings.quantize?.calibration = 1024
      let plan = try CompiledModel(model).plan
      let weights = try ParameterBlock(layout: plan.layout)
      weights.initialise(seed: 3)
      // Projections begin with zeros, and rounding leaves these as they are.
      for entry in plan.layout.entries where entry.parameter.path.hasSuffix("proj") {
        for index in weights[entry.parameter.path]!.indices {
          weights[entry.parameter.path]![index] = Float((index * 7919) % 997) / 997 - 0.5
        }
      }
      let packing = Packing(
        plan, data: try SmallCorpus.shared.get().data, seed: 5, threads: threads, observe: { _ in })
      return (try packing.pack(weights), weights)
    }

    /// Weights end farther from what they were, and what they make of the text nearer.
    @Test func solvedCodesServeTheTextBetterThanNearestOnes() throws {
      let (solved, weights) = try packed("gptq")
      let (nearest, _) = try packed("nearest")
      let after = try solved.reports(madeFrom: weights)
      let before = try nearest.reports(madeFrom: weights)
      var matrices = 0
      for (solved, nearest) in zip(after, before) {
        guard let error = solved.outputError, let other = nearest.outputError, other > 0 else {
          continue
        }
        matrices += 1
        #expect(error < other, "\(solved.path)")
        #expect(solved.weightError >= nearest.weightError, "\(solved.path)")
      }
      #expect(matrices > 8)
      #expect(solved.remarks.isEmpty)
    }

    @Test func codesDoNotDependOnThreads() throws {
      let one = try packed("gptq").0.container.encoded()
      for threads in 2...3 {
        #expect(try packed("gptq", threads: threads).0.container.encoded() == one)
      }
    }
  }
}
