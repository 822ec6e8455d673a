// SPDX-License-Identifier: Apache-2.0
// What a run takes is said before it, and what cannot fit is refused before it.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct EstimateCommandTests {
  private func document(_ arguments: String...) throws -> JSONValue {
    let outcome = try graphc(["estimate"] + arguments + ["--json"])
    #expect(outcome.code == 0, "\(outcome.errors)")
    return try JSONValue.parse(Array(outcome.output.utf8))
  }

  @Test func everythingIsEstimated() throws {
    let folder = try TemporaryFolder()
    let graph = try folder.write("small.graph", smallGraph)
    let estimate = try document(graph, "--data", try SmallData.shared.path, "--ttt")
    #expect(estimate["schema"] == "graphc-estimate/1")
    let check = try JSONValue.parse(Array(graphc("check", graph, "--json").output.utf8))
    #expect(estimate["parameters"] == check["parameters"] && estimate["flops"] == check["flops"])
    #expect(
      estimate["memory"]?["phases"]?.arrayValue?.map { $0["phase"] }
        == ["train", "eval quantized", "eval sliding", "ttt"])
    let phases = try #require(estimate["seconds"]?["phases"]?.arrayValue)
    for phase in ["train", "validate", "checkpoint", "pack", "eval sliding", "ttt"] {
      let seconds = phases.first { $0["phase"] == .string(phase) }?["seconds"]?.doubleValue
      #expect(seconds ?? 0 > 0, "\(phase)")
    }
    #expect(estimate["seconds"]?["steps"] == 4)
    let artifact = try #require(estimate["artifact"])
    let bytes = ["low", "expected", "high"].compactMap { artifact[$0]?.intValue }
    #expect(bytes.count == 3 && bytes == bytes.sorted() && artifact["verdict"] == "fits")
    let table = try graphc("estimate", graph, "--steps", "7")
    #expect(table.code == 0 && table.output.contains("7 steps of"))
    #expect(table.output.contains("a million tokens, measured"))
  }

  @Test func longFunctionsAreScaled() throws {
    let folder = try TemporaryFolder()
    let graph = try folder.write("small.graph", smallGraph)
    let estimate = try document(graph, "--set", "batch=40_000", "--set", "dim=64")
    let train = try #require(estimate["seconds"]?["phases"]?.arrayValue?.first)
    #expect(train["phase"] == "train")
    #expect(train["origin"]?.stringValue?.hasPrefix("scaled") == true)
    #expect(train["seconds"]?.doubleValue ?? 0 > 0)
  }

  @Test func aBudgetThatNothingMeetsIsRefusedBeforeTraining() throws {
    let folder = try TemporaryFolder()
    let text = smallGraph.replacingOccurrences(
      of: "1_000_000 bytes", with: "2_000 bytes code 100 bytes")
    let graph = try folder.write("small.graph", text)
    let out = folder.file("run")
    let data = try SmallData.shared.path
    for arguments in [
      ["estimate", graph, "--steps", "50"],
      ["run", graph, "--data", data, "--out", out, "--steps", "50"],
    ] {
      let outcome = try graphc(arguments)
      #expect(outcome.code == 6)
      #expect(outcome.errors.contains("the budget is 2000 bytes, the artifact is expected to have"))
      #expect(outcome.errors.contains("codes head") && outcome.errors.contains("Lower the bits"))
    }
    #expect(!FileManager.default.fileExists(atPath: out))
    let outcome = try graphc("estimate", graph, "--steps", "50", "--json")
    let estimate = try JSONValue.parse(Array(outcome.output.utf8))
    #expect(outcome.code == 6 && estimate["artifact"]?["verdict"] == "infeasible")
  }

  @Test func aBudgetThatMayBeMissedIsWarnedOf() throws {
    let folder = try TemporaryFolder()
    let graph = try folder.write(
      "small.graph", smallGraph.replacingOccurrences(of: "1_000_000 bytes", with: "8_000 bytes"))
    let outcome = try graphc(
      "run", graph, "--data", try SmallData.shared.path, "--out", folder.file("run"))
    #expect(outcome.errors.contains("warning: the artifact is expected to have"))
    #expect(FileManager.default.fileExists(atPath: folder.file("run/result.json")))
  }

  @Test func limitsOfSecondsAreJudgedAndKept() throws {
    let folder = try TemporaryFolder()
    let text = smallGraph.replacingOccurrences(
      of: "stop at 4 steps", with: "stop at 4 steps\n  limit training 500 s"
    ).replacingOccurrences(of: "evaluate {", with: "evaluate {\n  limit evaluation 1e-9 s")
    let graph = try folder.write("small.graph", text)
    let data = try SmallData.shared.path
    let limits = try #require(try document(graph, "--data", data)["limits"])
    #expect(limits["training"]?["fits"] == true && limits["evaluation"]?["fits"] == false)
    #expect(try document(graph)["limits"]?["evaluation"]?["fits"] == .null)
    let run = folder.file("run")
    let outcome = try graphc("run", graph, "--data", data, "--out", run, "--json")
    #expect(outcome.code == 6)
    #expect(outcome.errors.contains("quantized was stopped"), "\(outcome.errors)")
    let result = try JSONValue.parse(
      Array(try Data(contentsOf: URL(fileURLWithPath: run + "/result.json"))))
    #expect(result["eval"]?["stopped"] == "quantized")
    #expect(result["seconds"]?["train"]?.doubleValue ?? 0 > 0)
    #expect(FileManager.default.fileExists(atPath: run + "/artifact.gca"))
    let audit = try graphc("audit", run, "--data", data)
    #expect(audit.code == 1 && (audit.output + audit.errors).contains("quantized was stopped"))
  }

  @Test func whatCannotBeEstimatedIsSaid() throws {
    let folder = try TemporaryFolder()
    let graph = try folder.write(
      "small.graph",
      smallGraph.replacingOccurrences(of: "ttt score_first {", with: "ttt {\n  off\n}\nttt2 {"))
    #expect(try graphc("estimate", graph).code == 3)
    let small = try folder.write("again.graph", smallGraph)
    #expect(try graphc("estimate", small, "--steps", "0").code == 2)
    #expect(try graphc("estimate", small, "--data", folder.file("none")).code == 66)
  }
}
