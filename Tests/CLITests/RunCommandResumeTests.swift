// SPDX-License-Identifier: Apache-2.0
// Resuming after every fault, for longer, and under a lock; and what is refused, in words.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct RunCommandResumeTests {
  /// A folder with data, a graph and a finished run of four steps named `run`.
  private func finished() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    let run = try shell("$GRAPHC run small.graph --data data --out run --steps 4", in: folder.path)
    try #require(run.code == 0, "\(run.errors)")
    return folder
  }

  private func resume(_ folder: TemporaryFolder, _ arguments: String = "--steps 4") throws
    -> Outcome
  {
    try shell(
      "$GRAPHC run small.graph --data data --out run --resume \(arguments)", in: folder.path)
  }

  private func events(_ folder: TemporaryFolder) throws -> [String] {
    try AuditLog.verify(folder.file("run/audit.jsonl")).compactMap { $0["event"]?.stringValue }
  }

  private func artifact(_ folder: TemporaryFolder) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.file("run/artifact.gca")))
  }

  /// What a crash may leave, as a script in the folder above the run.
  @Test(arguments: [
    "true",
    "rm -r run/checkpoints",
    "rm -r run/checkpoints && : > run/audit.jsonl",
    "printf '{\"event\":\"eval' >> run/audit.jsonl",
    "printf '{\"event\":\"st' >> run/log.jsonl",
    "rm run/audit.jsonl",
    "rm run/log.jsonl",
    "rm -r run/graph run/graph.core",
    ": > run/manifest.json.tmp-4711-1 && : > run/result.json.tmp-4711-2",
    "mkdir run/checkpoints/.partial-step-00000004",
    "rm run/result.json run/artifact.gca",
  ])
  func resumesAfter(fault: String) throws {
    let folder = try finished()
    let (before, log) = (try artifact(folder), try events(folder))
    #expect(try shell(fault, in: folder.path).code == 0)
    let resumed = try resume(folder)
    #expect(resumed.code == 0, "\(resumed.errors)")
    #expect(try artifact(folder) == before)
    #expect(try events(folder) == log)
    // Steps whose log is gone cannot be compared with the result.
    let isLogGone = fault == "rm run/log.jsonl"
    #expect(try graphc("audit", folder.file("run")).code == (isLogGone ? 1 : 0))
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("run"))
    #expect(!names.contains { $0.contains(".tmp-") })
  }

  @Test(arguments: [
    "mkdir run && : > run/manifest.json.tmp-4711-1",
    "mkdir -p run/graph && : > run/lock && : > run/graph.core && : > run/graph/small.graph",
  ])
  func beginsWhereARunNeverBegan(fault: String) throws {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    #expect(try shell(fault, in: folder.path).code == 0)
    let run = try shell("$GRAPHC run small.graph --data data --out run --steps 2", in: folder.path)
    #expect(run.code == 0, "\(run.errors)")
  }

  @Test func oneProcessAtATimeWritesToARun() throws {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    let outcome = try shell(
      """
      begun() { for i in $(seq 600); do grep -q step run/log.jsonl 2>/dev/null && return; sleep 0.05; done; exit 90; }
      $GRAPHC run small.graph --data data --out run --steps 1000000 & begun
      $GRAPHC run small.graph --data data --out run --steps 1000000 --resume 2> second; code=$?
      grep -q "process $! is writing" second || exit 91
      kill -KILL $!; wait $!
      $GRAPHC run small.graph --data data --out run --steps 1000000 --resume 2> third & sleep 0.5
      kill -TERM $!; wait $!; test $? = 143 || exit 92
      exit $code
      """, in: folder.path)
    #expect(outcome.code == 2, "\(outcome.code)")
  }

  // MARK: Longer runs and changed sections

  @Test func goesOnForLongerAndSaysThatTheScheduleWasAnother() throws {
    let folder = try finished()
    let resumed = try resume(folder, "--steps 6")
    #expect(resumed.code == 0, "\(resumed.errors)")
    #expect(resumed.errors.contains("resumed after step 4"))
    #expect(resumed.errors.contains("the first 4 steps followed the schedule of 4 steps"))
    let manifest = try JSONValue.parse(
      try String(contentsOfFile: folder.file("run/manifest.json"), encoding: .utf8))
    #expect(manifest["length"]?["steps"] == 6)
    #expect(manifest["resumed"]?.arrayValue?.first?["after_step"] == 4)
    #expect(try graphc("audit", folder.file("run")).code == 0)
    let shorter = try resume(folder, "--steps 5")
    #expect(shorter.code == 2)
    #expect(shorter.errors.contains("started for 6 steps, 5 steps would be shorter"))
  }

  @Test(arguments: [
    ("stride 8", "stride 4"), ("budget 1_000_000 bytes", "budget 900_000 bytes"),
    ("int8 per_row max", "int6 per_row sdclip(5)"), ("epochs 1", "epochs 2"),
    ("checkpoint every 2", "checkpoint every 4"),
    ("ttt score_first", "expect { }\n\nttt score_first"),
  ])
  func goesOnWithSectionsThatTrainingDoesNotRead(old: String, new: String) throws {
    let folder = try finished()
    try folder.write("small.graph", smallGraph.replacingOccurrences(of: old, with: new))
    let resumed = try resume(folder, "--steps 4 --ttt")
    #expect(resumed.code == 0, "\(resumed.errors)")
    #expect(try graphc("audit", folder.file("run")).code == 0)
    let kept = try String(contentsOfFile: folder.file("run/graph/small.graph"), encoding: .utf8)
    #expect(kept.contains(new))
  }

  @Test func refusesOtherTrainingNamingConstsAndLines() throws {
    let folder = try finished()
    let before = try artifact(folder)
    let consts = try resume(folder, "--steps 4 --set dim=8 --set batch=2")
    #expect(consts.code == 2)
    #expect(consts.errors.contains("const batch was 4, is 2"))
    #expect(consts.errors.contains("const dim was 16, is 8"))
    try folder.write(
      "small.graph", smallGraph.replacingOccurrences(of: "adam(lr: 0.01)", with: "adam(lr: 0.02)"))
    let lines = try resume(folder)
    #expect(lines.code == 2)
    #expect(lines.errors.contains("small.graph:16 was:   optimizer default adam(lr: 0.01)"))
    #expect(lines.errors.contains("small.graph:16 is:   optimizer default adam(lr: 0.02)"))
    #expect(try resume(folder, "--steps 4 --seed 2").errors.contains("seed"))
    #expect(try artifact(folder) == before)
  }

  @Test func divergedTrainingIsNoSuccessAndItsFolderStaysUsable() throws {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    try folder.write(
      "small.graph", smallGraph.replacingOccurrences(of: "adam(lr: 0.01)", with: "sgd(lr: 1e38)"))
    let command = "$GRAPHC run small.graph --data data --out run --steps 50"
    for option in ["", " --resume"] {
      let outcome = try shell(command + option, in: folder.path)
      #expect(outcome.code == 8, "\(outcome.errors)")
    }
  }

  // MARK: Places

  @Test func placesThatNoRunCanUseAreRefusedBeforeTraining() throws {
    let folder = try finished()
    let run = "$GRAPHC run small.graph --data data --steps 2 --out "
    let empty = try shell(run + "''", in: folder.path)
    #expect(empty.code == 2)
    #expect(empty.errors.contains("--out"))
    let taken = try shell(run + "run", in: folder.path)
    #expect(taken.code == 2)
    #expect(taken.errors.contains("--resume"))
    #expect(try shell("mkdir full && : > full/note && " + run + "full", in: folder.path).code == 2)
    #expect(try shell(run + "small.graph", in: folder.path).code == 2)
    #expect(try shell(run + "/proc/run", in: folder.path).code != 0)
    let core = try graphc("dump", folder.file("small.graph")).output
    try folder.write(
      "evil.core", core.replacingOccurrences(of: "core 1 \"small\"", with: "core 1 \"../evil\""))
    let evil = try shell("$GRAPHC run evil.core --data data --steps 2", in: folder.path)
    #expect(evil.code == 2 || evil.code == 3, "\(evil.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.file("evil")))
    #expect(!FileManager.default.fileExists(atPath: folder.file("runs")))
  }
}
