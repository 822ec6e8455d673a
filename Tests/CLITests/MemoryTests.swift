// SPDX-License-Identifier: Apache-2.0
// Plans larger than the memory: refused before anything is written, with the batch that would fit.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct MemoryTests {
  private func prepared(_ graph: String = smallGraph) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    try folder.write("small.graph", graph)
    return folder
  }

  /// The number behind "the largest batch that fits is".
  private func fitting(_ text: String) throws -> Int {
    let match = try #require(try /largest batch that fits is (\d+)/.firstMatch(in: text))
    return try #require(Int(match.1))
  }

  @Test func checkAndCompileSayThatAPlanDoesNotFitAndSucceed() throws {
    let folder = try prepared()
    let check = try shell("$GRAPHC check small.graph --set batch=20000000", in: folder.path)
    #expect(check.code == 0, "\(check.errors)")
    let batch = try fitting(check.output)
    for (rows, fits) in [(20_000_000, false), (batch, true), (batch + 1, false)] {
      let json = try shell(
        "$GRAPHC check small.graph --set batch=\(rows) --json", in: folder.path
      ).output
      let memory = try JSONValue.parse(Array(json.utf8))["memory"]
      #expect(memory?["fits"] == .bool(fits), "\(rows)")
      let needed = try #require(memory?["needed_bytes"]?.intValue)
      let available = try #require(memory?["available_bytes"]?.intValue)
      #expect((needed <= available) == fits)
    }
    let compile = try shell("$GRAPHC compile small.graph --set batch=20000000", in: folder.path)
    #expect(compile.code == 0)
    #expect(try fitting(compile.errors) == batch)
  }

  @Test func commandsThatExecuteAPlanRefuseIt() throws {
    let folder = try prepared()
    let run = try shell(
      "$GRAPHC run small.graph --data data --out a/run --set batch=20000000", in: folder.path)
    #expect(run.code == 1, "\(run.errors)")
    #expect(run.errors.contains("bytes of memory"))
    #expect(run.errors.contains("--set batch=\(try fitting(run.errors))"))
    #expect(!FileManager.default.fileExists(atPath: folder.file("a")))
    let bench = try shell("$GRAPHC bench small.graph --set batch=20000000", in: folder.path)
    #expect(bench.code == 1)
    #expect(try fitting(bench.errors) > 1000)
    let made = try shell("$GRAPHC run small.graph --data data --out run --steps 2", in: folder.path)
    #expect(made.code == 0)
    let eval = try shell(
      "$GRAPHC eval run/artifact.gca --data data --window 1000000000", in: folder.path)
    #expect(eval.code == 1)
    #expect(eval.errors.contains("no batch is small enough"))
    let beyond = try shell(
      "$GRAPHC eval run/artifact.gca --data data --window 9223372036854775807", in: folder.path)
    #expect(beyond.code == 2)
  }

  @Test func aBatchOfAdaptationThatDoesNotFitIsRefusedBeforeTraining() throws {
    let folder = try prepared(
      smallGraph.replacingOccurrences(of: "batch 2 rows", with: "batch 1_000_000_000 rows"))
    let run = try shell("$GRAPHC run --ttt small.graph --data data --out run", in: folder.path)
    #expect(run.code == 1, "\(run.errors)")
    #expect(run.errors.contains("test-time training needs"))
    #expect(try fitting(run.errors) > 2)
    #expect(!FileManager.default.fileExists(atPath: folder.file("run")))
    #expect(try graphc("check", folder.file("small.graph")).output.contains("batch"))
  }

  @Test func theLimitOfAddressesCounts() throws {
    let folder = try prepared()
    let outcome = try shell(
      "ulimit -v 4000000; $GRAPHC check small.graph --json", in: folder.path)
    let memory = try JSONValue.parse(Array(outcome.output.utf8))["memory"]
    #expect(memory?["limited_by"] == "RLIMIT_AS")
    #expect((memory?["available_bytes"]?.intValue ?? .max) < 4_096_000_000)
  }
}
