// SPDX-License-Identifier: Apache-2.0
// Re-verifies the evidence of a run: what audit.jsonl, manifest, artifact and result must agree on.

import Formats
import Glibc
import IR

/// What the evidence of a run directory proves.
public struct AuditReport: Sendable, Equatable {
  /// What was proved, in order.
  public var proved: [String] = []
  /// What there was no evidence for, and why.
  public var missing: [String] = []
  /// The adapted score is one of adapt_first, which is not a score.
  public var hasIllegalScore = false
  /// Lines of the log.
  public var events = 0
}

/// One verification. Throws `LegalityError` at the first line that breaks a rule, and a corrupt
/// `FormatError` where the log itself is not what was written.
public struct Audit {
  private let path: String
  private let events: [[String: JSONValue]]
  private var report = AuditReport()
  private var evaluations: [String: Evaluation] = [:]
  private var adaptation: Adaptation?

  /// An `evaluation` event.
  private struct Evaluation {
    let line: Int
    let weights: String
    let sum: Sum
  }

  /// The sums of a score.
  private struct Sum {
    let nats: Double
    let tokens: Int
    let bytes: Int

    var bitsPerByte: Double { nats / Glibc.log(2.0) / Double(max(bytes, 1)) }
  }

  /// From `ttt begin` to `ttt end`.
  private struct Adaptation {
    let line: Int
    let isScoreFirst: Bool
    let chunk: Int
    let targets: Int
    /// Hash of the weights that the next score must have.
    var weights: String
    /// Targets 0 ..< scored were scored.
    var scored = 0
    var chunks = 0
    var updates = 0
    var nats = 0.0
    var hasAdapted = false
    var end: Sum?
  }

  /// Verifies a run directory.
  public static func verify(_ directory: String) throws -> AuditReport {
    var audit = try Audit(directory)
    try audit.verify(directory)
    return audit.report
  }

  private init(_ directory: String) throws {
    guard access(directory, F_OK) == 0 else {
      throw FormatError(.notFound, file: directory, "there is no such run directory")
    }
    path = directory + "/audit.jsonl"
    events = try AuditLog.verify(path)
    report.events = events.count
    report.proved.append("hash chain: no line of \(events.count) was changed, removed or moved")
  }

  private mutating func verify(_ directory: String) throws {
    try checkManifest(directory + "/manifest.json")
    for (index, event) in events.enumerated().dropFirst() {
      try read(event, line: index + 1)
    }
    if let adaptation, adaptation.end == nil {
      throw violation(events.count, "the log ends inside test-time training; resume the run")
    }
    try proveEvaluations()
    proveAdaptation()
    try checkArtifact(directory + "/artifact.gca")
    try checkResult(directory + "/result.json")
  }

  private func violation(_ line: Int, _ message: String) -> LegalityError {
    LegalityError(description: "\(path): line \(line): \(message)")
  }

  // MARK: Reading events

  private mutating func read(_ event: [String: JSONValue], line: Int) throws {
    let kind = try string(event, "event", line)
    switch kind {
    case "evaluation":
      let name = try string(event, "name", line)
      if adaptation != nil, adaptation?.end == nil {
        throw violation(line, "an evaluation inside of test-time training")
      }
      if let earlier = evaluations[name] {
        throw violation(line, "\(name) was evaluated before, in line \(earlier.line)")
      }
      evaluations[name] = Evaluation(
        line: line, weights: try string(event, "weights", line), sum: try sum(event, line))
    case "ttt begin": try begin(event, line)
    case "adapt_first", "score", "update", "ttt end":
      guard var current = adaptation, current.end == nil else {
        throw violation(line, "\(kind) outside of test-time training")
      }
      switch kind {
      case "adapt_first": try adaptFirst(event, line, &current)
      case "score": try score(event, line, &current)
      case "update": try update(event, line, &current)
      default: try end(event, line, &current)
      }
      adaptation = current
    default: throw violation(line, "unknown event \(kind)")
    }
  }

  private mutating func begin(_ event: [String: JSONValue], _ line: Int) throws {
    if let adaptation {
      throw violation(line, "test-time training began before, in line \(adaptation.line)")
    }
    let mode = try string(event, "protocol", line)
    guard let mode = TTTSettings.Mode(rawValue: mode) else {
      throw violation(line, "unknown protocol \(mode)")
    }
    let chunk = try int(event, "chunk", line)
    guard chunk > 0 else { throw violation(line, "chunks of \(chunk) tokens") }
    adaptation = Adaptation(
      line: line, isScoreFirst: mode == .scoreFirst, chunk: chunk,
      targets: try int(event, "targets", line), weights: try string(event, "weights", line))
    report.hasIllegalScore = mode == .adaptFirst
  }

  private func adaptFirst(
    _ event: [String: JSONValue], _ line: Int, _ current: inout Adaptation
  ) throws {
    guard !current.isScoreFirst else {
      throw violation(line, "weights were adapted first, but the protocol is score_first")
    }
    guard event["legal"] == false else { throw violation(line, "adapt_first is marked legal") }
    current.weights = try string(event, "weights", line)
    current.hasAdapted = true
  }

  private func score(
    _ event: [String: JSONValue], _ line: Int, _ current: inout Adaptation
  ) throws {
    if !current.isScoreFirst, !current.hasAdapted {
      throw violation(line, "a score before the adaptation that adapt_first begins with")
    }
    let (chunk, first, end) = (
      try int(event, "chunk", line), try int(event, "first", line), try int(event, "end", line)
    )
    guard chunk == current.chunks else {
      throw violation(line, "chunk \(chunk) is scored where chunk \(current.chunks) is next")
    }
    guard first == current.scored, end >= first, end <= current.targets else {
      throw violation(
        line,
        "targets \(first) ..< \(end) are scored where \(current.scored) of \(current.targets) is next"
      )
    }
    let weights = try string(event, "weights", line)
    guard weights == current.weights else {
      throw violation(
        line,
        chunk == 0
          ? "the weights of the first score are not those that test-time training began with"
          : "the weights are not those that the last update left")
    }
    guard current.updates == (current.isScoreFirst ? chunk : 0) else {
      throw violation(line, "chunk \(chunk) is scored after \(current.updates) updates")
    }
    current.scored = end
    current.chunks += 1
    current.nats += try double(event, "nats", line)
  }

  private func update(
    _ event: [String: JSONValue], _ line: Int, _ current: inout Adaptation
  ) throws {
    guard current.isScoreFirst else {
      throw violation(line, "an update between scores, but the protocol is adapt_first")
    }
    let (chunk, first, end) = (
      try int(event, "chunk", line), try int(event, "first", line), try int(event, "end", line)
    )
    guard chunk == current.updates, chunk == current.chunks - 1 else {
      throw violation(
        line, "an update on chunk \(chunk) behind the score of chunk \(current.chunks - 1)")
    }
    guard first == chunk * current.chunk, end == min(first + current.chunk, current.targets) else {
      throw violation(line, "targets \(first) ..< \(end) are not those of chunk \(chunk)")
    }
    guard end <= current.scored else {
      throw violation(
        line, "an update reads targets up to \(end), but only \(current.scored) were scored before")
    }
    let rate = try double(event, "rate", line)
    guard rate.isFinite, rate >= 0, rate <= 1 else {
      throw violation(line, "a rate of \(rate) is no multiplier of a learning rate")
    }
    guard try int(event, "epochs", line) > 0 else { throw violation(line, "an update of no epoch") }
    guard try string(event, "before", line) == current.weights else {
      throw violation(line, "the weights before the update are not those of the score before it")
    }
    current.weights = try string(event, "after", line)
    current.updates += 1
  }

  private func end(
    _ event: [String: JSONValue], _ line: Int, _ current: inout Adaptation
  ) throws {
    let sum = try sum(event, line)
    guard current.scored == current.targets, sum.tokens == current.targets else {
      throw violation(
        line,
        "\(current.scored) of \(current.targets) targets were scored, \(sum.tokens) are claimed")
    }
    guard event["legal"] == .bool(current.isScoreFirst) else {
      throw violation(
        line, "legal is \(event["legal"]?.text ?? "missing"), which the protocol is not")
    }
    guard abs(sum.nats - current.nats) <= 1e-9 * abs(sum.nats) else {
      throw violation(
        line, "the chunks sum to \(current.nats) nats, but \(sum.nats) are claimed")
    }
    current.end = sum
  }

  // MARK: Proving

  private mutating func checkManifest(_ manifest: String) throws {
    let document = try JSONValue.parse(try readFile(manifest), file: manifest)
    guard events[0]["manifest"]?.stringValue == SHA256.hex(document.text) else {
      throw violation(1, "\(manifest) is not the manifest that the log began with")
    }
    report.proved.append("manifest: graph, data and seed are those that the log began with")
  }

  private mutating func proveEvaluations() throws {
    if evaluations.isEmpty { report.missing.append("evaluations: the log has none yet") }
    for (name, other) in [("quantized", "sliding"), ("float", "float sliding")] {
      guard let plain = evaluations[name], let sliding = evaluations[other] else { continue }
      guard plain.weights == sliding.weights else {
        throw violation(
          sliding.line, "\(other) has other weights than \(name) in line \(plain.line)")
      }
      report.proved.append("evaluations: \(name) and \(other) have the same weights")
    }
    guard let adaptation else { return }
    guard let quantized = evaluations["quantized"] ?? evaluations["sliding"] else {
      report.missing.append(
        "test-time training: no evaluation of the artifact to compare its first weights with")
      return
    }
    let first = events[adaptation.line - 1]["weights"]?.stringValue
    guard first == quantized.weights else {
      throw violation(
        adaptation.line,
        "test-time training began from other weights than those evaluated in line \(quantized.line)"
      )
    }
    report.proved.append("test-time training: it began from the quantised artifact's weights")
    // Plain windows leave out the stream's tail, overlapping ones do not.
    if let sliding = evaluations["sliding"], let end = adaptation.end {
      guard sliding.sum.tokens == end.tokens, sliding.sum.bytes == end.bytes else {
        throw violation(
          adaptation.line, "other tokens or bytes are scored than in line \(sliding.line)")
      }
      report.proved.append(
        "test-time training: it scored the tokens and bytes of the sliding evaluation")
    }
  }

  private mutating func proveAdaptation() {
    guard let adaptation, let end = adaptation.end else { return }
    if adaptation.isScoreFirst {
      report.proved += [
        "score first: targets 0 ..< \(adaptation.targets) were scored once each, in order, in "
          + "\(adaptation.chunks) chunks",
        "score first: \(adaptation.updates) updates, each on targets that were scored before",
        "weights: every update began with the weights of its score and left those of the next",
      ]
    }
    report.proved.append(
      "sums: the chunks add up to the score's \(end.nats) nats"
        + (adaptation.nats == end.nats ? ", to the bit" : " within 1e-9"))
  }

  private mutating func checkArtifact(_ artifact: String) throws {
    guard let quantized = evaluations["quantized"] ?? evaluations["sliding"] else { return }
    guard access(artifact, F_OK) == 0 else {
      report.missing.append("artifact: artifact.gca is not here")
      return
    }
    guard try Artifact.read(artifact).parameters().sha256() == quantized.weights else {
      throw violation(quantized.line, "\(artifact) does not hold the weights that were evaluated")
    }
    report.proved.append("artifact: it holds the weights that were evaluated")
  }

  private mutating func checkResult(_ result: String) throws {
    guard access(result, F_OK) == 0 else {
      report.missing.append("result: result.json is not here, the run is not finished")
      return
    }
    let document = try JSONValue.parse(try readFile(result), file: result)
    let end = adaptation?.end
    let expected: [(key: String, sum: Sum?)] = [
      ("bpb_float", evaluations["float"]?.sum), ("bpb_quantized", evaluations["quantized"]?.sum),
      ("bpb_float_sliding", evaluations["float sliding"]?.sum),
      ("bpb_sliding", evaluations["sliding"]?.sum),
      ("bpb_ttt", report.hasIllegalScore ? nil : end),
      ("adapt_first_not_a_score", report.hasIllegalScore ? end : nil),
    ]
    for (key, sum) in expected {
      let claimed = document["eval"]?[key]?.doubleValue
      guard claimed == sum?.bitsPerByte else {
        throw LegalityError(
          description: "\(result): \(key) is \(claimed.map { "\($0)" } ?? "null"), the log says "
            + (sum.map { "\($0.bitsPerByte)" } ?? "null"))
      }
    }
    report.proved.append(
      "result: every bits per byte follows from the log's nats and bytes, to the bit")
  }

  // MARK: Members

  private func member<Value>(
    _ event: [String: JSONValue], _ key: String, _ line: Int, _ value: Value?
  ) throws -> Value {
    guard let value else {
      throw violation(line, "\(key) is \(event[key]?.text ?? "missing")")
    }
    return value
  }

  private func string(_ event: [String: JSONValue], _ key: String, _ line: Int) throws -> String {
    try member(event, key, line, event[key]?.stringValue)
  }

  private func int(_ event: [String: JSONValue], _ key: String, _ line: Int) throws -> Int {
    try member(event, key, line, event[key]?.intValue)
  }

  private func double(_ event: [String: JSONValue], _ key: String, _ line: Int) throws -> Double {
    try member(event, key, line, event[key]?.doubleValue)
  }

  private func sum(_ event: [String: JSONValue], _ line: Int) throws -> Sum {
    Sum(
      nats: try double(event, "nats", line), tokens: try int(event, "tokens", line),
      bytes: try int(event, "bytes", line))
  }
}
