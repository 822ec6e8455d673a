// SPDX-License-Identifier: Apache-2.0
// The protocols of test-time training, as lists of what is scored and learnt in which order.

import Glibc
import IR

/// One thing that a protocol does.
public enum AdaptationStep: Sendable, Equatable {
  /// Scores windows: the targets of a chunk, finally.
  case score(chunk: Int, windows: [Window], targets: Range<Int>)
  /// Learns from the targets of a chunk.
  case learn(chunk: Int, targets: Range<Int>, rate: Double, epochs: Int)
  /// All that is learnt was learnt, and nothing was scored: what follows is no score.
  case adaptedFirst
}

extension TTTSettings {
  /// What the protocol does with a stream of so many targets.
  ///
  /// Score-first scores a chunk, then learns from it in all epochs. The last chunk is only scored:
  /// nothing is left that an update could help. Adapt-first passes over all chunks once an epoch, then
  /// scores all.
  public func steps(targets: Int) -> [AdaptationStep] {
    let windows = slidingWindows(targets: targets, length: window, stride: stride)
    let chunks = chunked(windows, targets: targets, chunk: chunk)
    var steps: [AdaptationStep] = []
    func learn(_ index: Int, epoch: Int, epochs: Int) {
      steps.append(
        .learn(
          chunk: index, targets: index * chunk..<min((index + 1) * chunk, targets),
          rate: rate(epoch: epoch, chunk: index, of: chunks.count), epochs: epochs))
    }
    if mode == .adaptFirst {
      for epoch in 0..<epochs {
        for index in chunks.indices { learn(index, epoch: epoch, epochs: 1) }
      }
      steps.append(.adaptedFirst)
    }
    var scored = 0
    for (index, windows) in chunks.enumerated() {
      // A chunk that is smaller than the windows of the one before it may have none of its own.
      let end = windows.last?.end ?? scored
      steps.append(.score(chunk: index, windows: windows, targets: scored..<end))
      scored = end
      if mode == .scoreFirst, epochs > 0, index + 1 < chunks.count {
        learn(index, epoch: 0, epochs: epochs)
      }
    }
    return steps
  }

  /// The multiplier of the learning rates while one of `chunks` chunks is trained on.
  ///
  /// Score-first trains a chunk once, in all its epochs, and the cosine ends at the last chunk, which
  /// is only scored. Adapt-first passes over all chunks once an epoch: the cosine falls over all
  /// passes and would reach 0 behind the last, so that none is without effect.
  public func rate(epoch: Int, chunk: Int, of chunks: Int) -> Double {
    guard schedule == .cosineOverChunks else { return 1 }
    let (pass, end) =
      mode == .scoreFirst ? (chunk, chunks - 1) : (epoch * chunks + chunk, epochs * chunks)
    return end > 0 ? 0.5 * (1 + cos(Double.pi * Double(pass) / Double(end))) : 1
  }
}
