// SPDX-License-Identifier: Apache-2.0
// docs/graph-format.md holds the section tables as the compiler has them. UPDATE_GOLDEN=1 rewrites
// them.

import IR
import Language
import TestSupport
import Testing

@Suite struct SectionManualTests {
  @Test func theManualHasTheTablesOfTheCompiler() throws {
    let golden = try Golden(
      "docs/graph-format.md", behind: "<!-- tables -->\n", upTo: "<!-- end of tables -->")
    #expect(try golden.expected(of: SectionTable.manual) == SectionTable.manual)
  }

  @Test func everySectionHasATable() {
    #expect(
      SectionTable.all.map(\.name) == [
        "init", "train", "qat", "quantize", "evaluate", "ttt", "expect",
      ])
  }
}
