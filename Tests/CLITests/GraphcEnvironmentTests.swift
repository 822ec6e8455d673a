// SPDX-License-Identifier: Apache-2.0
// What surrounds a command: variables, kinds of files, numbers at the end of their range.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct GraphcEnvironmentTests {
  private func prepared() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try SmallData.shared.link(into: folder)
    return folder
  }

  @Test func unknownInstructionSetsAndRoutesAreRefused() throws {
    let folder = try prepared()
    for command in ["check small.graph", "doctor", "run small.graph --data data --out run"] {
      let outcome = try shell("GRAPHC_ISA=bogus $GRAPHC \(command)", in: folder.path)
      #expect(outcome.code == 2)
      #expect(outcome.errors.contains("portable, avx2, avx512, avx512bf16"))
      #expect(outcome.errors.contains("this machine has portable"))
    }
    let gemm = try shell("GRAPHC_GEMM=mkl $GRAPHC check small.graph", in: folder.path)
    #expect(gemm.code == 2)
    #expect(gemm.errors.contains("openblas"))
    // No machine has both.
    let isas = ["neon", "avx512bf16"]
    let missing = try isas.map {
      try shell("GRAPHC_ISA=\($0) $GRAPHC check small.graph", in: folder.path)
    }
    #expect(missing.contains { $0.code == 2 && $0.errors.contains("this machine lacks it") })
    for isa in isas {
      let doctor = try shell("GRAPHC_ISA=\(isa) $GRAPHC doctor --json", in: folder.path)
      #expect(doctor.code == 0, "\(doctor.errors)")
    }
    let portable = try shell("GRAPHC_ISA=portable $GRAPHC doctor --json", in: folder.path)
    #expect(portable.output.contains("\"isa\":\"portable\""))
  }

  @Test(arguments: [
    "check pipe", "dump pipe", "eval pipe --data data", "data inspect pipes",
    "data prepare --text pipe --out made", "run small.graph --data pipes --out run",
  ])
  func aPipeWithoutAWriterIsNoFile(command: String) throws {
    let folder = try prepared()
    let outcome = try shell(
      """
      mkfifo pipe && cp -rL data pipes && rm pipes/fineweb_train_*
      mkfifo pipes/fineweb_train_000001.bin
      timeout 60 $GRAPHC \(command)
      """, in: folder.path)
    #expect(outcome.code != 0 && outcome.code != 124, "\(outcome.code)")
    #expect(outcome.errors.contains("not a regular file"), "\(outcome.errors)")
  }

  @Test(arguments: [
    "run small.graph --data data --out run --steps 2 --validation-tokens NUMBER",
    "eval run0/artifact.gca --data data --validation-tokens NUMBER",
    "eval run0/artifact.gca --data data --window NUMBER",
    "eval run0/artifact.gca --data data --stride NUMBER",
    "eval run0/artifact.gca --data data --window NUMBER --stride NUMBER",
    "run small.graph --data data --out run --max-seconds 0.01 --threads NUMBER",
    "bench small.graph --steps NUMBER",
    "generate run0/artifact.gca --data data --tokens NUMBER --prompt a --threads 0",
    "data prepare --text small.graph --vocab NUMBER --out made",
    "check small.graph --set seq=NUMBER", "check small.graph --set batch=NUMBER",
    "check small.graph --set dim=NUMBER",
  ])
  func theLargestNumbersAreRefusedOrBounded(command: String) throws {
    let folder = try prepared()
    let made = try shell(
      "$GRAPHC run small.graph --data data --out run0 --steps 2", in: folder.path)
    #expect(made.code == 0)
    let number = "\(Int.max)"
    let outcome = try shell(
      "timeout 100 $GRAPHC " + command.replacingOccurrences(of: "NUMBER", with: number),
      in: folder.path)
    #expect([0, 1, 2, 3, 65].contains(outcome.code), "\(outcome.code): \(outcome.errors)")
  }
}
