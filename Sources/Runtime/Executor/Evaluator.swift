// SPDX-License-Identifier: Apache-2.0
// All scores that a file's evaluate and ttt sections ask for, with the audit log's evidence.

import Formats
import IR

/// Evaluates weights before and after quantisation, and adapted ones.
public final class Evaluator {
  private let functions: [PlanFunction]
  private let settings: Settings
  private let data: DataFolder
  private let threads: Int
  private let limit: Int?
  private let observe: (RunEvent) -> Void

  public init(
    functions: [PlanFunction], settings: Settings, data: DataFolder, threads: Int,
    validationTokens: Int? = nil, observe: @escaping (RunEvent) -> Void
  ) {
    self.functions = functions
    self.settings = settings
    self.data = data
    self.threads = threads
    limit = validationTokens
    self.observe = observe
  }

  /// Scores with plain windows and with overlapping ones, as far as the file declares them.
  ///
  /// `float` may be nil: an artifact holds only quantised weights.
  public func evaluate(
    float: ParameterBlock?, quantized: ParameterBlock, adapts: Bool, audit: AuditLog?
  ) throws -> EvaluationScores {
    let stream = try ValidationStream(data, limit: limit)
    guard stream.targets > 0 else {
      throw FormatError(
        .corrupt, file: data.path, "the validation data has no token to predict")
    }
    var scores = EvaluationScores()
    func score(_ name: String, _ entry: Evaluation, _ weights: ParameterBlock) throws -> Score {
      observe(.phase(name))
      let scorer = Scorer(
        functions, window: entry.window, rows: entry.batch ?? scoringRows(window: entry.window),
        scored: entry.scoredPerWindow, parameters: weights, threads: threads)
      let score = scorer.evaluate(stream, stride: entry.stride) { observe(.progress($0)) }
      guard score.tokens > 0 else {
        throw FormatError(
          .usage,
          "\(name): the \(stream.targets) validation targets do not fill one window of \(entry.window); "
            + "hold out more text or evaluate with a smaller window")
      }
      try audit?.append(event: [
        "event": "evaluation", "name": .string(name), "window": .int(entry.window),
        "stride": entry.stride.map(JSONValue.int) ?? .null, "tokens": .int(score.tokens),
        "bytes": .int(score.bytes), "nats": .double(score.nats),
        "weights": .string(weights.sha256()),
      ])
      return score
    }
    if let plain = settings.evaluate.first(where: { $0.stride == nil }) {
      if let float { scores.float = try score("float", plain, float) }
      scores.quantized = try score("quantized", plain, quantized)
    }
    if let sliding = settings.evaluate.first(where: { $0.stride != nil }) {
      if let float { scores.floatSliding = try score("float sliding", sliding, float) }
      scores.sliding = try score("sliding", sliding, quantized)
      scores.originalBytes = try data.originalBytes(
        ofTargets: 1..<(stream.targets + 1), in: data.validation())
    }
    if adapts { try adapt(quantized, stream, audit, &scores) }
    return scores
  }

  private func adapt(
    _ weights: ParameterBlock, _ stream: ValidationStream, _ audit: AuditLog?,
    _ scores: inout EvaluationScores
  ) throws {
    guard let ttt = settings.ttt else {
      throw FormatError(.usage, "--ttt was asked for, but the file's ttt section is off or missing")
    }
    observe(.phase(ttt.mode == .scoreFirst ? "ttt" : "adapt_first (not a score)"))
    try audit?.append(event: [
      "event": "ttt begin", "protocol": .string(ttt.mode.rawValue), "chunk": .int(ttt.chunk),
      "targets": .int(stream.targets), "weights": .string(weights.sha256()),
    ])
    let adaptation = Adaptation(
      functions, settings: ttt, parameters: weights.copy(), threads: threads)
    let result = try adaptation.run(stream.tokens, audit: audit) { observe(.progress($0)) }
    let score = Score(
      result.nll, targets: 0..<stream.targets, tokens: stream.tokens, table: stream.table)
    try audit?.append(event: [
      "event": "ttt end", "tokens": .int(score.tokens), "bytes": .int(score.bytes),
      "nats": .double(score.nats), "legal": .bool(ttt.mode == .scoreFirst),
    ])
    if ttt.mode == .scoreFirst { scores.adapted = score } else { scores.illegal = score }
  }
}
