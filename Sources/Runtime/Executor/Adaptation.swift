// SPDX-License-Identifier: Apache-2.0
// The driver of test-time training: it alone decides what a learner scores and learns when, keeps the
// ledger of scored targets, and leaves the evidence.

import Formats
import IR

/// Runs a protocol over a stream. Score-first: a chunk's targets are scored, finally, before any
/// update reads them.
public final class Adaptation {
  public struct Result {
    /// nll of every target, in nats.
    public var nll: [Float]
    /// Σ nll of each chunk.
    public var chunks: [Double] = []
    /// Rate and gradient norm of each update.
    public var updates: [AdaptationUpdate] = []
    /// Gradient norm of each update, before clipping.
    public var gradientNorms: [Double] { updates.map(\.gradientNorm) }
  }

  private let settings: TTTSettings
  private let learner: any Learner

  /// A driver of the learner that `settings` declare; `parameters` are changed by it, give a copy.
  public init(
    _ functions: [PlanFunction], settings: TTTSettings, parameters: ParameterBlock, threads: Int
  ) throws {
    self.settings = settings
    learner = try settings.learner(functions, parameters: parameters, threads: threads)
  }

  /// Runs the protocol of the settings over a stream.
  ///
  /// Every score and update is appended to `audit`, with hashes of the state before and after.
  public func run(
    _ tokens: [Int32], audit: (any AuditSink)? = nil, progress: (Double) throws -> Void = { _ in }
  ) throws -> Result {
    var ledger = ScoreLedger(targets: tokens.count - 1)
    var result = Result(nll: [Float](repeating: 0, count: tokens.count - 1))
    let steps = settings.steps(targets: tokens.count - 1)
    learner.begin()
    for (index, step) in steps.enumerated() {
      switch step {
      case .score(let chunk, let windows, let targets):
        try learner.scorer.score(windows, of: tokens, into: &result.nll)
        for window in windows { try ledger.mark(window.firstScored..<window.end) }
        let nats = targets.reduce(0.0) { $0 + Double(result.nll[$1]) }
        guard nats.isFinite else {
          throw NumericFailure(
            "chunk \(chunk): the score is not finite; lower the lr of test-time training")
        }
        result.chunks.append(nats)
        try log(audit) { scoreEvent(chunk, targets, nats) }
      case .learn(let chunk, let targets, let rate, let epochs):
        if settings.mode == .scoreFirst { try ledger.requireRest() }
        let before = audit == nil ? "" : learner.stateHash()
        result.updates += try learner.learn(targets, of: tokens, rate: rate, epochs: epochs) {
          if settings.mode == .scoreFirst { try ledger.requireScored($0) }
        }
        // What is learnt before anything is scored needs no evidence: its scores are none.
        guard settings.mode == .scoreFirst else { break }
        try log(audit) { updateEvent(chunk, targets, rate, epochs, before: before) }
      case .adaptedFirst:
        try log(audit) { adaptedFirstEvent() }
      }
      try progress(Double(index + 1) / Double(steps.count))
    }
    try ledger.checkComplete()
    return result
  }

  // MARK: Evidence

  private func log(_ audit: (any AuditSink)?, _ event: () -> AuditEvent) throws {
    if let audit { try audit.append(event()) }
  }

  private func scoreEvent(_ chunk: Int, _ targets: Range<Int>, _ nats: Double) -> AuditEvent {
    var event = ScoreEvent()
    (event.chunk, event.first, event.end) = (chunk, targets.lowerBound, targets.upperBound)
    event.nats = nats
    event.weights = learner.stateHash()
    return .score(event)
  }

  private func updateEvent(
    _ chunk: Int, _ targets: Range<Int>, _ rate: Double, _ epochs: Int, before: String
  ) -> AuditEvent {
    var event = UpdateEvent()
    (event.chunk, event.first, event.end) = (chunk, targets.lowerBound, targets.upperBound)
    (event.epochs, event.rate) = (epochs, rate)
    (event.before, event.after) = (before, learner.stateHash())
    return .update(event)
  }

  private func adaptedFirstEvent() -> AuditEvent {
    var event = AdaptFirstEvent()
    event.weights = learner.stateHash()
    return .adaptFirst(event)
  }
}
