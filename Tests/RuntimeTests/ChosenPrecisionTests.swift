// SPDX-License-Identifier: Apache-2.0
// Stored forms that the compiler chooses while a model trains, and that training rounds to from then on.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ChosenPrecisionTests {
    private static let budget = 16_000

    /// QAT begins with the seventh step.
    private func model(_ accumulate: String = "1") throws -> Model {
      var model = try SmallRun.model(["accumulate": accumulate, "batch": "2"])
      model.settings.train?.average = .ema(0.9)
      model.settings.quantize = model.settings.quantize?.choosing(within: Self.budget)
      model.settings.qat = .on(.straightThrough, from: .step(6))
      return model
    }

    private func choices(_ folder: TemporaryFolder, _ run: String) throws -> [JSONValue] {
      let log = try String(contentsOfFile: folder.path + "/\(run)/log.jsonl", encoding: .utf8)
      return try log.split(separator: "\n").map { try JSONValue.parse(String($0)) }
        .filter { $0["event"]?.stringValue == "precision" }
    }

    @Test(arguments: ["1", "2"])
    func aRunChoosesAtTheFirstRoundedStepAndMeetsTheBudget(_ accumulate: String) throws {
      let folder = try TemporaryFolder()
      let model = try model(accumulate)
      var losses: [Double] = []
      let report = try SmallRun.run(folder, "run", model: model) { event in
        if case .step(let step, _) = event { losses.append(step.loss) }
      }
      let choices = try choices(folder, "run")
      #expect(choices.map { $0["step"]?.intValue } == [6])
      let forms = try #require(choices.first?["forms"]?.objectValue)
      #expect(
        forms.count == model.graph.parameters.count { $0.type.rank == 2 && $0.group != "scalar" })
      #expect(report.artifact.bytes <= Self.budget)
      #expect(Double(report.artifact.bytes) > 0.95 * Double(Self.budget))
      #expect(report.warnings.allSatisfy { !$0.contains("chosen again") })
      let qat = try #require(report.live.first { $0.feature == "qat" })
      #expect(qat.firstStep == 7)
      // Nothing rounds before; from then on training sees rounded weights.
      var plain = model
      plain.settings.qat = .off
      var others: [Double] = []
      _ = try SmallRun.run(folder, "plain", model: plain) { event in
        if case .step(let step, _) = event { others.append(step.loss) }
      }
      #expect(losses[..<6] == others[..<6] && losses[6] != others[6])
    }

    /// Interrupted before and behind the choice.
    @Test(arguments: [4, 9])
    func resumedEqualsUninterrupted(_ step: Int) throws {
      let folder = try TemporaryFolder()
      let model = try model("2")
      _ = try SmallRun.run(folder, "whole", model: model)
      #expect(throws: Interrupted.self) {
        try SmallRun.run(folder, "parts", model: model, stopAfter: step)
      }
      _ = try SmallRun.run(folder, "parts", model: model, threads: 2, resumes: true)
      #expect(try SmallRun.bytes(folder, "parts") == SmallRun.bytes(folder, "whole"))
      #expect(try choices(folder, "parts") == choices(folder, "whole"))
    }

    @Test func aBudgetThatNothingMeetsEndsTraining() throws {
      let folder = try TemporaryFolder()
      var model = try model()
      model.settings.quantize?.budget = 2000
      #expect(throws: OverBudget.self) { try SmallRun.run(folder, "run", model: model) }
    }
  }
}
