// SPDX-License-Identifier: Apache-2.0
// The protocols as lists: what is scored before what is learnt, and the rates of both.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct AdaptationOrderTests {
  private func adaptation(_ mode: TTTSettings.Mode, epochs: Int) -> TTTSettings {
    var settings = TTTSettings(mode: mode, chunk: 8, window: 4, stride: 4)
    settings.epochs = epochs
    settings.schedule = .cosineOverChunks
    return settings
  }

  @Test func scoreFirstFallsFromChunkToChunk() {
    let settings = adaptation(.scoreFirst, epochs: 3)
    let rates = (0..<5).map { settings.rate(epoch: 0, chunk: $0, of: 5) }
    #expect(absoluteDifference(rates, [1, 0.8535533905932737, 0.5, 0.1464466094067262, 0]) < 1e-12)
  }

  /// The cosine does not begin again with an epoch, and falls over epochs of a single chunk.
  @Test(arguments: [(1, 4), (2, 2), (4, 1)])
  func adaptFirstFallsOverAllEpochs(epochs: Int, chunks: Int) {
    let settings = adaptation(.adaptFirst, epochs: epochs)
    let rates = (0..<epochs).flatMap { epoch in
      (0..<chunks).map { settings.rate(epoch: epoch, chunk: $0, of: chunks) }
    }
    #expect(absoluteDifference(rates, [1, 0.8535533905932737, 0.5, 0.1464466094067262]) < 1e-12)
  }

  private func steps(
    _ mode: TTTSettings.Mode, epochs: Int, targets: Int
  ) -> [AdaptationStep] {
    var settings = adaptation(mode, epochs: epochs)
    settings.schedule = .constant
    settings.stride = 2
    return settings.steps(targets: targets)
  }

  @Test(arguments: [1, 7, 8, 9, 16, 21])
  func scoreFirstLearnsWhatItScoredAndNothingBehindTheLastScore(_ targets: Int) {
    var scored = 0
    let steps = steps(.scoreFirst, epochs: 2, targets: targets)
    for step in steps {
      switch step {
      case .score(let chunk, let windows, let range):
        #expect(range.lowerBound == scored)
        #expect(windows.allSatisfy { $0.firstScored / 8 == chunk })
        scored = range.upperBound
      case .learn(_, let range, _, let epochs):
        #expect(range.upperBound <= scored)
        #expect(scored < targets)
        #expect(epochs == 2)
      case .adaptedFirst: Issue.record("score-first scores first")
      }
    }
    #expect(scored == targets)
    let chunks = (targets - 1) / 8 + 1
    #expect(steps.count == 2 * chunks - 1)
  }

  @Test func withoutEpochsNothingIsLearnt() {
    let steps = steps(.scoreFirst, epochs: 0, targets: 20)
    #expect(steps.count == 3)
    #expect(self.steps(.adaptFirst, epochs: 0, targets: 20) == [.adaptedFirst] + steps)
  }

  @Test func adaptFirstLearnsEverythingInEveryEpochBeforeItScores() {
    let steps = steps(.adaptFirst, epochs: 2, targets: 20)
    #expect(
      steps.prefix(7) == [
        .learn(chunk: 0, targets: 0..<8, rate: 1, epochs: 1),
        .learn(chunk: 1, targets: 8..<16, rate: 1, epochs: 1),
        .learn(chunk: 2, targets: 16..<20, rate: 1, epochs: 1),
        .learn(chunk: 0, targets: 0..<8, rate: 1, epochs: 1),
        .learn(chunk: 1, targets: 8..<16, rate: 1, epochs: 1),
        .learn(chunk: 2, targets: 16..<20, rate: 1, epochs: 1), .adaptedFirst,
      ])
    #expect(Array(steps.dropFirst(7)) == self.steps(.scoreFirst, epochs: 0, targets: 20))
  }
}
