// SPDX-License-Identifier: Apache-2.0
// docs/ops.md is what the definitions say.

import Foundation
import IR
import Testing

@Suite struct OpManualTests {
  @Test func manualOfOpsIsFresh() throws {
    let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "docs/ops.md")
    if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
      try Op.manual.write(to: path, atomically: true, encoding: .utf8)
    }
    let found = try String(contentsOf: path, encoding: .utf8)
    #expect(
      found == Op.manual, "docs/ops.md is stale: UPDATE_GOLDEN=1 ./scripts/test --filter OpManual")
  }
}
