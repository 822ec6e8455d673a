// SPDX-License-Identifier: Apache-2.0
// A function runs at the sizes that it was planned for, or not at all.

import IR
import Passes
import Runtime
import TestSupport
import Testing

@Suite struct ExecutableSizesTests {
  @Test func otherRowsThanPlannedStopTheProgram() async {
    await #expect(processExitsWith: .failure) {
      let executable = try ExecutableSizesTests.scorer(rows: 2)
      _ = executable.tokens(executable.function.inputs[0].name, [4, 8])
    }
  }

  @Test func otherTargetsThanPlannedStopTheProgram() async {
    await #expect(processExitsWith: .failure) {
      _ = try ExecutableSizesTests.scorer(rows: 2).output("nll", [2, 4])
    }
  }

  @Test func plannedSizesAreAccepted() throws {
    let executable = try Self.scorer(rows: 2)
    #expect(executable.tokens(executable.function.inputs[0].name, [2, 8]).count == 16)
    #expect(executable.output("nll", [2, 8]).count == 16)
  }

  private static func scorer(rows: Int) throws -> Executable {
    let model = try Repository.model(
      "graphs/tiny.graph",
      set: ["layers": "2", "dim": "16", "heads": "1", "kv_heads": "1", "vocab": "32"])
    Machine.initialise()
    let function = try compileFunction(
      .score(last: nil), TokenSizes(rows: rows, seq: 8), of: model,
      target: TargetMachine(machine: Machine.name, isa: Machine.isa))
    let layout = ParameterLayout(model.graph.parameters)
    return try Executable(function, parameters: ParameterBlock(layout: layout), threads: 1)
  }
}
