// SPDX-License-Identifier: Apache-2.0
// The scorers of the models in graphs/ see no later token: fifty places, to the bit, on the
// instruction set that this process uses.

import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct CausalityTests {
    /// Calls are small, and windows short where a product takes long; all else is the file's.
    private static var isFast: Bool { ["avx512", "avx512bf16"].contains(Machine.isa) }

    private static func probe(
      _ path: String, _ set: [String: String], chunk: Int, targets: Int, adapts: Bool
    ) throws -> ProbeReport {
      Machine.initialise()
      var model = try Repository.model(
        path, set: set.merging(["vocab": "288"]) { $1 },
        windows: Repository.Windows(stride: 16, chunk: chunk))
      for index in model.settings.evaluate.indices { model.settings.evaluate[index].batch = 4 }
      let target = TargetMachine(
        machine: Machine.name, isa: Machine.isa,
        compute: Machine.isa == "avx512bf16" ? .bf16 : .f32)
      var runner = PassRunner()
      let plan = try compile(model, target: target, runner: &runner)
      let parameters = try ParameterBlock(layout: plan.layout)
      for (path, values) in model.graph.randomContents(seed: 4) {
        for (index, value) in values.enumerated() { parameters[path]?[index] = Float(value) }
      }
      return try Recomputation(
        functions: plan.functions, settings: model.settings,
        stream: try ValidationStream(SmallCorpus.shared.get().data, limit: targets),
        parameters: parameters,
        adapts: adapts, threads: 2
      ).probe(places: 50)
    }

    @Test func fiftyPlacesOfTinyAndItsAdaptationSeeNoLaterToken() throws {
      let seq = Self.isFast ? 256 : 64
      let report = try Self.probe(
        "graphs/tiny.graph", ["seq": "\(seq)"], chunk: 4 * seq, targets: 10 * seq, adapts: true)
      #expect(report.leak == nil, "\(report.leak?.description ?? "")")
      #expect(report.places.last?.name == "ttt")
      #expect(report.places.allSatisfy { $0.count == 50 })
    }

    @Test func fiftyPlacesOfTheBaselineSeeNoLaterToken() throws {
      let seq = Self.isFast ? 128 : 64
      let report = try Self.probe(
        "graphs/baseline.graph", ["layers": Self.isFast ? "9" : "3", "seq": "\(seq)"],
        chunk: 32 * seq, targets: 10 * seq, adapts: false)
      #expect(report.leak == nil, "\(report.leak?.description ?? "")")
      #expect(report.places.count == 2)
      #expect(report.places.allSatisfy { $0.count == 50 })
    }
  }
}
