// SPDX-License-Identifier: Apache-2.0
// Trained weights stored again: by the rules of the run, of another file, and for a budget.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct QuantizeCommandTests {
  /// A small run, its data and its graph.
  private struct Trained {
    let folder: TemporaryFolder
    let data: String
    let run: String
    let graph: String

    init(_ quantize: String = "default int8 per_row max") throws {
      folder = try TemporaryFolder()
      let text = try folder.write("text.txt", sampleText())
      graph = try folder.write(
        "small.graph",
        smallGraph.replacingOccurrences(of: "dim = 16", with: "dim = 64")
          .replacingOccurrences(of: "default int8 per_row max", with: quantize))
      (data, run) = (folder.file("data"), folder.file("run"))
      #expect(
        try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data).code == 0)
      let outcome = try graphc("run", graph, "--data", data, "--out", run)
      #expect(outcome.code == 0, "\(outcome.errors)")
    }

    func quantize(_ arguments: [String], source: String? = nil) throws -> Outcome {
      try graphc(
        ["quantize", source ?? run, "--data", data, "-o", folder.file("again.gca"), "--json"]
          + arguments)
    }

    func document(_ outcome: Outcome) throws -> JSONValue {
      #expect(outcome.code == 0, "\(outcome.errors)")
      return try JSONValue.parse(Array(outcome.output.utf8))
    }

    func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }
  }

  @Test(arguments: ["default int8 per_row max", "default int4 per_row sdclip(3) gptq"])
  func theRulesOfTheRunGiveItsArtifact(_ rules: String) throws {
    let trained = try Trained(rules)
    let report = try trained.document(trained.quantize([]))
    #expect(
      try trained.bytes(trained.folder.file("again.gca"))
        == trained.bytes(trained.run + "/artifact.gca"))
    let result = try JSONValue.parse(
      Array(trained.bytes(trained.run + "/result.json")), file: "result.json")
    #expect(report["eval"]?["bpb_quantized"] == result["eval"]?["bpb_quantized"])
    #expect(report["artifact"]?["bytes"] == result["artifact"]?["bytes"])
    #expect(report["average"] == false)
    #expect(report["tensors"]?.arrayValue?.count == 2)
    // What the run read for it stands in its log.
    let log = try String(contentsOfFile: trained.run + "/log.jsonl", encoding: .utf8)
    #expect(log.contains("\"calibration\"") == rules.contains("gptq"))
    #expect(try graphc("audit", trained.run).code == 0)
  }

  @Test func aBudgetIsMetAndNotExceeded() throws {
    let trained = try Trained()
    let full = try trained.bytes(trained.run + "/artifact.gca").count
    for part in [0.5, 0.75] {
      let budget = Int(part * Double(full))
      let report = try trained.document(trained.quantize(["--budget", "\(budget)"]))
      let bytes = try #require(report["artifact"]?["bytes"]?.intValue)
      let predicted = try #require(report["predicted_bytes"]?.intValue)
      #expect(bytes <= budget && Double(bytes) > 0.95 * Double(budget), "\(bytes) of \(budget)")
      #expect(abs(Double(predicted) / Double(bytes) - 1) < 0.05, "\(predicted), \(bytes)")
      let scored = try trained.document(
        graphc("eval", trained.folder.file("again.gca"), "--data", trained.data, "--json"))
      #expect(scored["eval"]?["bpb_quantized"] == report["eval"]?["bpb_quantized"])
    }
    try FileManager.default.removeItem(atPath: trained.folder.file("again.gca"))
    let refused = try trained.quantize(["--budget", "3000"])
    #expect(refused.code == 6)
    #expect(refused.errors.contains("over budget"))
    #expect(!FileManager.default.fileExists(atPath: trained.folder.file("again.gca")))
  }

  @Test func aRunChoosesWithinItsBudget() throws {
    let trained = try Trained("precision auto")
    let graph = try String(contentsOfFile: trained.graph, encoding: .utf8)
    let tight = try trained.folder.write(
      "tight.graph", graph.replacingOccurrences(of: "1_000_000 bytes", with: "20_000 bytes"))
    let run = trained.folder.file("tight")
    let outcome = try graphc("run", tight, "--data", trained.data, "--out", run)
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(try trained.bytes(run + "/artifact.gca").count <= 20_000)
    let audit = try graphc("audit", run, "--data", trained.data, "--replay", "all")
    #expect(audit.code == 0, "\(audit.output)\(audit.errors)")
  }

  @Test func weightsOfAFileNeedAGraph() throws {
    let trained = try Trained()
    let weights = trained.folder.file("weights.safetensors")
    #expect(
      try graphc("dump", trained.run + "/artifact.gca", "--as", "safetensors", "-o", weights).code
        == 0)
    let without = try trained.quantize([], source: weights)
    #expect(without.code == 2)
    #expect(without.errors.contains("--graph"))
    // What was rounded before is rounded to itself.
    let report = try trained.document(
      trained.quantize(["--graph", trained.graph], source: weights))
    #expect(report["eval"]?["bpb_float"] != nil)
    let table = try graphc(
      "quantize", weights, "--data", trained.data, "--graph", trained.graph, "--table", "-o",
      trained.folder.file("again.gca"))
    #expect(table.output.contains("int8 per_row max"))
    #expect(table.output.contains("The last weights of training were stored."))
  }
}
