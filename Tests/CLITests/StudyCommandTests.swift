// SPDX-License-Identifier: Apache-2.0
// Grids of consts and seeds: points are runs, stages are shared, nothing is lost.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct StudyCommandTests {
  /// A folder with the small graph, whose rates, bits and epochs are consts, and its data.
  private struct Small {
    let folder = try! TemporaryFolder()

    init() throws {
      try SmallData.shared.link(into: folder)
      try folder.write(
        "small.graph",
        smallGraph.replacing("batch = 4", with: "batch = 4, rate = 0.01, bits = 8, passes = 1")
          .replacing("adam(lr: 0.01)", with: "adam(lr: rate)")
          .replacing("int8 per_row max", with: "int4 per_row sdclip(bits)")
          .replacing("epochs 1", with: "epochs passes"))
    }

    func study(_ arguments: String) throws -> Outcome {
      try shell(
        "\"$GRAPHC\" study small.graph --data data --out study \(arguments)", in: folder.path)
    }

    func text(_ name: String) throws -> String {
      try String(contentsOfFile: folder.file(name), encoding: .utf8)
    }

    func document(_ name: String) throws -> JSONValue {
      try JSONValue.parse(Array(try text(name).utf8), file: name)
    }
  }

  @Test func pointsAreRunsAndATableSaysWhatDiffers() throws {
    let small = try Small()
    let outcome = try small.study("--vary rate=0.01,0.05 --seeds 1,2")
    #expect(outcome.code == 0, "\(outcome.errors)")
    let study = try small.document("study/study.json")
    let rows = try #require(study["rows"]?.arrayValue)
    #expect(rows.map { $0["set"]?["rate"]?.stringValue } == ["0.01", "0.05"])
    #expect(rows.allSatisfy { $0["seeds"] == 2 })
    let values = rows.map { $0["metrics"]?["bpb_sliding"]?["values"]?.arrayValue ?? [] }
    #expect(values.map(\.count) == [2, 2])
    let p = try #require(rows[1]["p"]?.doubleValue)
    #expect(p > 0 && p < 1 && rows[0]["p"] == .null)
    // The bits are those of a run alone.
    let alone = try shell(
      "\"$GRAPHC\" run small.graph --data data --out alone --set rate=0.05 --seed 2 --json",
      in: small.folder.path)
    #expect(alone.code == 0, "\(alone.errors)")
    let result = try JSONValue.parse(Array(alone.output.utf8), file: "alone")
    #expect(values[1][1] == result["eval"]?["bpb_sliding"])
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: small.folder.file("alone/artifact.gca")))
        == Data(
          contentsOf: URL(
            fileURLWithPath: small.folder.file("study/points/rate=0.05,seed=2/artifact.gca"))))
    for name in ["study.md", "study.csv"] {
      #expect(try small.text("study/\(name)").contains("bpb_sliding"))
    }
    #expect(try small.text("study/study.svg").hasPrefix("<svg"))
    #expect(outcome.output.contains("0.05"))

    // More values and seeds: what is done is kept.
    let before = try small.text("study/points/rate=0.01,seed=1/log.jsonl")
    let more = try small.study("--vary rate=0.01,0.05,0.1 --seeds 1,2 --resume --json")
    #expect(more.code == 0, "\(more.errors)")
    #expect(try small.text("study/points/rate=0.01,seed=1/log.jsonl") == before)
    let again = try JSONValue.parse(Array(more.output.utf8), file: "again")
    #expect(again["rows"]?.arrayValue?.count == 3)
    #expect(try small.study("--vary rate=0.01 --seeds 1").code != 0)
    let other = try small.study("--vary rate=0.01 --seeds 1 --steps 2 --resume")
    #expect(other.code == 2 || other.code == 64, "\(other.code)")
    #expect(other.errors.contains("steps"))
  }

  @Test(arguments: [("quantize", "bits=4,8"), ("ttt", "passes=1,2")])
  func laterStagesShareOneTraining(_ stage: String, _ vary: String) throws {
    let small = try Small()
    let outcome = try small.study("--vary \(vary) --seeds 1,2 --stage \(stage)")
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.errors.components(separatedBy: "training for seed").count == 3)
    let study = try small.document("study/study.json")
    let metrics = try #require(study["rows"]?.arrayValue).map { $0["metrics"] }
    #expect(metrics[0]?["bpb_float"] == metrics[1]?["bpb_float"])
    let own = stage == "ttt" ? "bpb_ttt" : "bpb_sliding"
    #expect(metrics[0]?[own]?["mean"] != nil)
    #expect(metrics[0]?[own]?["mean"] != metrics[1]?[own]?["mean"])
    // As a run alone would have it.
    let (name, value) = (vary.prefix { $0 != "=" }, vary.split(separator: ",")[1])
    let alone = try shell(
      "\"$GRAPHC\" run small.graph --data data --out alone --set \(name)=\(value) --seed 1 --json"
        + (stage == "ttt" ? " --ttt" : ""), in: small.folder.path)
    let result = try JSONValue.parse(Array(alone.output.utf8), file: "alone")
    #expect(metrics[1]?[own]?["values"]?.arrayValue?[0] == result["eval"]?[own])
  }

  @Test func aPointThatFailsEndsNoOther() throws {
    let small = try Small()
    // A rate that makes weights infinite.
    let outcome = try small.study("--vary rate=0.01,1e38 --seeds 1")
    #expect(outcome.code == 1)
    let study = try small.document("study/study.json")
    let states = study["points"]?.arrayValue?.map { $0["state"]?.stringValue }
    #expect(states == ["done", "failed"])
    #expect(try small.text("study/study.md").contains("failed: error:"))
    #expect(outcome.errors.contains("--resume"))
  }

  @Test func whatCannotBeStudiedIsRefusedBeforeAnythingRuns() throws {
    let small = try Small()
    for (arguments, word) in [
      ("", "--vary"), ("--vary rate", "const=value"), ("--vary rate=1,", "missing"),
      ("--vary rate=1,1", "twice"), ("--vary rate=1 --set rate=2", "twice"),
      ("--vary rat=1", "did you mean 'rate'"), ("--vary bits=-1,2 --stage quantize", "above 0"),
      ("--vary rate=0.1 --stage quantize", "--stage train"),
      ("--vary bits=4 --stage ttt", "--stage quantize"), ("--vary rate=1 --seeds a", "--seeds"),
      ("--vary rate=1 --metric bpb", "--metric"), ("--vary rate=1 --resume", "no study"),
    ] {
      let outcome = try small.study(arguments)
      #expect(outcome.code != 0 && outcome.errors.contains(word), "\(arguments): \(outcome.errors)")
      #expect(!FileManager.default.fileExists(atPath: small.folder.file("study")), "\(arguments)")
    }
  }
}
