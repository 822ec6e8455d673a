// SPDX-License-Identifier: Apache-2.0
// The audit of result.json: every member follows from the log, the manifest or log.jsonl.

import Formats
import Glibc
import IR

extension Audit {
  private var resultPath: String { directory + "/result.json" }

  mutating func checkResult() throws {
    guard let closing = chain.result else {
      return report.add(.missing, "result: the log does not name one; the run is not finished")
    }
    guard access(resultPath, F_OK) == 0 else {
      return report.add(.missing, "result: result.json is not here")
    }
    let document = try JSONValue.parse(try readFile(resultPath), file: resultPath)
    try requireMember(
      "schema", document, is: .string(isEvaluation ? "graphc-eval/1" : "graphc-run/1"))
    for key in isEvaluation ? ["precision"] : ["precision"] + RunManifest.repeatedMembers {
      try requireMember(key, document, is: manifest[key] ?? .null)
    }
    try checkScores(document)
    try checkSizes(document)
    if !isEvaluation {
      try checkTraining(document)
      try checkLive(document)
    }
    // Last, because the members above say more about what differs.
    guard ResultEvent(document) == closing.event else {
      throw chain.violation(closing.line, "\(resultPath) is not the result that the log ends with")
    }
    report.add(
      .consistent, "result: every member follows from the log, the manifest or the training log")
  }

  private func requireMember(
    _ path: String, _ document: JSONValue, is expected: JSONValue
  ) throws {
    var value: JSONValue? = document
    for key in path.split(separator: ".") { value = value?[String(key)] }
    guard value?.text == expected.text else {
      throw LegalityError(
        description: "\(resultPath): \(path) is \(value?.text ?? "missing"), not \(expected.text)")
    }
  }

  // MARK: Scores

  /// The `eval` object is what the log's sums make.
  private func checkScores(_ document: JSONValue) throws {
    var scores = EvaluationScores()
    let listed = document["eval"]?["scores"]?.arrayValue ?? []
    for (index, line) in chain.evaluations.enumerated() {
      let event = line.event
      let seconds = index < listed.count ? listed[index]["seconds"]?.doubleValue : nil
      guard let seconds, seconds.isFinite, seconds >= 0 else {
        throw LegalityError(
          description: "\(resultPath): eval.scores has no seconds of \(event.entry)")
      }
      scores.entries.append(
        EvaluationScore(
          name: event.entry, window: event.window, stride: event.stride, weights: event.on,
          score: Score(nats: event.nats, tokens: event.tokens, bytes: event.bytes),
          seconds: seconds))
    }
    scores.leftOut = leftOut
    if let adaptation = chain.adaptation, let end = adaptation.end?.event {
      let score = Score(nats: end.nats, tokens: end.tokens, bytes: end.bytes)
      if adaptation.isScoreFirst { scores.adapted = score } else { scores.illegal = score }
    }
    if scores.entries.contains(where: { $0.stride != nil }) {
      scores.originalBytes = originalBytes ?? document["eval"]?["bytes_original"]?.intValue
    }
    let expected = scores.json
    guard let claimed = document["eval"]?.objectValue, let members = expected.objectValue else {
      throw LegalityError(description: "\(resultPath): eval is missing")
    }
    for key in Set(claimed.keys).union(members.keys).sorted() {
      try requireMember("eval." + key, document, is: members[key] ?? .null)
    }
  }

  private func checkSizes(_ document: JSONValue) throws {
    guard let sealed = chain.artifact?.event else { return }
    try requireMember("artifact.bytes", document, is: .int(sealed.bytes))
    guard !isEvaluation else { return }
    try requireMember("artifact.code_bytes", document, is: .int(sealed.codeBytes))
    // Directories are moved and copied; the name in them stays.
    let path = document["artifact"]?["path"]?.stringValue ?? ""
    guard path.split(separator: "/").last.map(String.init) == RunManifest.artifactName else {
      throw LegalityError(description: "\(resultPath): artifact.path is \(path)")
    }
  }

  // MARK: Training

  /// Steps, loss and speed are those of log.jsonl.
  private mutating func checkTraining(_ document: JSONValue) throws {
    let path = directory + "/log.jsonl"
    guard access(path, F_OK) == 0 else {
      return report.add(.missing, "training: log.jsonl is not here")
    }
    let steps = try JSONLines.read(path).filter { $0["event"] == "step" }
    // A log that lost lines is gone on with, and says less.
    let gap = steps.indices.first { steps[$0]["step"] != .int($0 + 1) } ?? steps.count
    if gap < max(steps.count, document["train"]?["steps"]?.intValue ?? 0) {
      return report.add(.missing, "training: log.jsonl has no step \(gap + 1)")
    }
    try requireMember("train.steps", document, is: .int(steps.count))
    if let limit = manifest["length"]?["steps"]?.intValue, steps.count > limit {
      throw LegalityError(description: "\(path): \(steps.count) steps of at most \(limit)")
    }
    let losses = steps.suffix(100).compactMap { $0["loss"]?.doubleValue }
    try requireMember(
      "train.loss", document, is: .double(losses.reduce(0, +) / Double(max(losses.count, 1))))
    let seconds = document["train"]?["seconds"]?.doubleValue ?? -1
    guard seconds.isFinite, seconds >= 0 else {
      throw LegalityError(description: "\(resultPath): train.seconds is \(seconds)")
    }
    guard let train = declared?.settings.train else { return }
    let tokens =
      Double(train.rows) * Double(train.seq) * Double(train.accumulate) * Double(steps.count)
    try requireMember(
      "train.tokens_per_second", document, is: .double(tokens / max(seconds, 1e-9)))
    report.add(.consistent, "training: \(steps.count) steps, their losses and their speed")
  }

  /// Features were live within the steps of the run, on params of the graph.
  private func checkLive(_ document: JSONValue) throws {
    guard let live = document["live"]?.arrayValue else {
      throw LegalityError(description: "\(resultPath): live is missing")
    }
    let steps = document["train"]?["steps"]?.intValue ?? 0
    let params = Set((declared?.graph.parameters ?? []).map(\.path))
    for feature in live {
      let (first, last) = (feature["first_step"]?.intValue, feature["last_step"]?.intValue)
      let named = (feature["params"]?.arrayValue ?? []).map(\.stringValue)
      // Updates of test-time training are counted by themselves.
      let end = feature["unit"] == "update" ? Int.max : steps
      let isPossible =
        if let first, let last { first >= 1 && first <= last && last <= end } else {
          feature["first_step"] == .null && feature["last_step"] == .null
        }
      guard feature["feature"]?.stringValue != nil, isPossible,
        declared == nil || named.allSatisfy({ $0.map(params.contains) == true })
      else {
        throw LegalityError(description: "\(resultPath): live has \(feature.text)")
      }
    }
  }
}
