// SPDX-License-Identifier: Apache-2.0
// Second moments by the kernels against the interpreter's, and what they are moments of.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct CalibrationTests {
    @Test func momentsEqualTheInterpreters() throws {
      let model = try SmallRun.model()
      let sizes = TokenSizes(rows: 3, seq: 16)
      let stream = try SmallCorpus.shared.get().data.train()
      let function = try compileFunction(
        .moments, sizes, of: model,
        target: TargetMachine(machine: Machine.name, isa: Machine.isa))
      let parameters = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
      parameters.initialise(seed: 4)
      let calibration = try Calibration(
        function, sizes: sizes, parameters: parameters, threads: 2)
      let found = try calibration.run(stream, tokens: 90, seed: 9)
      #expect(found.tokens == 96)

      var runner = PassRunner()
      let graph = try derivedGraph(.moments, sizes, of: model, runner: &runner)
      let contents = Dictionary(
        uniqueKeysWithValues: model.graph.parameters.map {
          ($0.path, parameters.floats($0.path).map(Double.init))
        })
      var reader = try BatchReader(stream, rows: 3, seq: 16, order: .shuffled, seed: 9)
      var expected: [String: [Double]] = [:]
      for _ in 0..<2 {
        var ids = [Int32](repeating: 0, count: 48)
        var targets = ids
        try ids.withUnsafeMutableBufferPointer { ids in
          try targets.withUnsafeMutableBufferPointer { try reader.load(ids: ids, targets: $0) }
        }
        let result = try Interpreter(graph).run(parameters: contents, inputs: ["ids": .ids(ids)])
        for parameter in model.graph.parameters {
          let values = result.reals(of: "moment." + parameter.path)
          expected[parameter.path] =
            expected[parameter.path].map { zip($0, values).map(+) } ?? values
        }
      }
      for parameter in model.graph.parameters {
        let values = try #require(expected[parameter.path])
        let isMatrix = parameter.group == "matrix" || parameter.path == "tok_emb"
        #expect(values.isEmpty != isMatrix, "\(parameter.path)")
        guard isMatrix else {
          #expect(found[parameter.path] == nil)
          continue
        }
        let moments = try #require(found[parameter.path], "\(parameter.path)")
        #expect(
          relativeDifference(moments.map(Double.init), values) < 1e-4, "\(parameter.path)")
        let width = parameter.type.sizes[1]
        #expect(moments.count == width * width)
      }
      // Projections of one normed input share its moments.
      #expect(found["blocks.0.attn.c_q"] == found["blocks.0.attn.c_v"])
    }
  }
}
