// SPDX-License-Identifier: Apache-2.0
// The audit of result.json: the report is made again from the log, the manifest and log.jsonl, and
// compared member by member.

import Formats
import Glibc
import IR

extension Audit {
  private var resultPath: String { directory + "/" + ResultEvent.fileName }

  mutating func checkResult() throws {
    guard let closing = chain.result else {
      return report.add(.missing, "result: the log does not name one; the run is not finished")
    }
    guard access(resultPath, F_OK) == 0 else {
      return report.add(.missing, "result: \(ResultEvent.fileName) is not here")
    }
    let document = try JSONValue.parse(try readFile(resultPath), file: resultPath)
    let expected = try reportOfLog(document)
    try require(
      ["schema", "precision"] + expected.manifest.keys.sorted() + ["eval", "artifact"],
      of: expected, in: document)
    if !isEvaluation {
      try checkTraining(expected, document)
      try checkLive(document)
    }
    // Last, because the members above say more about what differs.
    guard ResultEvent(document) == closing.event else {
      throw chain.violation(closing.line, "\(resultPath) is not the result that the log ends with")
    }
    report.add(
      .consistent, "result: every member follows from the log, the manifest or the training log")
  }

  /// Throws unless the members of the document are those of the report; members of an object are
  /// compared one by one.
  private func require(_ keys: [String], of report: Report, in document: JSONValue) throws {
    let expected = report.json
    for key in keys {
      guard let members = expected[key]?.objectValue else {
        try requireMember(key, document[key], is: expected[key] ?? .null)
        continue
      }
      guard let claimed = document[key]?.objectValue else {
        throw LegalityError(description: "\(resultPath): \(key) is missing")
      }
      for member in Set(claimed.keys).union(members.keys).sorted() {
        try requireMember(key + "." + member, claimed[member], is: members[member] ?? .null)
      }
    }
  }

  private func requireMember(_ path: String, _ value: JSONValue?, is expected: JSONValue) throws {
    guard value?.text == expected.text else {
      throw LegalityError(
        description: "\(resultPath): \(path) is \(value?.text ?? "missing"), not \(expected.text)")
    }
  }

  // MARK: The report that the log makes

  /// What the result must be. Times and the place of the artifact, which differ from one run to its
  /// repetition, are those of the document, if they are possible.
  private func reportOfLog(_ document: JSONValue) throws -> Report {
    var report = Report(
      precision: (manifest[.precision]?.stringValue).flatMap(ComputePrecision.init) ?? .f32,
      artifact: try artifactFile(document), scores: try scores(document))
    if !isEvaluation {
      report.training = Report.Training(losses: [], steps: 0, tokens: 0, seconds: 0)
      for field in RunManifest.repeatedFields { report.manifest[field] = manifest[field] ?? .null }
    }
    return report
  }

  private func artifactFile(_ document: JSONValue) throws -> Report.ArtifactFile {
    let path = document["artifact"]?["path"]?.stringValue ?? ""
    // Directories are moved and copied; the name in them stays.
    let name = path.split(separator: "/").last.map(String.init)
    guard isEvaluation || name == RunManifest.artifactName else {
      throw LegalityError(description: "\(resultPath): artifact.path is \(path)")
    }
    let sealed = chain.artifact?.event
    return Report.ArtifactFile(
      path: path, bytes: sealed?.bytes ?? 0, codeBytes: sealed?.codeBytes ?? 0)
  }

  private func scores(_ document: JSONValue) throws -> EvaluationScores {
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
    if let begin = chain.adaptation?.begin.event, let end = chain.adaptation?.end?.event {
      scores.adaptation = AdaptationScore(
        mode: begin.mode, window: begin.window, stride: begin.stride,
        score: Score(nats: end.nats, tokens: end.tokens, bytes: end.bytes))
    }
    if let stop = chain.stop {
      scores.excess = OverLimit(
        work: "evaluation", limit: 0, seconds: 0, unfinished: stop.event.entry)
    }
    if scores.entries.contains(where: { $0.stride != nil }) {
      scores.originalBytes = originalBytes ?? document["eval"]?["bytes_original"]?.intValue
    }
    return scores
  }

  // MARK: Training

  /// Steps, loss and speed are those of log.jsonl.
  private mutating func checkTraining(_ expected: Report, _ document: JSONValue) throws {
    let path = directory + "/log.jsonl"
    guard access(path, F_OK) == 0 else {
      return report.add(.missing, "training: log.jsonl is not here")
    }
    let steps = try JSONLines.read(path).filter { $0["event"] == "step" }
    // A log that lost lines is gone on with, and says less.
    let gap = steps.indices.first { steps[$0]["step"] != .int($0 + 1) } ?? steps.count
    let claimed = document["train"]
    if gap < max(steps.count, claimed?["steps"]?.intValue ?? 0) {
      return report.add(.missing, "training: log.jsonl has no step \(gap + 1)")
    }
    if let limit = manifest[.length]?["steps"]?.intValue, steps.count > limit {
      throw LegalityError(description: "\(path): \(steps.count) steps of at most \(limit)")
    }
    let seconds = claimed?["seconds"]?.doubleValue ?? -1
    guard seconds.isFinite, seconds >= 0 else {
      throw LegalityError(description: "\(resultPath): train.seconds is \(seconds)")
    }
    let tokens = declared?.settings.train.map {
      Double($0.rows) * Double($0.seq) * Double($0.accumulate) * Double(steps.count)
    }
    var training = Report.Training(
      losses: steps.compactMap { $0["loss"]?.doubleValue }, steps: steps.count,
      tokens: tokens ?? 0, seconds: seconds)
    if tokens == nil {
      training.tokensPerSecond = claimed?["tokens_per_second"]?.doubleValue ?? 0
    }
    var expected = expected
    expected.training = training
    try require(["train"], of: expected, in: document)
    if tokens != nil {
      report.add(.consistent, "training: \(steps.count) steps, their losses and their speed")
    }
  }

  /// Features were live within the steps of the run, on params of the graph.
  private func checkLive(_ document: JSONValue) throws {
    guard let live = document["live"]?.arrayValue else {
      throw LegalityError(description: "\(resultPath): live is missing")
    }
    let steps = document["train"]?["steps"]?.intValue ?? 0
    let params = Set((declared?.graph.parameters ?? []).map(\.path))
    for entry in live {
      guard let feature = LiveFeature(json: entry),
        // Updates of test-time training are counted by themselves.
        feature.phase == .adaptation || feature.lastStep ?? 0 <= steps,
        declared == nil || feature.params.allSatisfy(params.contains)
      else {
        throw LegalityError(description: "\(resultPath): live has \(entry.text)")
      }
    }
  }
}
