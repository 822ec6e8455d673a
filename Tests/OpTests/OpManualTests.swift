// SPDX-License-Identifier: Apache-2.0
// docs/ops.md is what the definitions say.

import IR
import TestSupport
import Testing

@Suite struct OpManualTests {
  @Test func manualOfOpsIsFresh() throws {
    #expect(try Golden(file: "docs/ops.md").expected(of: Op.manual) == Op.manual)
  }
}
