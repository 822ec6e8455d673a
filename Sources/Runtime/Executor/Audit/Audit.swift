// SPDX-License-Identifier: Apache-2.0
// Verifies the evidence of a run: what audit.jsonl, manifest, artifact and result must agree on.

import Formats
import Glibc
import IR

/// One audit of a run directory. Rules that the log breaks are a `LegalityError` that names the
/// line, a log that is not what was written is a corrupt `FormatError`; all else is in the report.
public struct Audit {
  public let directory: String
  /// The log's events in order.
  public let chain: AuditChain
  /// As the log began with it.
  public let manifest: [String: JSONValue]
  /// nil: it is missing.
  public let artifact: Artifact?
  public var report = AuditReport()

  /// Reads the evidence and checks the log by itself.
  public init(_ directory: String) throws {
    self.directory = directory
    guard access(directory, F_OK) == 0 else {
      throw FormatError(.notFound, file: directory, "there is no such run directory")
    }
    let path = directory + "/audit.jsonl"
    let events = try AuditLog.verify(path)
    chain = try AuditChain(events.dropFirst(), path: path)
    report.events = events.count
    report.add(
      .consistent, "hash chain: no line of \(events.count) was changed, removed or moved")
    let manifest = directory + "/manifest.json"
    let document = try JSONValue.parse(try readFile(manifest), file: manifest)
    guard let members = document.objectValue,
      events[0]["manifest"]?.stringValue == SHA256.hex(document.text)
    else { throw chain.violation(1, "\(manifest) is not the manifest that the log began with") }
    self.manifest = members
    report.add(.consistent, "manifest: graph, data and seed are those that the log began with")
    let artifactPath = directory + "/artifact.gca"
    artifact = access(artifactPath, F_OK) == 0 ? try Artifact.read(artifactPath) : nil
  }

  /// Compares everything with everything else.
  public mutating func checkConsistency() throws {
    try checkEvaluations()
    try checkAdaptation()
    try checkArtifact()
    try checkResult(directory + "/result.json")
  }

  private var quantized: AuditLine<EvaluationEvent>? {
    chain.evaluations.first { $0.event.on == .quantized }
  }

  /// The first evaluation of a kind.
  private func first(_ on: ScoredWeights, strided: Bool) -> AuditLine<EvaluationEvent>? {
    chain.evaluations.first { $0.event.on == on && ($0.event.stride != nil) == strided }
  }

  private mutating func checkEvaluations() throws {
    if chain.evaluations.isEmpty { report.add(.missing, "evaluations: the log has none yet") }
    for kind in ScoredWeights.allCases {
      let entries = chain.evaluations.filter { $0.event.on == kind }
      guard entries.count > 1 else { continue }
      report.add(
        .consistent,
        "evaluations: \(entries.map(\.event.entry).joined(separator: ", ")) have the same weights")
    }
  }

  private mutating func checkAdaptation() throws {
    guard let adaptation = chain.adaptation, let end = adaptation.end?.event else { return }
    let begin = adaptation.begin
    report.hasIllegalScore = !adaptation.isScoreFirst
    if let quantized {
      guard begin.event.weights == quantized.event.weights else {
        throw chain.violation(
          begin.line,
          "test-time training began from other weights than those evaluated in line \(quantized.line)"
        )
      }
      report.add(
        .consistent, "test-time training: it began from the quantised artifact's weights")
    } else {
      report.add(
        .missing,
        "test-time training: no evaluation of the artifact to compare its first weights with")
    }
    // Plain windows leave out the stream's tail, overlapping ones do not.
    if let sliding = first(.quantized, strided: true) {
      guard sliding.event.tokens == end.tokens, sliding.event.bytes == end.bytes else {
        throw chain.violation(
          begin.line, "other tokens or bytes are scored than in line \(sliding.line)")
      }
      report.add(
        .consistent,
        "test-time training: it scored the tokens and bytes of \(sliding.event.entry)")
    }
    if adaptation.isScoreFirst {
      report.add(
        .consistent,
        "score first: targets 0 ..< \(begin.event.targets) were scored once each, in order, in "
          + "\(adaptation.scores.count) chunks")
      report.add(
        .consistent,
        "score first: \(adaptation.updates.count) updates, each on targets that were scored before")
      report.add(
        .consistent,
        "weights: every update began with the weights of its score and left those of the next")
    }
    let sum = adaptation.scores.reduce(0) { $0 + $1.event.nats }
    report.add(
      .consistent,
      "sums: the chunks add up to the score's \(end.nats) nats"
        + (sum == end.nats ? ", to the bit" : " within 1e-9"))
  }

  private mutating func checkArtifact() throws {
    guard let quantized else { return }
    guard let artifact else {
      return report.add(.missing, "artifact: artifact.gca is not here")
    }
    guard try artifact.parameters().sha256() == quantized.event.weights else {
      throw chain.violation(
        quantized.line, "\(directory)/artifact.gca does not hold the weights that were evaluated")
    }
    report.add(.consistent, "artifact: it holds the weights that were evaluated")
  }

  private mutating func checkResult(_ result: String) throws {
    guard access(result, F_OK) == 0 else {
      return report.add(.missing, "result: result.json is not here, the run is not finished")
    }
    let document = try JSONValue.parse(try readFile(result), file: result)
    func bits(_ on: ScoredWeights, strided: Bool) -> Double? {
      first(on, strided: strided).map { bitsPerByte($0.event.nats, $0.event.bytes) }
    }
    let end = chain.adaptation?.end.map { bitsPerByte($0.event.nats, $0.event.bytes) }
    let expected: [(key: String, bits: Double?)] = [
      ("bpb_float", bits(.float, strided: false)), ("bpb_quantized", bits(.quantized, strided: false)),
      ("bpb_float_sliding", bits(.float, strided: true)),
      ("bpb_sliding", bits(.quantized, strided: true)),
      ("bpb_ttt", report.hasIllegalScore ? nil : end),
      ("adapt_first_not_a_score", report.hasIllegalScore ? end : nil),
    ]
    for (key, bits) in expected {
      let claimed = document["eval"]?[key]?.doubleValue
      guard claimed == bits else {
        throw LegalityError(
          description: "\(result): \(key) is \(claimed.map { "\($0)" } ?? "null"), the log says "
            + (bits.map { "\($0)" } ?? "null"))
      }
    }
    report.add(
      .consistent, "result: every bits per byte follows from the log's nats and bytes, to the bit")
  }
}
