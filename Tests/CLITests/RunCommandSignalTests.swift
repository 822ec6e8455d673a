// SPDX-License-Identifier: Apache-2.0
// What stops a run from outside: it saves, says so by its exit code, and goes on to the same bytes.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct RunCommandSignalTests {
  /// Shell functions: `begun` waits until the log of `run` has a step, `ended` for the last process,
  /// which it kills after half a minute.
  private let waiting = """
    begun() {
      for i in $(seq 600); do grep -q step run/log.jsonl 2>/dev/null && return; sleep 0.05; done
      kill -KILL $!; exit 90
    }
    ended() {
      for i in $(seq 600); do kill -0 $! 2>/dev/null || break; sleep 0.05; done
      kill -KILL $! 2>/dev/null; wait $!
    }
    """

  private func prepared() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    return folder
  }

  @Test(arguments: [("HUP", 129), ("TERM", 143), ("PIPE", 141)])
  func signalsSaveAndStop(signal: String, code: Int32) throws {
    let folder = try prepared()
    let outcome = try shell(
      """
      \(waiting)
      $GRAPHC run small.graph --data data --out run --steps 1000000 & begun
      kill -\(signal) $!; ended
      """, in: folder.path)
    #expect(outcome.code == code)
    #expect(outcome.errors.contains("everything is saved, continue with --resume"))
    let lines = try JSONLines.read(folder.file("run/log.jsonl"))
    let last = try #require(lines.last { $0["event"] == "step" }?["step"]?.intValue)
    let (saved, warnings) = try Checkpoint.latest(in: folder.file("run/checkpoints"))
    #expect(saved?.step == last)
    #expect(warnings.isEmpty)
  }

  @Test func aReaderThatGoesAwayStopsTheRunAfterSaving() throws {
    let folder = try prepared()
    let script = """
      { $GRAPHC run small.graph --data data --out run --steps 1000000; echo $? > code; } 2>&1 | head -1
      """
    _ = try shell(script, in: folder.path)
    #expect(try String(contentsOfFile: folder.file("code"), encoding: .utf8) == "141\n")
    let (saved, _) = try Checkpoint.latest(in: folder.file("run/checkpoints"))
    #expect(saved != nil)
  }

  @Test func nohupKeepsARunAliveWithoutItsTerminal() throws {
    let folder = try prepared()
    let outcome = try shell(
      """
      \(waiting)
      (trap '' HUP; exec $GRAPHC run small.graph --data data --out run --steps 300) & begun
      kill -HUP $!; ended
      """, in: folder.path)
    #expect(outcome.code == 0, "\(outcome.errors)")
  }

  @Test func aRunWhoseDirectoryIsRemovedFails() throws {
    let folder = try prepared()
    let outcome = try shell(
      """
      \(waiting)
      $GRAPHC run small.graph --data data --out run --steps 1000000 & begun
      mv run away; ended
      """, in: folder.path)
    #expect(outcome.code == 74, "\(outcome.code): \(outcome.errors)")
    #expect(outcome.errors.contains("removed"))
  }

  @Test func anInterruptedRunGoesOnToTheSameBytes() throws {
    let folder = try prepared()
    let outcome = try shell(
      """
      \(waiting)
      $GRAPHC run small.graph --data data --out whole --steps 400 > /dev/null || exit 91
      $GRAPHC run small.graph --data data --out run --steps 400 & begun
      kill -HUP $!; ended; test $? = 129 || exit 92
      $GRAPHC run small.graph --data data --out run --steps 400 --resume & sleep 0.2
      kill -KILL $!; wait $!
      $GRAPHC run small.graph --data data --out run --steps 400 --resume > /dev/null || exit 93
      cmp run/artifact.gca whole/artifact.gca && cmp run/audit.jsonl whole/audit.jsonl
      """, in: folder.path)
    #expect(outcome.code == 0, "\(outcome.code): \(outcome.errors)")
  }
}
