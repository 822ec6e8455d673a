// SPDX-License-Identifier: Apache-2.0
// A report for people: scores, sizes and times in columns.

import IR
import Runtime

extension Report {
  /// What stands on the terminal at the end of a run. `budget` is that of the file; `isPartial` says
  /// that only a part of the validation data was scored; `data` is the folder for the next command.
  func summary(budget: Int?, isPartial: Bool, data: String) -> String {
    var rows = scores.rows.map { $0.cells }
    for codec in heldOut?.compressors ?? [] {
      let bits = codec.size.map { fixed(8 * Double($0) / Double(max(heldOut?.bytes ?? 0, 1)), 4) }
      rows.append(["  " + (bits ?? "-"), codec.name, codec.size == nil ? "not found" : ""])
    }
    var lines = ["", Self.heading, textTable(rows), ""]
    if let counted = scores.counted {
      lines.append(
        "\(grouped(counted.tokens)) tokens, \(grouped(counted.bytes)) bytes scored"
          + (scores.originalBytes.map {
            $0 == counted.bytes ? "" : ", \(grouped($0)) in the documents"
          }
            ?? "; the data folder does not say how many bytes its documents have"))
    }
    if heldOut?.isOriginal == false {
      lines.append("The tokenization is lossy: the text above is what its tokens decode to.")
    }
    if isPartial { lines.append(Self.partialNote) }
    lines.append(
      "\(grouped(artifact.bytes)) bytes in \(artifact.path)"
        + (budget.map { ", budget \(grouped($0))" } ?? ""))
    if let training {
      lines.append(
        "\(counted(training.steps, "step")) in \(duration(training.seconds)), "
          + "\(grouped(Int(training.tokensPerSecond))) tokens/s")
    }
    if !seconds.isEmpty { lines.append(phaseLine) }
    lines += ["", "Next: graphc generate \(artifact.path) --data \(data) --prompt 'The '"]
    return lines.joined(separator: "\n")
  }

  /// `seconds: load 0.4, train 20.1, …, 31.6 in all`.
  private var phaseLine: String {
    let all = seconds.reduce(0) { $0 + $1.seconds }
    let parts = seconds.filter { $0.seconds >= 0.05 }.map { "\($0.phase) \(fixed($0.seconds, 1))" }
    return "seconds: " + (parts + ["\(fixed(all, 1)) in all"]).joined(separator: ", ")
  }

  /// The scores alone, one a line.
  func scoreTable(isPartial: Bool) -> String {
    return [Self.heading, textTable(scores.rows.map(\.cells)), ""].joined(separator: "\n")
      + (isPartial ? Self.partialNote + "\n" : "")
  }

  /// What stands on the terminal at the end of an evaluation, whose evidence is in `directory`.
  func table(isPartial: Bool, evidence directory: String?) -> String {
    let rows = scores.rows.map { row in
      [
        row.bits, row.name, row.windows,
        "\(grouped(row.score.tokens)) tokens, \(grouped(row.score.bytes)) bytes",
      ]
    }
    var lines = [Self.heading, textTable(rows)]
    if !scores.leftOut.isEmpty {
      lines.append(
        "left out, an artifact holds no float weights: "
          + scores.leftOut.joined(separator: ", "))
    }
    if let original = scores.originalBytes, let counted = scores.first(.quantized, strided: true),
      original != counted.bytes
    {
      lines.append("\(grouped(original)) bytes in the documents")
    }
    if isPartial { lines.append(Self.partialNote) }
    lines.append(
      "\n\(grouped(artifact.bytes)) bytes in \(artifact.path); scored in \(precision.rawValue)"
        + (directory.map { ", evidence in \($0)" } ?? ""))
    return lines.joined(separator: "\n")
  }

  private static let heading = "bits per byte of the held-out text"
  private static let partialNote = "Only part of the validation data: not a score."
}

/// A score as a row of a table.
private struct ScoreRow {
  let name: String
  let score: Score
  let isFloat: Bool
  /// `window 64, stride 16`.
  let windows: String

  init(_ name: String, _ score: Score, isFloat: Bool = false, window: Int, stride: Int?) {
    (self.name, self.score, self.isFloat) = (name, score, isFloat)
    windows = "window \(window)" + (stride.map { ", stride \($0)" } ?? "")
  }

  /// Score, name, and what was scored.
  var cells: [String] {
    [bits, name, "\(isFloat ? "before" : "after") quantisation, \(windows)"]
  }

  var bits: String { "  " + fixed(score.bitsPerByte, 4) }
}

extension EvaluationScores {
  /// All scores in their order, the adapted one last.
  fileprivate var rows: [ScoreRow] {
    var rows = entries.map {
      ScoreRow(
        $0.name, $0.score, isFloat: $0.weights == .float, window: $0.window, stride: $0.stride)
    }
    if let adaptation {
      rows.append(
        ScoreRow(
          adaptation.mode == .scoreFirst ? "test-time training" : "adapt_first: not a score",
          adaptation.score, window: adaptation.window, stride: adaptation.stride))
    }
    return rows
  }
}
