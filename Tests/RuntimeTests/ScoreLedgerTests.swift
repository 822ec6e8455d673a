// SPDX-License-Identifier: Apache-2.0
// The ledger refuses a second score, an update before the score, an update for nobody, and gaps.

import Runtime
import Testing

@Suite struct ScoreLedgerTests {
  private func message(_ body: () throws -> Void) -> String? {
    #expect(throws: LegalityError.self) { try body() }?.description
  }

  @Test func eachTargetIsScoredOnce() throws {
    var ledger = ScoreLedger(targets: 8)
    try ledger.mark(0..<4)
    #expect(message { try ledger.mark(3..<6) } == "target 3 would be scored twice")
  }

  @Test func anUpdateReadsWhatWasScored() throws {
    var ledger = ScoreLedger(targets: 8)
    try ledger.mark(0..<4)
    try ledger.requireScored(1..<4)
    #expect(
      message { try ledger.requireScored(2..<6) }
        == "an update would read target 4 before it was scored")
  }

  @Test func anUpdateIsForWhatFollows() throws {
    var ledger = ScoreLedger(targets: 8)
    try ledger.mark(0..<7)
    try ledger.requireRest()
    try ledger.mark(7..<8)
    #expect(message { try ledger.requireRest() } == "an update would follow the last score")
  }

  @Test func everythingIsScoredInTheEnd() throws {
    var ledger = ScoreLedger(targets: 8)
    try ledger.mark(0..<2)
    try ledger.mark(5..<8)
    #expect(message { try ledger.checkComplete() } == "3 targets were never scored")
    try ledger.mark(2..<5)
    try ledger.checkComplete()
  }
}
