// SPDX-License-Identifier: Apache-2.0
// Runs whose evidence somebody changed, with every hash closed again: the plain audit refuses what
// it can know without computing scores again.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct AuditCommandForgeryTests {
  /// One honest run of a small model, and its data.
  struct HonestRun {
    let folder: TemporaryFolder
    var data: String { folder.file("data") }
    var run: String { folder.file("run") }

    init() throws {
      folder = try TemporaryFolder()
      let text = try folder.write("text.txt", sampleText(paragraphs: 20))
      let graph = try folder.write("small.graph", smallGraph)
      #expect(
        try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data).code == 0)
      let outcome = try graphc("run", "--ttt", graph, "--data", data, "--out", run)
      #expect(outcome.code == 0, "\(outcome.errors)")
    }
  }

  private static let honest = Result { try HonestRun() }

  private func forged(_ change: (inout Forgery) throws -> Void) throws -> Forgery {
    var forgery = try Forgery(of: Self.honest.get().run)
    try change(&forgery)
    try forgery.close()
    return forgery
  }

  @Test func acceptsTheHonestRunAndItsCopy() throws {
    let honest = try Self.honest.get()
    let copy = try forged { _ in }
    defer { withExtendedLifetime(copy) {} }
    for run in [honest.run, copy.path] {
      let outcome = try graphc("audit", run)
      #expect(outcome.code == 0, "\(outcome.errors)")
      #expect(outcome.output.contains("consistent: the files agree"))
      let counted = try graphc("audit", run, "--data", honest.data, "--json")
      #expect(counted.code == 0, "\(counted.errors)")
      let report = try JSONValue.parse(Array(counted.output.utf8))
      #expect(report["ok"] == true)
      #expect(report["verdict"] == "ok")
      #expect(report["established"] == "consistent")
    }
  }

  @Test func refusesForgedLogs() throws {
    let cases: [(name: String, words: String, change: (inout Forgery) throws -> Void)] = [
      ("negative sums", "nats is -1.0", { $0.each("nats", is: -1.0) }),
      ("sums of nothing", "no text is certain", { $0.each("nats", is: 0.0) }),
      ("halved sums", "the blocks sum to", { $0.each("nats") { .double($0.doubleValue! / 2) } }),
      ("no targets", "targets is 0", { $0.each("targets", is: 0) }),
      ("a million tokens in view", "windows of 1000000", { $0.each("window", is: 1_000_000) }),
      ("steps back", "stride is -3", { $0.change("evaluation", last: true) { $0["stride"] = -3 } }),
      (
        "other windows", "windows of 16 score 1584",
        { $0.change("evaluation") { $0["window"] = 16 } }
      ),
      (
        "other chunks", "targets 0 ..< 64 are scored",
        { $0.change("ttt begin") { $0["chunk"] = 32 } }
      ),
      (
        "chunks beyond all numbers", "chunk is 4611686018427387904",
        { $0.change("ttt begin") { $0["chunk"] = .int(1 << 62) } }
      ),
      (
        "another protocol", "before the adaptation",
        { $0.change("ttt begin") { $0["protocol"] = "adapt_first" } }
      ),
      (
        "another batch of windows", "the file declares sliding window 32 stride 8",
        { $0.change("evaluation", last: true) { $0["stride"] = 16 } }
      ),
      ("more epochs", "epochs", { $0.each("epochs", is: 200) }),
      (
        "another schedule", "the file's schedule says 1.0",
        { $0.change("update") { $0["rate"] = 0.5 } }
      ),
      (
        "an evaluation that nobody declared", "the file declares sliding",
        { $0.change("evaluation", last: true) { $0["name"] = "better" } }
      ),
      (
        "more bytes in one place", "tokens have",
        { $0.change("ttt end") { $0["bytes"] = 9_999_999 } }
      ),
      (
        "scores before the artifact", "before the artifact was sealed",
        { $0.events.swapAt(1, 2) }
      ),
      ("a line behind the end", "the log ended", { $0.events.append($0.events[2]) }),
      (
        "weights that are not the artifact's", "does not hold the weights",
        { forgery in
          let weights = forgery.events.first { $0["event"] == "evaluation" }!["weights"]!
          for key in ["weights", "before"] {
            forgery.each(key) {
              $0 == weights ? .string(String(repeating: "0", count: 64)) : $0
            }
          }
        }
      ),
    ]
    for (name, words, change) in cases {
      let outcome = try forged(change).audit()
      #expect(outcome.code == 5, "\(name): \(outcome.output)\(outcome.errors)")
      #expect(outcome.errors.contains(words), "\(name): \(outcome.errors)")
    }
  }

  @Test func refusesForgedFiles() throws {
    let cases: [(name: String, words: String, change: (inout Forgery) throws -> Void)] = [
      ("no manifest", "kind is missing", { try $0.write("manifest.json", [:]) }),
      (
        "a manifest without a seed", "seed is missing",
        { try $0.edit("manifest.json") { $0["seed"] = nil } }
      ),
      (
        "another model's manifest", "model is \"large\"",
        { try $0.edit("manifest.json") { $0["model"] = "large" } }
      ),
      (
        "another --set", "does not compile to graph.core",
        { try $0.edit("manifest.json") { $0["set"] = ["dim=8"] } }
      ),
      (
        "a --set that is none", "does not compile",
        { try $0.edit("manifest.json") { $0["set"] = ["dim"] } }
      ),
      (
        "other consts", "consts is",
        { try $0.edit("manifest.json") { $0["consts"] = ["dim": "8"] } }
      ),
      ("no files", "sources is []", { try $0.edit("manifest.json") { $0["sources"] = [] } }),
      (
        "another core text", "it is not the graph that the manifest names",
        { try $0.text("graph.core") { $0 + "\n" } }
      ),
      (
        "another core text, named", "does not compile to graph.core",
        { forgery in
          try forgery.text("graph.core") { $0.replacing("budget 1000000", with: "budget 2000000") }
          let hash = SHA256.hex(try forgery.text("graph.core"))
          try forgery.edit("manifest.json") { $0["graph"] = .string(hash) }
        }
      ),
      (
        "an artifact that declares more epochs", "its graph text is not what",
        { try $0.artifactText { $0.replacing("epochs 1", with: "epochs 200") } }
      ),
      ("another schema", "schema is", { $0.result { $0["schema"] = "graphc-run/9" } }),
      ("another precision", "precision is", { $0.result { $0["precision"] = "f64" } }),
      ("another seed", "seed is", { $0.result { $0["seed"] = "7" } }),
      ("fewer steps", "train.steps is 3", { $0.result("train") { $0["steps"] = 3 } }),
      ("a lower loss", "train.loss is 1.0", { $0.result("train") { $0["loss"] = 1.0 } }),
      (
        "more speed", "tokens_per_second",
        { $0.result("train") { $0["tokens_per_second"] = 1.0e9 } }
      ),
      ("a smaller artifact", "artifact.bytes is 1", { $0.result("artifact") { $0["bytes"] = 1 } }),
      ("less code", "code_bytes is -5", { $0.result("artifact") { $0["code_bytes"] = -5 } }),
      ("another place", "artifact.path", { $0.result("artifact") { $0["path"] = "better.gca" } }),
      ("fewer tokens", "eval.tokens is 1", { $0.result("eval") { $0["tokens"] = 1 } }),
      ("more bytes", "eval.bytes is 9", { $0.result("eval") { $0["bytes"] = 9 } }),
      ("a better score", "eval.bpb_ttt is 0.9", { $0.result("eval") { $0["bpb_ttt"] = 0.9 } }),
      ("no list of scores", "has no seconds", { $0.result("eval") { $0["scores"] = [] } }),
      ("a longer list", "eval.more is 1", { $0.result("eval") { $0["more"] = 1 } }),
      ("no features", "live is missing", { $0.result { $0["live"] = nil } }),
      (
        "features beyond the end", "live has",
        { forgery in
          forgery.result {
            $0["live"] = [["feature": "clip", "first_step": 9, "last_step": 9, "params": []]]
          }
        }
      ),
    ]
    for (name, words, change) in cases {
      let outcome = try forged(change).audit()
      #expect(outcome.code == 5, "\(name): \(outcome.output)\(outcome.errors)")
      #expect(outcome.errors.contains(words), "\(name): \(outcome.errors)")
    }
  }

  @Test func refusesAnEditedResultThatNoHashFollows() throws {
    let forgery = try Forgery(of: Self.honest.get().run)
    try forgery.edit("result.json") { $0["note"] = "mine" }
    let outcome = try forgery.audit()
    #expect(outcome.code == 5)
    #expect(outcome.errors.contains("not the result that the log ends with"))
  }

  @Test func whatIsMissingIsNotOK() throws {
    for name in ["artifact.gca", "result.json", "graph.core", "log.jsonl", "graph/small.graph"] {
      let forgery = try Forgery(of: Self.honest.get().run)
      try FileManager.default.removeItem(atPath: forgery.file(name))
      let outcome = try forgery.audit()
      #expect(outcome.code == 1, "\(name): \(outcome.output)\(outcome.errors)")
      #expect(outcome.output.contains("--  "), "\(name)")
    }
    var forgery = try Forgery(of: Self.honest.get().run)
    forgery.events.removeLast()
    try forgery.close()
    let outcome = try forgery.audit()
    #expect(outcome.code == 1)
    #expect(outcome.output.contains("the run is not finished"))
  }

  @Test func dataTellsWhichCountsAreTrue() throws {
    let honest = try Self.honest.get()
    let cases: [(name: String, words: String, change: (inout Forgery) throws -> Void)] = [
      (
        "ten times the bytes", "bytes is",
        { forgery in
          forgery.each("bytes") { .int($0.intValue! * 10) }
          forgery.scoresFollow()
        }
      ),
      (
        "another validation text", "validation is not that of",
        { try $0.edit("manifest.json") { $0["validation"] = .string(SHA256.hex("other")) } }
      ),
      (
        "another tokenizer", "tokenizer is not that of",
        { try $0.edit("manifest.json") { $0["tokenizer"] = .string(SHA256.hex("other")) } }
      ),
      (
        "another training text", "data is not that of",
        { try $0.edit("manifest.json") { $0["data"] = .string(SHA256.hex("other")) } }
      ),
    ]
    for (name, words, change) in cases {
      let forgery = try forged(change)
      let outcome = try forgery.audit(data: honest.data)
      #expect(outcome.code == 5, "\(name): \(outcome.output)\(outcome.errors)")
      #expect(outcome.errors.contains(words), "\(name): \(outcome.errors)")
    }
  }

  @Test func aQuickLookAndARunOverBudgetAreNotOK() throws {
    let honest = try Self.honest.get()
    let folder = try TemporaryFolder()
    let graph = try folder.write(
      "tight.graph", smallGraph.replacing("budget 1_000_000", with: "budget 7_000"))
    let run = folder.file("tight")
    #expect(try graphc("run", graph, "--data", honest.data, "--out", run).code == 6)
    let tight = try graphc("audit", run)
    #expect(tight.code == 6, "\(tight.errors)")
    #expect(tight.output.contains("over budget"))
    let small = try folder.write("small.graph", smallGraph)
    let quick = folder.file("quick")
    #expect(
      try graphc(
        "run", small, "--data", honest.data, "--out", quick, "--validation-tokens", "64"
      ).code == 0)
    let look = try graphc("audit", quick)
    #expect(look.code == 1, "\(look.errors)")
    #expect(look.output.contains("only 64 validation tokens"))
    // Without its mark the data shows it.
    var unmarked = try Forgery(of: quick)
    try unmarked.edit("manifest.json") { $0["validation_tokens"] = .null }
    unmarked.result { $0["validation_tokens"] = .null }
    try unmarked.close()
    let shown = try unmarked.audit(data: honest.data)
    #expect(shown.code == 5)
    #expect(shown.errors.contains("targets is 64"))
  }

  @Test func adaptFirstIsNoScoreWhateverItIsCalled() throws {
    let honest = try Self.honest.get()
    let folder = try TemporaryFolder()
    let graph = try folder.write(
      "first.graph", smallGraph.replacing("ttt score_first", with: "ttt adapt_first"))
    let run = folder.file("run")
    #expect(try graphc("run", "--ttt", graph, "--data", honest.data, "--out", run).code == 0)
    let outcome = try graphc("audit", run)
    #expect(outcome.code == 5, "\(outcome.errors)")
    #expect(outcome.output.contains("not a score"))
    var renamed = try Forgery(of: run)
    renamed.events.removeAll { $0["event"] == "adapt_first" }
    renamed.each("protocol", is: "score_first")
    renamed.each("legal", is: true)
    try renamed.close()
    #expect(try renamed.audit().code == 5)
  }

  @Test func evaluationsLeaveEvidenceOfTheirOwn() throws {
    let honest = try Self.honest.get()
    let folder = try TemporaryFolder()
    let out = folder.file("evaluation")
    let artifact = honest.run + "/artifact.gca"
    let scored = try graphc(
      "eval", artifact, "--data", honest.data, "--ttt", "--out", out, "--json")
    #expect(scored.code == 0, "\(scored.errors)")
    let outcome = try graphc("audit", out, "--data", honest.data)
    #expect(outcome.code == 0, "\(outcome.output)\(outcome.errors)")
    let kept = try String(contentsOfFile: out + "/result.json", encoding: .utf8)
    #expect(try JSONValue.parse(kept).text + "\n" == scored.output)
    // Never written over.
    #expect(try graphc("eval", artifact, "--data", honest.data, "--out", out).code == 2)
    var forgery = try Forgery(of: out)
    forgery.result("eval") { $0["bpb_ttt"] = 0.5 }
    try forgery.close()
    #expect(try forgery.audit().code == 5)
    let wide = folder.file("wide")
    #expect(
      try graphc(
        "eval", artifact, "--data", honest.data, "--out", wide, "--window", "64", "--stride", "16"
      ).code == 0)
    let other = try graphc("audit", wide, "--data", honest.data)
    #expect(other.code == 1, "\(other.output)\(other.errors)")
    #expect(other.output.contains("the command line chose"))
  }
}
