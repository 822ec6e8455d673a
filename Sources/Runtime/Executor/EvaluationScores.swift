// SPDX-License-Identifier: Apache-2.0
// What was scored, under which name and on which weights, and the `eval` object of JSON documents.

import Formats
import IR

/// Which weights were scored.
public enum ScoredWeights: String, Sendable, Equatable, CaseIterable {
  /// The exported ones (averaged, if the file asks for it), before quantisation.
  case float
  /// Those that the artifact holds.
  case quantized
}

/// One entry of the evaluate section and its score.
public struct EvaluationScore: Sendable, Equatable {
  public var name: String
  /// Tokens a window sees.
  public var window: Int
  /// Tokens from one window to the next; nil: windows do not overlap.
  public var stride: Int?
  public var weights: ScoredWeights
  public var score: Score
  public var seconds: Double
}

/// The score of test-time training.
public struct AdaptationScore: Sendable, Equatable {
  public var mode: TTTSettings.Mode
  public var window: Int
  public var stride: Int
  public var score: Score
}

/// All scores of one evaluation, in the order of the file.
public struct EvaluationScores: Sendable {
  public var entries: [EvaluationScore] = []
  /// Entries on weights that are not there: an artifact holds no float weights.
  public var leftOut: [String] = []
  public var adaptation: AdaptationScore?
  /// The updates of test-time training.
  public var updates: [AdaptationUpdate] = []
  /// Bytes of the original documents behind all targets, where they are known and were all scored.
  public var originalBytes: Int?
  /// Set where the file's limit of seconds ended the evaluations, or they took longer.
  public var excess: OverLimit?

  public init() {}

  /// The adapted score, where it is one.
  public var adapted: Score? { adaptation.flatMap { $0.mode == .scoreFirst ? $0.score : nil } }
  /// The adapted score of adapt_first, which is not a score.
  public var illegal: Score? { adaptation.flatMap { $0.mode == .adaptFirst ? $0.score : nil } }

  /// The entry that says how much was scored: overlapping windows, where there are some.
  public var counted: Score? {
    first(.quantized, strided: true) ?? first(.quantized, strided: false)
  }

  /// The first entry of a kind.
  public func first(_ weights: ScoredWeights, strided: Bool) -> Score? {
    entries.first { $0.weights == weights && ($0.stride != nil) == strided }?.score
  }
}

extension EvaluationScores {
  /// The `eval` object: null where nothing was scored. adapt_first never fills `bpb_ttt`.
  public var json: JSONValue {
    func bits(_ score: Score?) -> JSONValue { score.map { .double($0.bitsPerByte) } ?? .null }
    var members: [String: JSONValue] = [
      "scores": .array(entries.map(\.json)), "left_out": .array(leftOut.map(JSONValue.string)),
      "bpb_float": bits(first(.float, strided: false)),
      "bpb_quantized": bits(first(.quantized, strided: false)),
      "bpb_float_sliding": bits(first(.float, strided: true)),
      "bpb_sliding": bits(first(.quantized, strided: true)),
      "bpb_ttt": bits(adapted), "adapt_first_not_a_score": bits(illegal),
      "tokens": counted.map { .int($0.tokens) } ?? .null,
      "bytes": counted.map { .int($0.bytes) } ?? .null,
      "bytes_original": originalBytes.map(JSONValue.int) ?? .null,
    ]
    // The evaluation that the limit of seconds stopped; what would follow it was not begun.
    if let unfinished = excess?.unfinished { members["stopped"] = .string(unfinished) }
    return .object(members)
  }
}

extension EvaluationScore {
  fileprivate var json: JSONValue {
    [
      "name": .string(name), "window": .int(window),
      "stride": stride.map(JSONValue.int) ?? .null, "weights": .string(weights.rawValue),
      "bpb": .double(score.bitsPerByte), "tokens": .int(score.tokens), "bytes": .int(score.bytes),
      "seconds": .double(seconds),
    ]
  }
}

extension Evaluation {
  /// The weights that the entry names.
  public var weights: ScoredWeights { onFloat ? .float : .quantized }
}
