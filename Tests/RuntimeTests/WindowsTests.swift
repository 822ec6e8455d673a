// SPDX-License-Identifier: Apache-2.0
// Windows score every target once, chunks hold the windows that begin in them.

import Runtime
import Testing

@Suite struct WindowsTests {
  @Test(arguments: [(1, 8, 3), (8, 8, 4), (9, 8, 4), (100, 8, 3), (64, 8, 8), (7, 8, 1)])
  func slidingWindowsScoreEveryTargetOnce(_ targets: Int, length: Int, stride: Int) {
    let windows = slidingWindows(targets: targets, length: length, stride: stride)
    var scored = [Int](repeating: 0, count: targets)
    for window in windows {
      #expect(window.end - window.start <= length)
      #expect(window.start <= window.firstScored)
      for target in window.firstScored..<window.end { scored[target] += 1 }
    }
    #expect(scored == [Int](repeating: 1, count: targets))
    // Every target but those of the first window is scored with full context.
    for window in windows.dropFirst() where stride < length {
      #expect(window.firstScored - window.start == length - stride)
    }
  }

  @Test func noTargetsNeedNoWindows() {
    #expect(slidingWindows(targets: 0, length: 8, stride: 4).isEmpty)
    #expect(plainWindows(targets: 7, length: 8).isEmpty)
    #expect(chunked([], targets: 0, chunk: 8).isEmpty)
  }

  @Test func plainWindowsLeaveTheRest() {
    let windows = plainWindows(targets: 20, length: 8)
    #expect(windows.map(\.start) == [0, 8])
    #expect(windows.map(\.end) == [8, 16])
  }

  @Test func chunksHoldTheWindowsWhoseTargetsBeginInThem() {
    let windows = slidingWindows(targets: 40, length: 8, stride: 4)
    let chunks = chunked(windows, targets: 40, chunk: 16)
    #expect(chunks.count == 3)
    #expect(chunks.flatMap { $0 } == windows)
    for (index, chunk) in chunks.enumerated() {
      for window in chunk { #expect(window.firstScored / 16 == index) }
    }
    // No window of a chunk reads a token that is trained on only later.
    #expect(chunks[0].allSatisfy { $0.end <= 16 })
  }
}
