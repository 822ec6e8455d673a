// SPDX-License-Identifier: Apache-2.0
// docs/graph-format.md holds the section tables as the compiler has them. UPDATE_GOLDEN=1 rewrites
// them.

import Foundation
import IR
import Language
import Testing

@Suite struct ManualTests {
  @Test func theManualHasTheTablesOfTheCompiler() throws {
    let path = "docs/graph-format.md"
    let text = try Repository.text(path)
    let (begin, end) = ("<!-- tables -->\n", "<!-- end of tables -->")
    let start = try #require(text.range(of: begin)).upperBound
    let stop = try #require(text.range(of: end)).lowerBound
    if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
      let fresh = text[..<start] + SectionTable.manual + text[stop...]
      let url = Repository.root.appendingPathComponent(path)
      try String(fresh).write(to: url, atomically: true, encoding: .utf8)
      return
    }
    #expect(text[start..<stop] == SectionTable.manual)
  }

  @Test func everySectionHasATable() {
    #expect(SectionTable.all.map(\.name) == SyntaxFile.sectionNames)
  }
}
