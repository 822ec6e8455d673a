// SPDX-License-Identifier: Apache-2.0
// How much memory the phases of a plan take, before any of it is asked for.

import IR

/// The blocks that a phase of a plan holds at once. Sums stop at the largest number.
public struct MemoryNeed: Sendable {
  /// Which batch decides the size of a phase.
  public enum Batch: Hashable, Sendable {
    /// Rows of the train section.
    case training
    /// Rows of the entry of the evaluate section with this index.
    case evaluation(Int)
    /// Rows of the ttt section.
    case adaptation
  }

  public var bytes: Int
  public var batch: Batch

  /// The phases of a run, in order: training, each evaluation, test-time training.
  public static func run(_ plan: Plan, adapts: Bool) -> [MemoryNeed] {
    training(plan) + evaluation(plan, adapts: adapts)
  }

  /// The phases of scoring an artifact.
  public static func evaluation(_ plan: Plan, adapts: Bool) -> [MemoryNeed] {
    let parameters = plan.layout.bytes
    func score(_ window: Int, _ rows: Int, _ last: Int?) -> Int {
      sum(
        Set([nil, last]).map {
          bytes(plan, FunctionName.score(window: window, rows: rows, last: $0))
        })
    }
    var needs: [MemoryNeed] = []
    for (index, entry) in plan.model.settings.evaluate.enumerated() {
      let rows = entry.batch ?? scoringRows(window: entry.window)
      // Weights before and after quantisation.
      needs.append(
        MemoryNeed(
          bytes: sum([
            parameters, parameters, score(entry.window, rows, entry.scoredPerWindow),
          ]), batch: .evaluation(index)))
    }
    if adapts, let ttt = plan.model.settings.ttt {
      let last = ttt.stride == ttt.window ? nil : ttt.stride
      // The adapted weights beside both others.
      needs.append(
        MemoryNeed(
          bytes: sum([
            parameters, parameters, parameters,
            score(ttt.window, scoringRows(window: ttt.window), last),
            bytes(plan, FunctionName.adapt),
          ]), batch: .adaptation))
    }
    return needs
  }

  /// Training with its validation on the way.
  private static func training(_ plan: Plan) -> [MemoryNeed] {
    guard let train = plan.model.settings.train, let step = plan.model.step else { return [] }
    let names = step.forwardBackward
    let steps = names.map { bytes(plan, $0) }
    // Whole steps share their states.
    let shared = (names.count - 1) * (plan[names[0]]?.stateBytes ?? 0)
    let window = plan.model.longestSizes(train).seq
    let score = FunctionName.score(window: window, rows: scoringRows(window: window), last: nil)
    // What calibrates and measures stands beside training, then the functions that are planned again do.
    let sizes = plan.model.calibrationSizes
    let measured = FunctionName.score(window: sizes.seq, rows: sizes.rows, last: nil)
    let choice =
      plan.model.choosesWhileTraining
      ? max(
        sum(steps),
        sum([
          bytes(plan, FunctionName.moments), bytes(plan, measured), 3 * plan.layout.bytes,
        ])) : 0
    // The last block is what a checkpoint, or the exported weights, hold meanwhile.
    return [
      MemoryNeed(
        bytes: sum(
          [plan.layout.bytes, plan.layout.bytes, step.update.map { bytes(plan, $0) } ?? 0]
            + [bytes(plan, score), choice] + steps) - shared, batch: .training)
    ]
  }

  private static func bytes(_ plan: Plan, _ name: String) -> Int {
    plan[name]?.memoryBytes(threads: Machine.processors) ?? 0
  }

  private static func sum(_ parts: [Int]) -> Int {
    parts.reduce(0) { total, part in
      let (sum, overflow) = total.addingReportingOverflow(part)
      return overflow ? .max : sum
    }
  }
}
