// SPDX-License-Identifier: Apache-2.0
// Output arrives where it was sent, or the exit code says that it did not.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct OutputTests {
  /// A folder with data, a graph, weights, tokens and a finished run.
  private static let prepared = Result { () throws -> TemporaryFolder in
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    try folder.write("messy.graph", "const a=3\n")
    try folder.write("text.txt", sampleText())
    let run = try shell("$GRAPHC run small.graph --data data --out run --steps 2", in: folder.path)
    try #require(run.code == 0, "\(run.errors)")
    let dumped = try shell(
      "$GRAPHC dump run/artifact.gca --as safetensors -o weights.safetensors", in: folder.path)
    try #require(dumped.code == 0, "\(dumped.errors)")
    let header = "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 33), }"
    let padded = header + String(repeating: " ", count: 128 - 11 - header.count) + "\n"
    var npy: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(padded.utf8.count), 0]
    npy += Array(padded.utf8) + [UInt8](repeating: 0, count: 33 * 4)
    try Data(npy).write(to: URL(fileURLWithPath: folder.file("tokens.npy")))
    return folder
  }

  @Test(arguments: [
    "--help", "--version", "run --help", "dump small.graph", "dump small.graph --as table",
    "dump run/artifact.gca", "check small.graph", "check small.graph --json", "compile small.graph",
    "compile small.graph -o -", "compile small.graph --dump-ir",
    "compile small.graph --dump-ir-after all", "fmt - < messy.graph", "fmt --check messy.graph",
    "data inspect data", "data inspect data --json",
    "data prepare --text text.txt --vocab 300 --out made", "doctor",
    "doctor --json", "audit run", "audit run --json", "eval run/artifact.gca --data data",
    "eval run/artifact.gca --data data --json",
    "generate run/artifact.gca --data data --prompt a --tokens 2",
    "exec small.graph --function logits --weights weights.safetensors --tokens tokens.npy --json",
    "bench small.graph --steps 1", "bench small.graph --steps 1 --json",
    "run small.graph --data data --out run2 --steps 2",
    "run small.graph --data data --out run3 --steps 2 --json",
  ])
  func outputIntoAFullDeviceIsAnError(command: String) throws {
    let folder = try Self.prepared.get()
    let outcome = try shell("$GRAPHC \(command) > /dev/full", in: folder.path)
    #expect(outcome.code == 74, "\(outcome.code): \(outcome.errors)")
    #expect(outcome.errors.contains("standard output"))
  }

  @Test func closedOutputIsAnErrorAndClosedErrorIsNone() throws {
    let folder = try Self.prepared.get()
    #expect(try shell("$GRAPHC dump small.graph >&-", in: folder.path).code == 74)
    let outcome = try shell("$GRAPHC dump small.graph 2>&-", in: folder.path)
    #expect(outcome.code == 0)
    #expect(outcome.output.hasPrefix("core 1"))
    let closed = try shell("$GRAPHC check - <&-", in: folder.path)
    #expect(closed.code == 74)
    #expect(closed.errors.contains("standard input"))
  }

  @Test func closedDescriptorsAreNotThoseOfTheRunsFiles() throws {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    let outcome = try shell(
      "$GRAPHC run small.graph --data data --out run <&- >&- 2>&-", in: folder.path)
    #expect(outcome.code == 74)
    for name in ["log.jsonl", "audit.jsonl"] {
      let lines = try JSONLines.read(folder.file("run/" + name))
      #expect(lines.allSatisfy { $0["event"] != nil }, "\(name)")
    }
    #expect(try AuditLog.verify(folder.file("run/audit.jsonl")).count > 1)
  }

  @Test func aClosedPipeOfAFinishedCommandIsNoSuccess() throws {
    let folder = try Self.prepared.get()
    let script = "{ $GRAPHC compile small.graph --dump-ir-after all; echo $? > code; } | true"
    _ = try shell(script, in: folder.path)
    #expect(try String(contentsOfFile: folder.file("code"), encoding: .utf8) == "141\n")
  }

  // MARK: -o

  @Test func pipesAndDevicesAreWrittenInto() throws {
    let folder = try TemporaryFolder()
    try folder.write("small.graph", smallGraph)
    let outcome = try shell(
      """
      mkfifo pipe && ln -s /dev/null sink && ln -s /dev/full full
      cat pipe > copy & $GRAPHC dump small.graph -o pipe && wait && test -p pipe || exit 91
      $GRAPHC dump small.graph -o sink && test -L sink && test -c /dev/null || exit 92
      $GRAPHC dump small.graph -o full; test $? = 74 && test -L full || exit 93
      $GRAPHC dump small.graph -o /dev/stdout > direct && cmp direct copy || exit 94
      """, in: folder.path)
    #expect(outcome.code == 0, "\(outcome.errors)")
    let copy = try String(contentsOfFile: folder.file("copy"), encoding: .utf8)
    #expect(copy == (try shell("$GRAPHC dump small.graph", in: folder.path).output))
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(Set(names) == ["small.graph", "pipe", "sink", "full", "copy", "direct"])
  }

  @Test func linksAndModesSurviveWriting() throws {
    let folder = try TemporaryFolder()
    try folder.write("small.graph", smallGraph)
    let outcome = try shell(
      """
      mkdir there && echo old > there/plan && chmod 640 there/plan && ln -s there/plan plan
      printf 'const a=3\\n' > there/messy.graph && chmod 600 there/messy.graph
      ln -s there/messy.graph first && ln -s first messy.graph
      ln -s there/new new
      $GRAPHC compile small.graph -o plan && $GRAPHC fmt messy.graph || exit 91
      $GRAPHC compile small.graph -o new && cmp there/new there/plan || exit 92
      test -L plan && test -L messy.graph && test -L first && test -L new || exit 93
      stat -c %a there/plan there/messy.graph
      cat there/messy.graph
      """, in: folder.path)
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.output == "640\n600\nconst a = 3\n")
    #expect(try shell("ls -A there | wc -l", in: folder.path).output == "3\n")
  }
}
