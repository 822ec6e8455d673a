// SPDX-License-Identifier: Apache-2.0
// The limits of seconds that a file declares: who ends training before its own, and evaluation.

import Formats
import IR

/// A phase took, or would have taken, more seconds than its file allows.
public struct OverLimit: Error, Sendable, Equatable {
  /// `training` or `evaluation`, as the file says it.
  public var work: String
  public var limit: Double
  /// Seconds that were spent.
  public var seconds: Double
  /// The evaluation that was stopped; nil where everything was done all the same.
  public var unfinished: String?
}

/// Ends training in time: it knows what a further step and the end of training will take.
package struct TrainingGovernor {
  /// Phases that `limit training` counts. What quantising reads of training text is billed to its own phases.
  package static let phases = [
    PhaseClock.Name.train, PhaseClock.Name.validate, PhaseClock.Name.checkpoint,
  ]
  /// Bytes a second at which a checkpoint is expected to reach a disk, before one was written.
  private static let slowDisk = 50e6

  /// Bytes of a checkpoint.
  package let checkpointBytes: Int
  /// Tokens that a validation scores, as part of those of a step.
  package let validationPart: Double
  private var checkpoint: Double?
  private var validation: Double?

  package init(checkpointBytes: Int, validationPart: Double) {
    (self.checkpointBytes, self.validationPart) = (checkpointBytes, validationPart)
  }

  package mutating func noteCheckpoint(_ seconds: Double) {
    checkpoint = max(seconds, checkpoint ?? 0)
  }
  package mutating func noteValidation(_ seconds: Double) {
    validation = max(seconds, validation ?? 0)
  }

  /// Seconds to keep for a further step, the last validation and the last checkpoint, after steps that took so
  /// long. A step is forward, backward and update, so a token of it takes longer than one that is scored.
  package func reserve(steps seconds: [Double]) -> Double {
    let longest = seconds.max() ?? 0
    return longest + (validation ?? validationPart * longest)
      + (checkpoint ?? Double(checkpointBytes) / Self.slowDisk)
  }
}

/// Stops evaluations that would not end in time.
package final class EvaluationGovernor {
  /// Thrown out of an evaluation that would take too long.
  private struct Stop: Error {}

  private let limit: Double?
  private let clock: () -> Double
  private let began: Double
  private var entryBegan: Double
  /// The first look at the entry. What is done but once, as to touch memory, lies before it.
  private var first: (part: Double, seconds: Double)?
  /// Parts of an entry and of the limit after which the pace of the entry is believed.
  private static let believed = 0.1

  package init(limit: Double?, clock: @escaping () -> Double) {
    (self.limit, self.clock) = (limit, clock)
    began = clock()
    entryBegan = began
  }

  private var seconds: Double { clock() - began }

  /// Runs an evaluation, which calls `check` on its way; nil where it was stopped.
  package func run<Result>(_ body: () throws -> Result) throws -> Result? {
    (entryBegan, first) = (clock(), nil)
    do {
      if let limit, seconds >= limit { throw Stop() }
      return try body()
    } catch is Stop {
      return nil
    }
  }

  /// Throws `Stop` where the limit is reached, or the pace of the entry, of which `part` is done, leads
  /// beyond it.
  package func check(_ part: Double) throws {
    guard let limit, part < 1 else { return }
    let (used, entry) = (seconds, clock() - entryBegan)
    if used >= limit { throw Stop() }
    guard let first, part > first.part else {
      first = first ?? (part, entry)
      return
    }
    guard part >= Self.believed || entry >= Self.believed * limit else { return }
    let left = (entry - first.seconds) * (1 - part) / (part - first.part)
    if used + left > limit { throw Stop() }
  }

  /// What is wrong with the seconds that all evaluations took; `unfinished` is the one that was stopped.
  package func excess(unfinished: String?) -> OverLimit? {
    let seconds = seconds
    guard let limit, unfinished != nil || seconds > limit else { return nil }
    return OverLimit(work: "evaluation", limit: limit, seconds: seconds, unfinished: unfinished)
  }
}
