// SPDX-License-Identifier: Apache-2.0
// What a run or an evaluation measured, as a value: the terminal's text, result.json and the audit's
// expectation are made from it.

import Formats
import IR

/// Everything that was measured, and nothing that was only asked for.
public struct Report: Sendable {
  /// What training took and reached.
  public struct Training: Sendable, Equatable {
    public var steps: Int
    public var tokensPerSecond: Double
    /// Mean of the last 100 steps, nats per token.
    public var loss: Double
    public var seconds: Double
  }

  /// The file that holds the weights.
  public struct ArtifactFile: Sendable, Equatable {
    public var path: String
    public var bytes: Int
    /// Bytes of code that count against the budget.
    public var codeBytes = 0

    public init(path: String, bytes: Int, codeBytes: Int = 0) {
      (self.path, self.bytes, self.codeBytes) = (path, bytes, codeBytes)
    }
  }

  /// Of products and attention, in training and in scoring.
  public var precision: ComputePrecision
  /// nil: an artifact was evaluated that was there before.
  public var training: Training?
  public var artifact: ArtifactFile
  public var scores: EvaluationScores
  public var live: [LiveFeature] = []
  /// What of the file had no effect, or not all of it; a sentence each.
  public var warnings: [String] = []
  /// What the result of a run repeats of the manifest.
  public var manifest: [String: JSONValue] = [:]
  /// Set when the artifact does not fit. Everything was measured all the same.
  public var overBudget: OverBudget?
  /// Set when training took longer than the file allows.
  public var overtime: OverLimit?
  /// Seconds by phase, in the order in which the phases ended.
  public var seconds: [(phase: String, seconds: Double)] = []
  /// What ordinary compressors make of the text, where somebody asked.
  public var heldOut: HeldOutSizes?

  public init(
    precision: ComputePrecision, training: Training? = nil, artifact: ArtifactFile,
    scores: EvaluationScores
  ) {
    (self.precision, self.training, self.artifact) = (precision, training, artifact)
    self.scores = scores
  }

  /// The document of result.json and of `--json`.
  public var json: JSONValue {
    var file: [String: JSONValue] = [
      "bytes": .int(artifact.bytes), "path": .string(artifact.path),
    ]
    var members = manifest
    members["schema"] = training == nil ? "graphc-eval/1" : "graphc-run/1"
    members["precision"] = .string(precision.rawValue)
    members["eval"] = scores.json
    if let training {
      file["code_bytes"] = .int(artifact.codeBytes)
      members["train"] = training.json
      members["live"] = .array(live.map(\.json))
      members["warnings"] = .array(warnings.map(JSONValue.string))
    }
    members["artifact"] = .object(file)
    if !seconds.isEmpty {
      members["seconds"] = .object(
        Dictionary(uniqueKeysWithValues: seconds.map { ($0.phase, .double($0.seconds)) }))
    }
    return .object(members)
  }
}

extension Report.Training {
  /// Loss and speed of steps with these losses.
  init(losses: some BidirectionalCollection<Double>, steps: Int, tokens: Double, seconds: Double) {
    (self.steps, self.seconds) = (steps, seconds)
    tokensPerSecond = tokens / max(seconds, 1e-9)
    let last = losses.suffix(100)
    loss = last.reduce(0, +) / Double(max(last.count, 1))
  }

  fileprivate var json: JSONValue {
    [
      "steps": .int(steps), "tokens_per_second": .double(tokensPerSecond), "loss": .double(loss),
      "seconds": .double(seconds),
    ]
  }
}

/// Sizes of the held-out text under ordinary compressors: what a model is compared with.
public struct HeldOutSizes: Sendable, Equatable {
  /// Bytes of the text.
  public let bytes: Int
  /// Whether it is the text of the documents; else it is what their tokens decode to.
  public let isOriginal: Bool
  public let compressors: [CompressedSize]

  /// Compresses the validation text of a folder.
  public init(_ data: DataFolder) throws(FormatError) {
    let (text, isOriginal) = try data.validationText()
    bytes = text.count
    self.isOriginal = isOriginal
    compressors = ordinaryCompressors(text)
  }
}
