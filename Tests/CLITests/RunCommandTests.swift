// SPDX-License-Identifier: Apache-2.0
// One small run, and everything that reads what it leaves.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct RunCommandTests {
  @Test func everyCommandReadsWhatARunLeaves() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text.txt", sampleText())
    let graph = try folder.write("small.graph", smallGraph)
    let (data, run) = (folder.file("data"), folder.file("run"))
    let artifact = run + "/artifact.gca"
    #expect(
      try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data).code == 0)
    let trained = try graphc(
      "run", "--ttt", graph, "--data", data, "--out", run, "--threads", "2", "--profile", "--json")
    #expect(trained.code == 0, "\(trained.errors)")
    let scores = try JSONValue.parse(Array(trained.output.utf8))["eval"]

    // A training step, in which all threads meet at barriers, and a scoring batch: a single chain of
    // calls here, of which one thread may claim every tile when the machine is busy.
    let threads = try threadsInTrace(run + "/trace.json")
    #expect(threads[1] == [0, 1])
    #expect(threads[2]?.isSubset(of: [0, 1]) == true)
    let table = try String(contentsOfFile: run + "/profile.txt", encoding: .utf8)
    #expect(table.contains("matmul_weight") && table.contains("cross_entropy"))
    #expect(trained.errors.contains(table.trimmingCharacters(in: .newlines)))

    let evaluated = try graphc("eval", artifact, "--data", data, "--ttt", "--json")
    #expect(evaluated.code == 0, "\(evaluated.errors)")
    let again = try JSONValue.parse(Array(evaluated.output.utf8))
    #expect(again["schema"] == "graphc-eval/1")
    for key in ["bpb_quantized", "bpb_sliding", "bpb_ttt", "tokens", "bytes", "bytes_original"] {
      #expect(again["eval"]?[key] == scores?[key], "\(key)")
    }
    #expect(try graphc("eval", artifact, "--data", data, "--stride", "33").code == 2)
    let wide = try graphc("eval", artifact, "--data", data, "--window", "64", "--stride", "16")
    #expect(wide.output.contains("window 64, stride 16"))

    let audit = try graphc("audit", run)
    #expect(audit.code == 0, "\(audit.errors)")
    #expect(audit.output.contains("ok  score first"))
    #expect(audit.output.contains("ok  artifact"))
    #expect(audit.output.contains("ok  result"))

    let words = try (1...2).map { threads in
      try graphc(
        "generate", artifact, "--data", data, "--prompt", "the miller", "--tokens", "12",
        "--threads", "\(threads)")
    }
    #expect(words[0].code == 0, "\(words[0].errors)")
    #expect(words[0].output.hasPrefix("the miller"))
    #expect(words[0].output == words[1].output)

    #expect(try graphc("dump", artifact).output.contains("codes head"))
    let weights = folder.file("weights.safetensors")
    #expect(try graphc("dump", artifact, "--as", "safetensors", "-o", weights).code == 0)
    #expect(try SafeTensors.read(weights)["tok_emb"]?.shape == [300, 16])
    #expect(try graphc("dump", artifact, "--as", "safetensors").code == 2)
    #expect(try graphc("dump", artifact, "--set", "dim=8").code == 2)
    try otherVocabulary(folder, text, artifact)
  }

  /// The precision that `auto` means, and those that may be asked for.
  private func precisions() throws -> (auto: String, offered: [String]) {
    let doctor = try JSONValue.parse(Array(try graphc("doctor", "--json").output.utf8))
    return doctor["isa"] == "avx512bf16" ? ("bf16", ["f32", "bf16"]) : ("f32", ["f32"])
  }

  @Test func runAndEvalScoreAlikeInThePrecisionTheyName() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text.txt", sampleText())
    let graph = try folder.write("small.graph", smallGraph)
    let data = folder.file("data")
    #expect(
      try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data).code == 0)
    func document(_ outcome: Outcome) throws -> JSONValue {
      #expect(outcome.code == 0, "\(outcome.errors)")
      return try JSONValue.parse(Array(outcome.output.utf8))
    }
    let (auto, offered) = try precisions()
    for precision in ["auto"] + offered {
      let name = precision == "auto" ? auto : precision
      let run = folder.file(precision)
      let artifact = run + "/artifact.gca"
      let result = try document(
        graphc(
          "run", "--ttt", graph, "--data", data, "--out", run, "--precision", precision, "--json"))
      #expect(result["precision"]?.stringValue == name)
      for file in ["/manifest.json", "/result.json"] {
        let written = try String(contentsOfFile: run + file, encoding: .utf8)
        #expect(try JSONValue.parse(written)["precision"]?.stringValue == name, "\(file)")
      }
      func evaluated(_ precision: String) throws -> JSONValue {
        try document(
          graphc("eval", artifact, "--data", data, "--ttt", "--precision", precision, "--json"))
      }
      let (same, exact) = (try evaluated(precision), try evaluated("f32"))
      #expect(same["precision"]?.stringValue == name)
      #expect(exact["precision"] == "f32")
      for key in ["bpb_quantized", "bpb_sliding", "bpb_ttt"] {
        #expect(same["eval"]?[key] == result["eval"]?[key], "\(key), \(precision)")
        let scores = try [same, exact].map { try #require($0["eval"]?[key]?.doubleValue) }
        #expect(abs(scores[0] - scores[1]) < 0.003, "\(key), \(precision)")
      }
    }
    if !offered.contains("bf16") {
      let refused = try graphc("run", graph, "--data", data, "--precision", "bf16")
      #expect(refused.code == 2)
      #expect(refused.errors.contains("avx512bf16"))
    }
  }

  /// A clip that never clipped is said in words, at the end; live features name their params.
  @Test func aRunSaysWhatHadNoEffect() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text.txt", sampleText())
    let graph = try folder.write(
      "small.graph",
      smallGraph.replacingOccurrences(
        of: "warmdown 2 steps", with: "warmdown 2 steps\n    clip 1000\n    average ema(0)"))
    let (data, run) = (folder.file("data"), folder.file("run"))
    #expect(
      try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data).code == 0)
    let outcome = try graphc("run", graph, "--data", data, "--out", run, "--json")
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.errors.contains("warning: clip 1000 never clipped"))
    #expect(outcome.errors.contains("warning: the average equals the weights"))
    let result = try JSONValue.parse(Array(outcome.output.utf8))
    #expect(result["warnings"]?.arrayValue?.count == 2)
    let live = try #require(result["live"]?.arrayValue)
    #expect(live.allSatisfy { $0["params"] == ["tok_emb", "head"] })
    let clip = live.first { $0["feature"] == "clip" }
    #expect(clip?["first_step"] == .null)
    #expect(clip?["steps"] == 0)
    let short = try graphc(
      "run", graph, "--data", data, "--out", folder.file("short"), "--steps", "1")
    #expect(short.code == 0, "\(short.errors)")
  }

  private func otherVocabulary(_ folder: TemporaryFolder, _ text: String, _ artifact: String) throws
  {
    let data = folder.file("other")
    #expect(
      try graphc("data", "prepare", "--text", text, "--vocab", "310", "--out", data).code == 0)
    for outcome in [
      try graphc("eval", artifact, "--data", data),
      try graphc("generate", artifact, "--data", data, "--prompt", "a"),
    ] {
      #expect(outcome.code == 2)
      #expect(outcome.errors.contains("300"))
      #expect(outcome.errors.contains("310"))
    }
  }
}
