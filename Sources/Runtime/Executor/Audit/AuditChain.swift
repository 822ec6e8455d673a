// SPDX-License-Identifier: Apache-2.0
// The order of a log's events: which may follow which, and what each must have in common with those
// before it.

import Formats
import IR

/// An event and the line that it stands in, counted from 1; the genesis record is line 1.
public struct AuditLine<Event: Sendable & Equatable>: Sendable, Equatable {
  public let line: Int
  public let event: Event
}

/// From `ttt begin` to `ttt end`.
public struct AdaptationLines: Sendable, Equatable {
  public let begin: AuditLine<AdaptationBegin>
  public internal(set) var adaptFirst: AuditLine<AdaptFirstEvent>?
  public internal(set) var scores: [AuditLine<ScoreEvent>] = []
  public internal(set) var updates: [AuditLine<UpdateEvent>] = []
  /// nil: the log stops before.
  public internal(set) var end: AuditLine<AdaptationEnd>?

  var isScoreFirst: Bool { begin.event.mode == .scoreFirst }
  /// Chunks of the stream.
  var chunks: Int { (begin.event.targets - 1) / begin.event.chunk + 1 }
  /// Targets 0 ..< scored were scored.
  var scored: Int { scores.last?.event.end ?? 0 }

  /// Hash of the weights that the next score must have.
  var weights: String {
    updates.last?.event.after ?? adaptFirst?.event.weights ?? begin.event.weights
  }
}

/// The events of a log, in an order that the protocols allow.
public struct AuditChain: Sendable {
  public let genesis: AuditGenesis
  /// The artifact, sealed before anything is scored.
  public private(set) var artifact: AuditLine<ArtifactEvent>?
  public private(set) var evaluations: [AuditLine<EvaluationEvent>] = []
  public private(set) var adaptation: AdaptationLines?
  /// Where the limit of seconds ended evaluation.
  public private(set) var stop: AuditLine<StopEvent>?
  /// The last line of a run that is finished.
  public private(set) var result: AuditLine<ResultEvent>?
  private let path: String

  /// Reads the events of a log, genesis first. Throws at the first line that breaks a rule.
  package init(_ events: [[String: JSONValue]], path: String) throws {
    self.path = path
    do throws(AuditEventError) {
      genesis = try AuditGenesis(members: events[0])
    } catch {
      throw LegalityError(description: "\(path): line 1: \(error.message)")
    }
    for (index, event) in events.enumerated().dropFirst() { try read(event, index + 1) }
    if let adaptation, adaptation.end == nil, stop == nil {
      throw violation(events.count, "the log ends inside test-time training; resume the run")
    }
  }

  package func violation(_ line: Int, _ message: String) -> LegalityError {
    LegalityError(description: "\(path): line \(line): \(message)")
  }

  private mutating func read(_ members: [String: JSONValue], _ line: Int) throws {
    let event: AuditEvent
    do {
      event = try AuditEvent(json: members)
    } catch {
      throw violation(line, error.message)
    }
    if let result {
      throw violation(line, "the log ended with the result in line \(result.line)")
    }
    if let stop {
      guard case .result = event else {
        throw violation(
          line, "evaluation was stopped in line \(stop.line), only a result can follow")
      }
    }
    switch event {
    case .artifact(let event):
      if let artifact {
        throw violation(line, "an artifact was sealed before, in line \(artifact.line)")
      }
      artifact = AuditLine(line: line, event: event)
    case .evaluation(let event):
      try requireSealed("an evaluation", line)
      try read(event, line)
    case .begin(let event):
      try requireSealed("test-time training", line)
      if let begin = adaptation?.begin {
        throw violation(line, "test-time training began before, in line \(begin.line)")
      }
      adaptation = AdaptationLines(begin: AuditLine(line: line, event: event))
    case .adaptFirst, .score, .update, .end:
      guard var current = adaptation, current.end == nil else {
        throw violation(line, "\(type(of: event.record).name) outside of test-time training")
      }
      // Moved out and back, so that a long log is not copied at every line.
      adaptation = nil
      switch event {
      case .adaptFirst(let event): try read(event, line, &current)
      case .score(let event): try read(event, line, &current)
      case .update(let event): try read(event, line, &current)
      case .end(let event): try read(event, line, &current)
      case .artifact, .evaluation, .begin, .stop, .result: break
      }
      adaptation = current
    case .stop(let event):
      try requireSealed("a stop", line)
      stop = AuditLine(line: line, event: event)
    case .result(let event):
      try requireSealed("a result", line)
      if let adaptation, adaptation.end == nil, stop == nil {
        throw violation(line, "a result inside of test-time training")
      }
      result = AuditLine(line: line, event: event)
    }
  }

  private func requireSealed(_ what: String, _ line: Int) throws {
    if artifact == nil { throw violation(line, "\(what) before the artifact was sealed") }
  }

  // MARK: Evaluations

  private mutating func read(_ event: EvaluationEvent, _ line: Int) throws {
    if adaptation != nil {
      throw violation(line, "an evaluation behind the begin of test-time training")
    }
    if let earlier = evaluations.first(where: { $0.event.entry == event.entry }) {
      throw violation(line, "\(event.entry) was evaluated before, in line \(earlier.line)")
    }
    if let stride = event.stride, stride > event.window {
      throw violation(
        line, "a stride of \(stride) leaves out tokens between windows of \(event.window)")
    }
    let tokens =
      event.stride == nil ? event.targets / event.window * event.window : event.targets
    guard event.tokens == tokens else {
      throw violation(
        line,
        "\(event.tokens) tokens are claimed, windows of \(event.window) score \(tokens) of "
          + "\(event.targets) targets")
    }
    try check(event.nats, event.blocks, tokens: tokens, line)
    if let first = evaluations.first?.event, first.targets != event.targets {
      throw violation(
        line, "\(event.targets) targets, where \(first.entry) has \(first.targets)")
    }
    for earlier in evaluations {
      let other = earlier.event
      if other.on == event.on, other.weights != event.weights {
        throw violation(
          line, "\(event.entry) has other weights than \(other.entry) in line \(earlier.line)")
      }
      if other.tokens == event.tokens, other.bytes != event.bytes {
        throw violation(
          line,
          "\(event.bytes) bytes in \(event.tokens) tokens, \(other.bytes) in line "
            + "\(earlier.line)")
      }
      let (fewer, more) = other.tokens < event.tokens ? (other, event) : (event, other)
      guard fewer.bytes <= more.bytes else {
        throw violation(
          line, "\(fewer.tokens) tokens have more bytes than \(more.tokens) in line \(earlier.line)"
        )
      }
    }
    evaluations.append(AuditLine(line: line, event: event))
  }

  private func check(_ nats: Double, _ blocks: [Double], tokens: Int, _ line: Int) throws {
    guard nats > 0 else {
      throw violation(line, "\(nats) nats: no text is certain")
    }
    let count = (tokens - 1) / EvaluationEvent.blockTargets + 1
    guard blocks.count == count else {
      throw violation(line, "\(blocks.count) blocks, \(tokens) tokens have \(count)")
    }
    try checkSum(blocks.reduce(0, +), "blocks", is: nats, line)
  }

  /// Sums of parts differ from the sum of all in their last bits.
  private func checkSum(_ sum: Double, _ parts: String, is nats: Double, _ line: Int) throws {
    guard abs(sum - nats) <= 1e-9 * nats else {
      throw violation(line, "the \(parts) sum to \(sum) nats, but \(nats) are claimed")
    }
  }

  // MARK: Test-time training

  private func read(
    _ event: AdaptFirstEvent, _ line: Int, _ current: inout AdaptationLines
  ) throws {
    guard !current.isScoreFirst else {
      throw violation(line, "weights were adapted first, but the protocol is score_first")
    }
    guard current.adaptFirst == nil, current.scores.isEmpty else {
      throw violation(line, "weights were adapted twice")
    }
    guard !event.legal else { throw violation(line, "adapt_first is marked legal") }
    current.adaptFirst = AuditLine(line: line, event: event)
  }

  private func read(_ event: ScoreEvent, _ line: Int, _ current: inout AdaptationLines) throws {
    let begin = current.begin.event
    if !current.isScoreFirst, current.adaptFirst == nil {
      throw violation(line, "a score before the adaptation that adapt_first begins with")
    }
    let next = current.scores.count
    guard event.chunk == next, next < current.chunks else {
      throw violation(line, "chunk \(event.chunk) is scored where chunk \(next) is next")
    }
    let end = scoredEnd(chunk: next, begin)
    guard event.first == current.scored, event.end == end else {
      throw violation(
        line,
        "targets \(event.first) ..< \(event.end) are scored where \(current.scored) ..< \(end) of "
          + "\(begin.targets) are next")
    }
    guard event.weights == current.weights else {
      throw violation(
        line,
        next == 0
          ? "the weights of the first score are not those that test-time training began with"
          : "the weights are not those that the last update left")
    }
    let updates = current.isScoreFirst && begin.epochs > 0 ? next : 0
    guard current.updates.count == updates else {
      throw violation(line, "chunk \(next) is scored after \(current.updates.count) updates")
    }
    guard event.nats > 0 || event.first == event.end else {
      throw violation(line, "\(event.nats) nats: no text is certain")
    }
    current.scores.append(AuditLine(line: line, event: event))
  }

  /// Behind the last target that the windows of a chunk score: a window belongs to the chunk of its
  /// first scored target. In closed form, because a log may claim any size.
  private func scoredEnd(chunk: Int, _ begin: AdaptationBegin) -> Int {
    let last = min((chunk + 1) * begin.chunk, begin.targets) - 1
    guard last >= begin.window else { return min(begin.window, begin.targets) }
    return min(
      begin.window + ((last - begin.window) / begin.stride + 1) * begin.stride, begin.targets)
  }

  private func read(_ event: UpdateEvent, _ line: Int, _ current: inout AdaptationLines) throws {
    let begin = current.begin.event
    guard current.isScoreFirst else {
      throw violation(line, "an update between scores, but the protocol is adapt_first")
    }
    guard event.chunk == current.updates.count, event.chunk == current.scores.count - 1 else {
      throw violation(
        line,
        "an update on chunk \(event.chunk) behind the score of chunk \(current.scores.count - 1)")
    }
    guard event.chunk + 1 < current.chunks else {
      throw violation(line, "an update on the last chunk: nothing is left to score")
    }
    let first = event.chunk * begin.chunk
    guard event.first == first, event.end == first + begin.chunk else {
      throw violation(
        line, "targets \(event.first) ..< \(event.end) are not those of chunk \(event.chunk)")
    }
    guard event.end <= current.scored else {
      throw violation(
        line,
        "an update reads targets up to \(event.end), but only \(current.scored) were scored before")
    }
    guard event.epochs == begin.epochs else {
      throw violation(
        line, "an update of \(event.epochs) epochs, where \(begin.epochs) were announced")
    }
    guard event.before == current.weights else {
      throw violation(line, "the weights before the update are not those of the score before it")
    }
    current.updates.append(AuditLine(line: line, event: event))
  }

  private func read(_ event: AdaptationEnd, _ line: Int, _ current: inout AdaptationLines) throws {
    let targets = current.begin.event.targets
    guard current.scored == targets, current.scores.count == current.chunks,
      event.tokens == targets
    else {
      throw violation(
        line, "\(current.scored) of \(targets) targets were scored, \(event.tokens) are claimed")
    }
    guard event.legal == current.isScoreFirst else {
      throw violation(line, "legal is \(event.legal), which the protocol is not")
    }
    guard event.nats > 0 else { throw violation(line, "\(event.nats) nats: no text is certain") }
    try checkSum(
      current.scores.reduce(0) { $0 + $1.event.nats }, "chunks", is: event.nats, line)
    current.end = AuditLine(line: line, event: event)
  }
}
