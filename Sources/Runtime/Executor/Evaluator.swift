// SPDX-License-Identifier: Apache-2.0
// All scores that a file's evaluate and ttt sections ask for, with the audit log's evidence.

import Formats
import IR

/// Evaluates weights before and after quantisation, and adapted ones. It holds the validation
/// stream alone: no training token is within its reach.
public final class Evaluator {
  private let functions: [PlanFunction]
  private let settings: Settings
  private let stream: ValidationStream
  private let threads: Int
  private let clock: () -> Double
  private let observe: (RunEvent) throws -> Void

  public init(
    functions: [PlanFunction], settings: Settings, stream: ValidationStream, threads: Int,
    clock: @escaping () -> Double, observe: @escaping (RunEvent) throws -> Void
  ) {
    (self.functions, self.settings, self.stream) = (functions, settings, stream)
    (self.threads, self.clock, self.observe) = (threads, clock, observe)
  }

  /// Scores every entry of the evaluate section once, in the order of the file, on the weights
  /// that it names, then adapts.
  ///
  /// `float` may be nil: an artifact holds only quantised weights. Entries on float weights are
  /// then listed as left out. What would take longer than the file's limit is stopped, with all that would
  /// follow, and named in `excess` of the scores.
  public func evaluate(
    float: ParameterBlock?, quantized: ParameterBlock, adapts: Bool, audit: (any AuditSink)?
  ) throws -> EvaluationScores {
    guard stream.targets > 0 else {
      throw FormatError(
        .corrupt, file: stream.path, "the validation data has no token to predict")
    }
    var scores = EvaluationScores()
    var hashes: [ScoredWeights: String] = [:]
    let governor = EvaluationGovernor(limit: settings.evaluationLimit, clock: clock)
    for entry in settings.evaluate {
      guard let weights = entry.onFloat ? float : quantized else {
        scores.leftOut.append(entry.name)
        continue
      }
      let start = clock()
      let score = try governor.run { try self.score(entry, weights, governor) }
      guard let score else { return try stopped(entry.name, governor, audit, scores) }
      scores.entries.append(
        EvaluationScore(
          name: entry.name, window: entry.window, stride: entry.stride, weights: entry.weights,
          score: score, seconds: clock() - start))
      // Overlapping windows score every target, plain ones leave out the tail.
      if entry.stride != nil { scores.originalBytes = stream.originalBytes }
      guard let audit else { continue }
      let hash = hashes[entry.weights] ?? weights.sha256()
      hashes[entry.weights] = hash
      try audit.append(.evaluation(event(entry, score, weights: hash)))
    }
    if adapts {
      let isDone: Void? = try governor.run { try adapt(quantized, audit, &scores, governor) }
      guard isDone != nil else {
        return try stopped(PhaseClock.Name.adapt, governor, audit, scores)
      }
    }
    scores.excess = governor.excess(unfinished: nil)
    return scores
  }

  private func event(_ entry: Evaluation, _ score: Score, weights: String) -> EvaluationEvent {
    var event = EvaluationEvent()
    event.entry = entry.name
    event.window = entry.window
    event.stride = entry.stride
    event.on = entry.weights
    event.weights = weights
    event.targets = stream.targets
    (event.tokens, event.bytes) = (score.tokens, score.bytes)
    (event.nats, event.blocks) = (score.nats, score.blocks)
    return event
  }

  /// What there is when the limit ends an evaluation.
  private func stopped(
    _ name: String, _ governor: EvaluationGovernor, _ audit: (any AuditSink)?,
    _ scores: EvaluationScores
  ) throws -> EvaluationScores {
    var scores = scores
    scores.excess = governor.excess(unfinished: name)
    try audit?.append(.stop(StopEvent(name)))
    return scores
  }

  private func score(
    _ entry: Evaluation, _ weights: ParameterBlock, _ governor: EvaluationGovernor
  ) throws -> Score {
    try observe(.phase(PhaseClock.Name.evaluation(entry.name)))
    let scorer = try Scorer(
      functions, window: entry.window, rows: entry.batch ?? scoringRows(window: entry.window),
      scored: entry.scoredPerWindow, parameters: weights, threads: threads)
    let score = try scorer.evaluate(stream, stride: entry.stride) {
      try governor.check($0)
      try observe(.progress($0))
    }
    guard score.tokens > 0 else {
      throw FormatError(
        .usage,
        "\(entry.name): the \(stream.targets) validation targets do not fill one window of "
          + "\(entry.window); hold out more text or evaluate with a smaller window")
    }
    try requireFinite(score, entry.name)
    return score
  }

  private func adapt(
    _ weights: ParameterBlock, _ audit: (any AuditSink)?, _ scores: inout EvaluationScores,
    _ governor: EvaluationGovernor
  ) throws {
    guard let ttt = settings.ttt else {
      throw FormatError(.usage, "--ttt was asked for, but the file's ttt section is off or missing")
    }
    try observe(
      .phase(ttt.mode == .scoreFirst ? PhaseClock.Name.adapt : "adapt_first (not a score)"))
    var begin = AdaptationBegin()
    (begin.mode, begin.chunk, begin.epochs) = (ttt.mode, ttt.chunk, ttt.epochs)
    (begin.window, begin.stride) = (ttt.window, ttt.stride)
    begin.targets = stream.targets
    begin.weights = weights.sha256()
    try audit?.append(.begin(begin))
    let adaptation = try Adaptation(
      functions, settings: ttt, parameters: weights.copy(), threads: threads)
    var steps = 0
    let result = try adaptation.run(stream.tokens, audit: audit) {
      steps += 1
      // Scores and updates take turns: their pace is that of both.
      if steps % 2 == 0 { try governor.check($0) }
      try observe(.progress($0))
    }
    let score = Score(result.nll, targets: stream.targets, of: stream)
    try requireFinite(score, "ttt")
    var end = AdaptationEnd()
    (end.tokens, end.bytes, end.nats) = (score.tokens, score.bytes, score.nats)
    end.legal = ttt.mode == .scoreFirst
    try audit?.append(.end(end))
    scores.updates = result.updates
    scores.adaptation = AdaptationScore(
      mode: ttt.mode, window: ttt.window, stride: ttt.stride, score: score)
  }

  /// A score that is no number is no score: the run ends before anything is logged or written.
  private func requireFinite(_ score: Score, _ name: String) throws {
    guard score.nats.isFinite else {
      throw NumericFailure(
        "\(name): the score is not finite: the weights, or what the model computes from them, hold "
          + "numbers that are not; train again with lower learning rates")
    }
  }
}

extension Scorer {
  /// Evaluates a stream: windows that overlap if the scorer was made with fewer scored targets.
  public func evaluate(
    _ stream: ValidationStream, stride: Int?, progress: (Double) throws -> Void = { _ in }
  ) throws -> Score {
    let windows = evaluationWindows(targets: stream.targets, length: window, stride: stride)
    var ledger = ScoreLedger(targets: windows.last?.end ?? 0)
    for window in windows { try ledger.mark(window.firstScored..<window.end) }
    try ledger.checkComplete()
    var nll = [Float](repeating: 0, count: stream.targets)
    try score(windows, of: stream.tokens, into: &nll, progress: progress)
    return Score(nll, targets: windows.last?.end ?? 0, of: stream)
  }
}
