// SPDX-License-Identifier: Apache-2.0
// Normalisation seen from outside: the probabilities of all tokens at a place add up to one.

import Glibc
import IR

/// How far sums of probabilities are from one.
public struct SumReport: Sendable {
  /// Places by window kind and protocol, in order.
  public var places: [(name: String, count: Int)] = []
  /// The place whose sum is farthest from one.
  public var worst: (name: String, target: Int, sum: Double)?

  /// What f32 leaves of the nll of thousands of tokens, and far less than any gain is worth.
  public static let tolerance = 1e-4

  /// |Σ - 1| of the worst place; infinite where a sum is no number.
  public var error: Double {
    guard let worst else { return 0 }
    return worst.sum.isFinite ? abs(worst.sum - 1) : .infinity
  }
  public var isNormalised: Bool { error <= SumReport.tolerance }
}

extension Recomputation {
  /// Sums exp(-nll) over the vocabulary at `count` places or more in every window kind, and under
  /// the weights that the run's protocol has there.
  ///
  /// Every nll comes from the scoring functions with that token as the target. All rows of a call
  /// hold one window and differ in their targets, so a few calls sum at all places of a window.
  public func sums(places count: Int) throws -> SumReport {
    var report = SumReport()
    for kind in windowKinds {
      try observe(.phase("sum " + kind.description))
      let scorer = try kind.scorer(of: self)
      let windows = kind.windows(targets: stream.targets)
      let chosen = summed(windows, count, rows: kind.rows)
      var places = 0
      for (index, window) in chosen.enumerated() {
        report.note(sums(window, scorer), kind.description, &places, window)
        try observe(.progress(Double(index + 1) / Double(chosen.count)))
      }
      report.places.append((kind.description, places))
    }
    if let ttt { try sumWhileAdapting(count, ttt, &report) }
    return report
  }

  private func sumWhileAdapting(
    _ count: Int, _ ttt: TTTSettings, _ report: inout SumReport
  ) throws {
    try observe(.phase("sum ttt"))
    let learner = try ttt.learner(functions, parameters: parameters.copy(), threads: threads)
    let steps = ttt.steps(targets: stream.targets)
    let windows = steps.flatMap { step -> [Window] in
      if case .score(_, let windows, _) = step { windows } else { [] }
    }
    let chosen = Set(summed(windows, count, rows: learner.scorer.rows))
    var places = 0
    learner.begin()
    for (index, step) in steps.enumerated() {
      switch step {
      case .score(_, let windows, _):
        for window in windows where chosen.contains(window) {
          report.note(sums(window, learner.scorer), "ttt", &places, window)
        }
      case .learn(_, let targets, let rate, let epochs):
        _ = try learner.learn(targets, of: stream.tokens, rate: rate, epochs: epochs) { _ in }
      case .adaptedFirst: break
      }
      try observe(.progress(Double(index + 1) / Double(steps.count)))
    }
    report.places.append(("ttt", places))
  }

  /// Windows that hold `count` places: as many different ones as a hundred calls can sum.
  private func summed(_ windows: [Window], _ count: Int, rows: Int) -> [Window] {
    guard !windows.isEmpty, count > 0 else { return [] }
    let usual = windows[windows.count / 2]
    let needed = 1 + count / max(usual.end - usual.firstScored, 1)
    let affordable = max(1, 128 * rows / max(stream.table.vocab, 1))
    let wanted = max(min(count, affordable), needed)
    return numbers(wanted, below: windows.count, for: "sum").map { windows[$0] }
  }

  /// Σ exp(-nll) at each target that the window scores.
  private func sums(_ window: Window, _ scorer: Scorer) -> [Double] {
    let call = scorer.calls([Window](repeating: window, count: scorer.rows))[0]
    scorer.load(call, of: stream.tokens)
    let vocabulary = stream.table.vocab
    var sums = [Double](repeating: 0, count: window.end - window.firstScored)
    for first in stride(from: 0, to: vocabulary, by: call.rows) {
      let targets = call.targets
      for row in 0..<call.rows {
        let token = Int32(min(first + row, vocabulary - 1))
        for index in row * call.scored..<(row + 1) * call.scored { targets[index] = token }
      }
      let nll = scorer.run(call)
      for row in 0..<min(call.rows, vocabulary - first) {
        for target in window.firstScored..<window.end {
          sums[target - window.firstScored] += exp(-Double(nll[call.place(of: target, row: row)]))
        }
      }
    }
    return sums
  }
}

extension SumReport {
  fileprivate mutating func note(
    _ sums: [Double], _ name: String, _ places: inout Int, _ window: Window
  ) {
    places += sums.count
    for (index, sum) in sums.enumerated() where error.isFinite {
      guard worst == nil || !sum.isFinite || abs(sum - 1) > error else { continue }
      worst = (name, window.firstScored + index, sum)
    }
  }
}
