// SPDX-License-Identifier: Apache-2.0
// Choices under a budget against every choice that there is.

import IR
import TestSupport
import Testing

@Suite struct PrecisionTableTests {
  private func table(_ random: inout TestRandom, entries: Int, candidates: Int) -> PrecisionTable {
    PrecisionTable(
      entries: (0..<entries).map { entry in
        PrecisionTable.Entry(
          path: "w\(entry)",
          candidates: (0..<candidates).map { _ in
            PrecisionCandidate(
              .f16, bytes: 10 + 90 * random.uniform(), damage: random.uniform())
          })
      }, fixedBytes: 5)
  }

  private func everyChoice(_ table: PrecisionTable) -> [PrecisionTable.Choice] {
    var choices: [[Int]] = [[]]
    for entry in table.entries {
      choices = choices.flatMap { head in entry.candidates.indices.map { head + [$0] } }
    }
    return choices.map { table.choice($0) }
  }

  /// It never goes over, finds a choice whenever there is one, and loses no more to the best one than a
  /// single step of one param saves.
  @Test func theChoiceIsWithinAStepOfTheBest() throws {
    var random = TestRandom(seed: 11)
    for _ in 0..<40 {
      let table = table(&random, entries: 4, candidates: 4)
      let all = everyChoice(table)
      let sizes = all.map(\.bytes)
      let largest = table.entries.map { entry in
        entry.candidates.map(\.damage).max()! - entry.candidates.map(\.damage).min()!
      }.max()!
      for part in [0.0, 0.2, 0.5, 0.8, 1.0] {
        let budget = sizes.min()! + part * (sizes.max()! - sizes.min()!)
        let best = all.filter { $0.bytes <= budget }.map(\.damage).min()!
        let found = try #require(table.choose(budget: budget + 1e-9))
        #expect(found.bytes <= budget + 1e-9)
        #expect(found == table.choice(found.indices))
        #expect(found.damage <= best + largest)
        if part == 1 { #expect(abs(found.damage - best) < 1e-12) }
      }
      #expect(table.choose(budget: sizes.min()! - 1e-6) == nil)
    }
  }

  /// On a convex curve that all params share, the budget goes where a byte saves most.
  @Test func bytesGoWhereTheySaveMost() throws {
    let entries = [1.0, 100.0].enumerated().map { index, weight in
      PrecisionTable.Entry(
        path: "w\(index)",
        candidates: (2...8).map { bits in
          PrecisionCandidate(
            .f16, bytes: Double(bits), damage: weight * Double(1 << (2 * (8 - bits))))
        })
    }
    let table = PrecisionTable(entries: entries)
    let found = try #require(table.choose(budget: 10))
    // 4^(b1 - b0) = 100 has its nearest whole solution at three bits more.
    #expect(found.indices == [1, 5])
    #expect(found.bytes == 10)
    #expect(table.leastBytes == 4)
  }
}
