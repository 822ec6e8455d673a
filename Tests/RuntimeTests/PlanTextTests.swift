// SPDX-License-Identifier: Apache-2.0
// Plans as text: what was printed reads back; what was edited is refused at its line.

import IR
import Language
import Passes
import Runtime
import TestSupport
import Testing

@Suite struct PlanTextTests {
  private func text() throws -> String {
    var model = try CompiledModel.small(layers: 2)
    model.settings.qat = .on(.straightThrough, from: .start)
    model.settings.train?.average = .ema(0.5)
    var runner = PassRunner()
    return try compile(
      model, target: TargetMachine(machine: "x86_64", isa: "avx2"), runner: &runner
    ).printed()
  }

  private func refusal(_ text: String) -> (line: Int?, message: String)? {
    do throws(Diagnostics) {
      _ = try Plan.parse(path: "a.plan", text: text, compile: compile(_:target:))
      return nil
    } catch {
      return (error.all.first?.location?.line, error.all.first?.message ?? "")
    }
  }

  @Test func printedPlansReadBack() throws {
    let text = try text()
    #expect(Plan.isPlan(text))
    let plan = try Plan.parse(path: "a.plan", text: text, compile: compile(_:target:))
    #expect(plan.printed() == text)
    #expect(plan.target == TargetMachine(machine: "x86_64", isa: "avx2"))
    #expect(plan["train"] != nil)
  }

  @Test func compilingTwiceGivesEqualPlans() throws { #expect(try text() == text()) }

  @Test func everyEditedLineIsRefusedAtItsPlace() throws {
    let lines = try text().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let model = try #require(lines.firstIndex(of: "model"))
    for index in [1, 8, model / 3, model / 2, model - 2] {
      var edited = lines
      // A digit, or in a comment a letter.
      let line = lines[index]
      let place = try #require(line.lastIndex { $0.isNumber } ?? line.lastIndex { $0.isLetter })
      edited[index].replaceSubrange(place...place, with: line[place] == "7" ? "8" : "7")
      let refusal = refusal(edited.joined(separator: "\n"))
      #expect(refusal?.line == index + 1, "\(lines[index])")
    }
  }

  @Test func missingAndAddedLinesAreRefused() throws {
    let lines = try text().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let model = try #require(lines.firstIndex(of: "model"))
    var shorter = lines
    shorter.remove(at: model / 2)
    #expect(refusal(shorter.joined(separator: "\n"))?.line == model / 2 + 1)
    var longer = lines
    longer.insert("  copy [a0 a64] [1 1] [] x", at: model / 2)
    #expect(refusal(longer.joined(separator: "\n"))?.line == model / 2 + 1)
    #expect(refusal((lines + ["more"]).joined(separator: "\n")) != nil)
  }

  @Test func otherTextsAreNoPlans() throws {
    #expect(refusal("")?.message.contains("not a plan") == true)
    #expect(refusal("plan 2 machine a isa b\nmodel\n")?.message.contains("version 2") == true)
    #expect(
      refusal("plan 1 machine a isa b compute f32\n")?.message.contains("ends before its model")
        == true)
    #expect(refusal("plan 1 machine a isa b\nmodel\nnothing")?.message.isEmpty == false)
  }

  @Test func modelsBehindAPlanAreReadAgain() throws {
    let text = try text()
    let edited = text.replacing("lr: 0.02", with: "lr: 0.25")
    #expect(edited != text)
    #expect(refusal(edited) != nil)
  }
}
