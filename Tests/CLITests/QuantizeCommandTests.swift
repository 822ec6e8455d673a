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

  @Test(arguments: ["default int8 per_row max", "default int4 per_row sdclip(3) gptq"])
  func aRunExplainsItsPrecisions(_ rules: String) throws {
    let trained = try Trained(rules)
    let outcome = try graphc("explain", "precision", "--run", trained.run, "--json")
    let account = try trained.document(outcome)
    let params = try #require(account["params"]?.arrayValue)
    let report = try trained.document(trained.quantize([]))
    #expect(params.map { $0["path"] } == report["tensors"]?.arrayValue?.map { $0["path"] })
    let unit = try #require(account["bits_per_nat"]?.doubleValue)
    #expect(unit > 0.1 && unit < 1.5)
    for param in params where param["stored"]?["precision"]?.stringValue?.first == "i" {
      #expect(param["rule"] == "default")
      #expect(param["place"]?.stringValue?.contains("small.graph:") == true)
      let stored = try #require(param["stored"])
      for (form, isMore) in [(param["fewer"], false), (param["more"], true)] {
        let form = try #require(form)
        let bytes = try #require(form["bytes"]?.intValue)
        let damage = try #require(form["damage"]?.doubleValue)
        #expect((bytes > stored["bytes"]!.intValue!) == isMore)
        #expect((damage < stored["damage"]!.doubleValue!) == isMore)
      }
    }
    let table = try graphc("explain", "precision", "head", "--run", trained.run)
    #expect(table.output.split(separator: "\n").count == 4, "\(table.output)")
    #expect(try graphc("explain", "precision", "*.none", "--run", trained.run).code == 2)
    #expect(try graphc("explain", "precision").code == 2)
    #expect(try graphc("explain", "train", "--run", trained.run).code == 2)
  }

  @Test func theChoiceIsDumpedAsIR() throws {
    let trained = try Trained()
    let full = try trained.bytes(trained.run + "/artifact.gca").count
    let arguments = [
      "quantize", trained.run, "--data", trained.data, "-o", trained.folder.file("again.gca"),
      "--budget", "\(full * 3 / 4)", "--dump-ir-after",
    ]
    let dumped = try graphc(arguments + ["choose-precision"])
    #expect(dumped.code == 0, "\(dumped.errors)")
    #expect(dumped.output.hasPrefix("# after choose-precision\n"))
    #expect(dumped.output.contains(/param @.*precision=int\d per_row sdclip\([0-9.]+\) gptq/))
    #expect(try graphc(arguments + ["lower"]).code == 2)
  }

  @Test func boundsHoldWhatIsChosen() throws {
    let trained = try Trained()
    let text = try String(contentsOfFile: trained.graph, encoding: .utf8)
    let bounded = try trained.folder.write(
      "bounded.graph",
      text.replacing(
        "default int8 per_row max", with: "precision auto\n    \"tok_emb\" int7 to int8"
      )
      .replacing("1_000_000 bytes", with: "22_000 bytes"))
    let report = try trained.document(trained.quantize(["--graph", bounded]))
    let forms = Dictionary(
      uniqueKeysWithValues: (report["tensors"]?.arrayValue ?? []).map {
        ($0["path"]?.stringValue ?? "", $0["precision"]?.stringValue ?? "")
      })
    #expect(["int7", "int8"].contains(forms["tok_emb"]?.prefix(4)), "\(forms)")
    #expect(!["int7", "int8"].contains(forms["head"]?.prefix(4)), "\(forms)")
    #expect(try #require(report["artifact"]?["bytes"]?.intValue) <= 22_000)
  }

  @Test func correctionsAndProtectionAreAddedAndAudited() throws {
    let trained = try Trained(
      "default int4 per_row sdclip(3) gptq\n    correct lqer(worst: 1, rank: 2)\n"
        + "    protect 8 columns int8")
    let report = try trained.document(trained.quantize([]))
    let forms = (report["tensors"]?.arrayValue ?? []).compactMap { $0["precision"]?.stringValue }
    #expect(forms.count { $0.contains("lqer(2, 2, 4, 64)") } == 1, "\(forms)")
    // Matrices this small are not protected.
    #expect(forms.allSatisfy { !$0.contains("fine(") })
    let audit = try graphc("audit", trained.run, "--data", trained.data, "--replay", "all")
    #expect(audit.code == 0, "\(audit.output)\(audit.errors)")
    let plain = try trained.folder.write(
      "plain.graph",
      try String(contentsOfFile: trained.graph, encoding: .utf8)
        .replacing("correct lqer(worst: 1, rank: 2)", with: ""))
    let without = try trained.document(trained.quantize(["--graph", plain]))
    let bits = [report, without].compactMap { $0["eval"]?["bpb_quantized"]?.doubleValue }
    #expect(bits.count == 2 && bits[0] != bits[1])
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
