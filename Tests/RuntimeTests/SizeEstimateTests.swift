// SPDX-License-Identifier: Apache-2.0
// Sizes of artifacts before there are weights, and of weights before they are packed.

import Formats
import Foundation
import IR
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct CodePriorTests {
    @Test(arguments: [(6, 5.0), (6, 12.85), (8, 6.0), (8, 20.0), (4, 3.0)])
    func codesOfNormalRowsTakeTheirEntropy(bits: Int, k: Double) {
      let quantizer = Quantizer(bits: bits, clip: .sdclip(k))
      let found = quantizer.expectedBits(columns: 512, deviation: 1)
      // Shannon's entropy of a normal density, less the logarithm of the step.
      let step = k / Double(quantizer.qmax)
      #expect(abs(found - (2.047 - log2(step))) < (k < 4 ? 0.05 : 0.02), "\(found)")
    }

    @Test(arguments: [
      Quantizer.Clip.max, .sdclip(3), .quantile(0.999), .search([0.99, 0.999, 1]),
    ])
    func theKernelsCodesOfNormalRowsTakeThatToo(_ clip: Quantizer.Clip) {
      let (rows, columns) = (64, 256)
      let stream = RandomStream(seed: 3, path: "rows")
      // Box and Muller (1958).
      let weights = (0..<UInt64(rows * columns)).map { index -> Float in
        let (a, b) = (Double(stream.bits(2 * index)), Double(stream.bits(2 * index + 1)))
        let most = Double(UInt64.max)
        return Float((-2 * log((a + 1) / (most + 1))).squareRoot() * cos(2 * .pi * b / most))
      }
      let quantizer = Quantizer(bits: 5, clip: clip)
      let codes = weights.withUnsafeBufferPointer {
        RowCodes(rounding: $0, quantizer.scales(of: $0, rows: rows), quantizer).codes
      }
      let found = entropyBits(of: codes) / Double(codes.count)
      let expected = quantizer.expectedBits(columns: columns, deviation: 1)
      #expect(abs(found / expected - 1) < 0.02, "\(found), expected \(expected)")
    }

    @Test func aFloorTakesBitsFromSmallWeights() {
      let free = Quantizer(bits: 6, clip: .max)
      let floored = Quantizer(bits: 6, clip: .max, floor: 1.0 / 31)
      func bits(_ quantizer: Quantizer, _ deviation: Double) -> Double {
        quantizer.expectedBits(columns: 64, deviation: deviation)
      }
      #expect(bits(free, 0.01) == bits(free, 1))
      #expect(bits(floored, 1) == bits(free, 1))
      #expect(bits(floored, 0.1) < bits(free, 0.1) && bits(floored, 0.01) < bits(floored, 0.1))
      #expect(bits(floored, 0) == 0)
    }
  }

  @Suite struct SizeEstimateTests {
    private func estimate(_ model: Model, steps: Int?) throws -> SizeEstimate {
      try SizeEstimate(model, steps: steps)
    }

    @Test(arguments: [
      "default int6 per_row sdclip(5)", "default int8 per_row max",
      "default int4 per_row sdclip(3)",
      "default f16", "default int6 per_row max floor(1 / 31)", "default fp8", "default ternary(16)",
      "default int5 groups(8) max", "default int6 per_row sdclip(6) prune(0.4)",
    ])
    func intervalsHoldWhatTrainingLeads(_ rule: String) throws {
      let folder = try TemporaryFolder()
      for steps in [1, 12, 60] {
        let model = try SizeEstimateTests.model(rule)
        let estimate = try SizeEstimate(model, steps: steps)
        let report = try SmallRun.run(folder, "run\(steps)", model: model, steps: steps)
        let bytes = Double(report.artifact.bytes)
        #expect(
          estimate.bytes.low <= bytes && bytes <= estimate.bytes.high,
          "\(rule) after \(steps): \(bytes), \(estimate.bytes)")
        // Who knows nothing of the steps says no less.
        let unknown = try SizeEstimate(model, steps: nil).bytes
        #expect(unknown.low <= bytes && bytes <= unknown.high)
      }
    }

    private static func model(_ rule: String, budget: Int? = nil) throws -> Model {
      var model = try SmallRun.model()
      let text = """
        model m
        param a [2, 16]  init ones
        param s [16]  init ones  group scalar
        forward(ids: tokens[B, T]) -> dist[B, T, 2] { return softmax(linear(embed(a, ids) * s, a)) }
        quantize { \(rule);  group scalar f16 }
        """
      model.settings.quantize = try Repository.model(text: text).settings.quantize
      model.settings.qat = .off
      model.settings.quantize?.budget = budget
      return model
    }

    @Test func expectationsOfTrainedMatricesAreNear() throws {
      let folder = try TemporaryFolder()
      let model = try Self.model("default int6 per_row sdclip(5)")
      let report = try SmallRun.run(folder, "run", model: model, steps: 40)
      let estimate = try SizeEstimate(model, steps: 40)
      let container = try ArtifactContainer.read(folder.file("run/artifact.gca"))
      #expect(estimate.groups.map(\.name) == container.groups.map(\.name))
      for (group, stored) in zip(estimate.groups, container.groups)
      where group.name.hasPrefix("codes blocks") {
        let ratio = group.bytes.expected / Double(stored.frame.count)
        #expect(ratio > 0.9 && ratio < 1.1, "\(group.name): \(ratio)")
      }
      #expect(report.artifact.bytes > estimate.frame)
    }

    @Test func aBudgetIsRefusedByTheLowEndAlone() throws {
      let model = try Self.model("default int6 per_row sdclip(5)")
      // The number itself stands in the artifact.
      let bytes = try SizeEstimate(
        Self.model("default int6 per_row sdclip(5)", budget: 10_000), steps: 100
      ).bytes
      func verdict(_ budget: Double) throws -> SizeEstimate {
        var model = model
        model.settings.quantize?.budget = Int(budget)
        return try SizeEstimate(model, steps: 100)
      }
      #expect(try SizeEstimate(model, steps: 100).verdict == .none)
      #expect(try verdict(bytes.high + 20).verdict == .fits)
      #expect(try verdict(bytes.expected).verdict == .uncertain)
      #expect(try verdict(bytes.low).verdict == .uncertain)
      let refused = try verdict(0.9 * bytes.low)
      #expect(refused.verdict == .infeasible)
      let error = try #require(refused.infeasible)
      #expect(error.largest.first?.group == "codes tok_emb")
      #expect(error.budget == Int(0.9 * bytes.low) && !error.isAutomatic)
      // Code counts against the budget too.
      var coded = model
      coded.settings.quantize?.budget = Int(bytes.high + 20)
      coded.settings.quantize?.codeBytes = Int(bytes.high - 0.5 * bytes.low)
      #expect(try SizeEstimate(coded, steps: 100).verdict == .infeasible)
    }

    @Test func chosenFormsTakeTheBudget() throws {
      func estimate(_ budget: Int) throws -> SizeEstimate {
        var model = try Self.model("default f16", budget: nil)
        model.settings.quantize = QuantizeSettings().choosing(within: budget)
        return try SizeEstimate(model, steps: 100)
      }
      let middle = try estimate(20_000)
      #expect(middle.verdict != .infeasible && middle.bytes.high == 20_000)
      #expect(middle.bytes.expected <= 20_000)
      #expect(try estimate(2_000).infeasible?.isAutomatic == true)
      // There is no use for more than the finest forms take.
      #expect(try estimate(10_000_000).bytes.high < 100_000)
    }
  }

  @Suite struct SizePredictorTests {
    @Test(arguments: [
      ("default int6 per_row sdclip(5)", 0.03), ("default int8 per_row quantile(0.999)", 0.03),
      // Codes that make up for each other's errors spread further than the nearest ones.
      ("default int4 per_row sdclip(3) gptq", 0.1),
    ])
    func theLogPredictsTheArtifact(_ rule: String, within part: Double) throws {
      let folder = try TemporaryFolder()
      var model = try SmallRun.model()
      let text = """
        model m
        param a [2, 16]  init ones
        param s [16]  init ones  group scalar
        forward(ids: tokens[B, T]) -> dist[B, T, 2] { return softmax(linear(embed(a, ids) * s, a)) }
        quantize { \(rule);  group scalar f16 }
        """
      model.settings.quantize = try Repository.model(text: text).settings.quantize
      model.settings.qat = .off
      model.settings.train?.average = .ema(0.5)
      var heard: [Int] = []
      let report = try SmallRun.run(folder, "run", model: model) { event in
        if case .validation(_, _, _, let bytes) = event { heard.append(bytes) }
      }
      let log = try JSONLines.read(folder.file("run/log.jsonl"))
      let logged = log.compactMap { $0["predicted_bytes"]?.intValue }
      #expect(logged == heard && logged.count == 2)
      let last = Double(try #require(logged.last))
      #expect(
        abs(last / Double(report.artifact.bytes) - 1) < part, "\(last), \(report.artifact.bytes)")
    }

    @Test func chosenFormsAreExpectedToTakeTheBudget() throws {
      var model = try SmallRun.model()
      let weights = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
      weights.initialise(seed: 1)
      func bytes(_ budget: Int) throws -> Int {
        model.settings.quantize = QuantizeSettings().choosing(within: budget)
        return try SizePredictor(model).bytes(of: weights)
      }
      #expect(try bytes(12_000) == 12_000)
      #expect(try bytes(1_000) > 1_000)
      #expect(try bytes(1_000_000) < 100_000)
    }
  }
}
