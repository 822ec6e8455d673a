// SPDX-License-Identifier: Apache-2.0
// What a study measured, as one table: for people, for spreadsheets and for programs.

import Formats
import IR
import Runtime

/// What one point measured, or why it did not.
struct StudyOutcome {
  enum State: String { case done, failed, interrupted, waiting }
  let point: StudyPoint
  var state = State.waiting
  /// Why there are no numbers.
  var reason: String?
  /// By the names of `StudyTable.metrics`.
  var metrics: [String: Double] = [:]
}

/// All outcomes, and the metric that settings are compared by.
struct StudyTable {
  /// The numbers of a result, in the order of the columns.
  static let metrics = [
    "bpb_ttt", "bpb_sliding", "bpb_quantized", "bpb_float", "gap", "artifact_bytes", "train_loss",
  ]
  /// The bars for p, and their marks.
  static let bars = [(p: 0.01, mark: "**"), (p: 0.25, mark: "*")]

  let variations: [StudyVariation]
  let settings: [StudySetting]
  let outcomes: [StudyOutcome]
  /// The metric of differences; nil: the first that there is.
  let chosen: String?

  /// The metric of differences and of the plot.
  var metric: String? {
    chosen ?? Self.metrics.first { name in outcomes.contains { $0.metrics[name] != nil } }
  }

  /// The numbers of a result file.
  static func metrics(of result: JSONValue) -> [String: Double] {
    var metrics: [String: Double] = [:]
    for name in Self.metrics { metrics[name] = result["eval"]?[name]?.doubleValue }
    metrics["artifact_bytes"] = result["artifact"]?["bytes"]?.doubleValue
    metrics["train_loss"] = result["train"]?["loss"]?.doubleValue
    if let float = metrics["bpb_float"], let quantized = metrics["bpb_quantized"] {
      metrics["gap"] = quantized - float
    }
    return metrics
  }

  func sample(_ setting: StudySetting, _ metric: String) -> Sample {
    Sample(outcomes.filter { $0.point.setting == setting }.compactMap { $0.metrics[metric] })
  }

  // MARK: Text

  private var shown: [String] {
    Self.metrics.filter { name in outcomes.contains { $0.metrics[name] != nil } }
  }

  private var head: [String] {
    variations.map(\.name) + ["seeds"] + shown.flatMap { [$0, "±"] }
      + ["difference of \(metric ?? "none")", "p", ""]
  }

  private var rows: [[String]] {
    settings.map { setting in
      let count = outcomes.count { $0.point.setting == setting && $0.state == .done }
      let numbers = shown.flatMap { name -> [String] in
        let sample = sample(setting, name)
        let digits = name == "artifact_bytes" ? 0 : 4
        guard !sample.values.isEmpty else { return ["", ""] }
        return [fixed(sample.mean, digits), sample.deviation.map { fixed($0, digits) } ?? ""]
      }
      return setting.values.map(\.text) + ["\(count)"] + numbers + comparison(setting)
    }
  }

  /// Difference to the first row, p, and the mark of the bar that it passes.
  private func comparison(_ setting: StudySetting) -> [String] {
    guard let metric, setting != settings[0] else { return ["", "", ""] }
    let (first, other) = (sample(settings[0], metric), sample(setting, metric))
    guard !first.values.isEmpty, !other.values.isEmpty else { return ["", "", ""] }
    let difference = other.mean - first.mean
    let signed = (difference < 0 ? "" : "+") + fixed(difference, metric == "artifact_bytes" ? 0 : 4)
    guard let p = WelchTest(first, other)?.p else { return [signed, "", ""] }
    let text = p < 1e-4 ? "< 0.0001" : fixed(p, 4)
    return [signed, text, Self.bars.first { p < $0.p }?.mark ?? ""]
  }

  /// What the marks mean, and which points have no numbers.
  private var notes: [String] {
    let count = outcomes.filter { $0.state == .done }.count
    var notes = [
      "Means over seeds, ± the sample deviation. p: Welch's test against the first row, two-sided; ** below 0.01, "
        + "* below 0.25; none where a row has fewer than two seeds or all its numbers are equal."
    ]
    if count < outcomes.count {
      notes.append("\(count) of \(outcomes.count) points are done.")
    }
    for outcome in outcomes where outcome.reason != nil {
      notes.append(
        "\(outcome.point.description): \(outcome.state.rawValue): \(outcome.reason ?? "")")
    }
    return notes
  }

  /// For a terminal.
  var text: String {
    let numbers = Set(variations.count..<head.count - 1)
    return textTable([head] + rows, right: numbers) + "\n\n" + notes.joined(separator: "\n")
  }

  func markdown(title: String) -> String {
    func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }
    func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }
    let rule = head.indices.map { $0 < variations.count ? "---" : "---:" }
    return "# \(title)\n\n" + line(head.map(cell)) + line(rule)
      + rows.map { line($0.map(cell)) }.joined() + "\n"
      + notes.map { "\($0)\n" }.joined(separator: "\n") + "\n![the metric](study.svg)\n"
  }

  /// A line a point, every metric with all its digits (RFC 4180).
  var csv: String {
    func line(_ cells: [String]) -> String {
      cells.map { cell in
        cell.contains { ",\"\n".contains($0) } ? "\"\(cell.replacing("\"", with: "\"\""))\"" : cell
      }.joined(separator: ",") + "\r\n"
    }
    return line(variations.map(\.name) + ["seed", "state"] + Self.metrics)
      + outcomes.map { outcome in
        line(
          outcome.point.setting.values.map(\.text)
            + ["\(outcome.point.seed)", outcome.state.rawValue]
            + Self.metrics.map { outcome.metrics[$0].map { "\($0)" } ?? "" })
      }.joined()
  }

  // MARK: JSON

  /// `study` says what was asked for.
  func json(_ study: JSONValue) -> JSONValue {
    [
      "schema": "graphc-study/1", "study": study,
      "metric": metric.map(JSONValue.string) ?? .null,
      "rows": .array(settings.map(row)),
      "points": .array(
        outcomes.map { outcome in
          [
            "set": Self.json(outcome.point.setting), "seed": .string("\(outcome.point.seed)"),
            "state": .string(outcome.state.rawValue), "folder": .string(outcome.point.name),
            "reason": outcome.reason.map(JSONValue.string) ?? .null,
            "metrics": .object(outcome.metrics.mapValues(JSONValue.double)),
          ]
        }),
    ]
  }

  private func row(_ setting: StudySetting) -> JSONValue {
    var metrics: [String: JSONValue] = [:]
    for name in shown {
      let sample = sample(setting, name)
      guard !sample.values.isEmpty else { continue }
      metrics[name] = [
        "mean": .double(sample.mean), "values": .array(sample.values.map(JSONValue.double)),
        "deviation": sample.deviation.map(JSONValue.double) ?? .null,
      ]
    }
    let samples = metric.map { (sample(settings[0], $0), sample(setting, $0)) }
    let isCompared = setting != settings[0] && !(samples?.1.values.isEmpty ?? true)
    let test = isCompared ? samples.flatMap { WelchTest($0.0, $0.1) } : nil
    return [
      "set": Self.json(setting),
      "seeds": .int(outcomes.count { $0.point.setting == setting && $0.state == .done }),
      "metrics": .object(metrics), "p": test.map { .double($0.p) } ?? .null,
      "difference": isCompared ? samples.map { .double($0.1.mean - $0.0.mean) } ?? .null : .null,
    ]
  }

  private static func json(_ setting: StudySetting) -> JSONValue {
    .object(
      Dictionary(uniqueKeysWithValues: setting.values.map { ($0.name, .string($0.text)) }))
  }
}
