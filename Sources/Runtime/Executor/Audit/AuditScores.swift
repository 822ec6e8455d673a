// SPDX-License-Identifier: Apache-2.0
// The audit of scores: what was sealed, that every declared evaluation was scored as declared, and
// what the data says about their counts.

import Formats
import Glibc
import IR

extension Audit {
  private var artifactPath: String { directory + "/" + RunManifest.artifactName }

  /// The artifact is the one that was sealed before anything was scored, and fits.
  mutating func checkArtifact() throws {
    guard let sealed = chain.artifact else {
      return report.add(.missing, "artifact: the log has not sealed one; the run is not finished")
    }
    guard let artifact else {
      return report.add(.missing, "artifact: \(RunManifest.artifactName) is not here")
    }
    let event = sealed.event
    guard try SHA256.hex(file: artifactPath) == event.sha256 else {
      throw chain.violation(sealed.line, "\(artifactPath) is not the artifact that was sealed")
    }
    let bytes = try OpenFile(artifactPath).count
    guard bytes == event.bytes else {
      throw chain.violation(sealed.line, "bytes is \(event.bytes), \(artifactPath) has \(bytes)")
    }
    let settings = artifact.model.settings
    guard event.codeBytes == settings.quantize?.codeBytes ?? 0 else {
      throw chain.violation(
        sealed.line,
        "code_bytes is \(event.codeBytes), the file declares \(settings.quantize?.codeBytes ?? 0)")
    }
    if isEvaluation, manifest["artifact"]?.stringValue != event.sha256 {
      throw broken(RunManifest.fileName, "artifact", manifest["artifact"])
    }
    let weights = try artifact.parameters().sha256()
    for evaluation in chain.evaluations
    where evaluation.event.on == .quantized && evaluation.event.weights != weights {
      throw chain.violation(
        evaluation.line, "\(artifactPath) does not hold the weights that were evaluated")
    }
    if let begin = chain.adaptation?.begin, begin.event.weights != weights {
      throw chain.violation(
        begin.line, "test-time training began from other weights than the artifact's")
    }
    report.add(
      .consistent,
      "artifact: \(bytes) bytes, sealed before anything was scored, with the weights "
        + "that were")
    if let budget = settings.quantize?.budget {
      report.isOverBudget = bytes + event.codeBytes > budget
      let sum = "\(bytes) bytes" + (event.codeBytes > 0 ? " and \(event.codeBytes) of code" : "")
      report.add(
        report.isOverBudget ? .missing : .consistent,
        "budget: \(sum) of \(budget)\(report.isOverBudget ? ": over budget" : "")")
    }
    if let limit = settings.expect.artifactAtMost, bytes > limit {
      report.add(.missing, "expect: \(bytes) bytes, the file expects at most \(limit)")
    }
  }

  /// Every entry of the evaluate section was scored once, in order, as the file declares it.
  mutating func checkEvaluations() throws {
    guard let settings = (artifact?.model ?? declared)?.settings else {
      return report.add(.missing, "evaluations: no graph text says what was to be scored")
    }
    var entries = settings.evaluate
    if isEvaluation {
      let options = EvaluationOptions(
        window: manifest["window"]?.intValue, stride: manifest["stride"]?.intValue)
      entries = try options.applied(to: entries)
      if !options.isEmpty {
        report.add(
          .missing,
          "evaluations: the command line chose windows and strides, not the artifact's file")
      }
      leftOut = entries.filter(\.onFloat).map(\.name)
      entries.removeAll(where: \.onFloat)
    }
    for (line, entry) in zip(chain.evaluations, entries) {
      let event = line.event
      guard event.entry == entry.name, event.window == entry.window, event.stride == entry.stride,
        event.on == entry.weights
      else {
        throw chain.violation(
          line.line,
          "\(words(event.entry, event.window, event.stride, event.on)) was scored, the file "
            + "declares \(words(entry.name, entry.window, entry.stride, entry.weights))")
      }
    }
    if chain.evaluations.count > entries.count {
      let extra = chain.evaluations[entries.count]
      throw chain.violation(extra.line, "the file declares no evaluation \(extra.event.entry)")
    }
    let missing = entries.dropFirst(chain.evaluations.count).map(\.name)
    if !missing.isEmpty {
      report.add(.missing, "evaluations: \(missing.joined(separator: ", ")) not scored")
    }
    if !chain.evaluations.isEmpty {
      report.add(
        .consistent,
        "evaluations: \(chain.evaluations.map(\.event.entry).joined(separator: ", ")) as the file "
          + "declares them, all of a kind on the same weights")
    }
    if !leftOut.isEmpty {
      report.add(
        .consistent,
        "evaluations: \(leftOut.joined(separator: ", ")) left out, an artifact holds no float weights"
      )
    }
    checkCoverage()
    try checkAdaptation(settings)
  }

  /// A limit that the validation text reached leaves the rest of it out.
  private mutating func checkCoverage() {
    let targets = chain.evaluations.first?.event.targets ?? chain.adaptation?.begin.event.targets
    guard let limit = manifest["validation_tokens"]?.intValue, targets ?? limit >= limit else {
      return
    }
    report.add(
      .missing,
      "coverage: only \(limit) validation tokens were asked for: a quick look, not a score")
  }

  private func words(_ name: String, _ window: Int, _ stride: Int?, _ on: ScoredWeights) -> String {
    "\(name) window \(window)\(stride.map { " stride \($0)" } ?? "") on \(on.rawValue)"
  }

  // MARK: Test-time training

  private mutating func checkAdaptation(_ settings: Settings) throws {
    guard let adaptation = chain.adaptation, let end = adaptation.end?.event else {
      if manifest["ttt"] == true {
        report.add(.missing, "test-time training: it was asked for, the log has none")
      }
      return
    }
    let (line, begin) = (adaptation.begin.line, adaptation.begin.event)
    guard manifest["ttt"] == true, let ttt = settings.ttt else {
      throw chain.violation(line, "test-time training that nobody asked for")
    }
    guard
      (begin.mode, begin.chunk, begin.epochs) == (ttt.mode, ttt.chunk, ttt.epochs),
      (begin.window, begin.stride) == (ttt.window, ttt.stride)
    else {
      throw chain.violation(
        line,
        "\(begin.mode.rawValue), chunks of \(begin.chunk), window \(begin.window), stride "
          + "\(begin.stride), epochs \(begin.epochs): the file declares \(ttt.mode.rawValue), "
          + "\(ttt.chunk), \(ttt.window), \(ttt.stride), \(ttt.epochs)")
    }
    for update in adaptation.updates {
      let rate = ttt.rate(epoch: 0, chunk: update.event.chunk, of: adaptation.chunks)
      guard abs(update.event.rate - rate) <= 1e-12 else {
        throw chain.violation(
          update.line, "a rate of \(update.event.rate), the file's schedule says \(rate)")
      }
    }
    // Plain windows leave out the stream's tail, overlapping ones do not.
    if let sliding = chain.evaluations.first(where: { $0.event.tokens == end.tokens }) {
      guard sliding.event.bytes == end.bytes else {
        throw chain.violation(
          line,
          "the same tokens have \(end.bytes) bytes, in line \(sliding.line) "
            + "\(sliding.event.bytes)")
      }
    }
    if let targets = chain.evaluations.first?.event.targets, targets != begin.targets {
      throw chain.violation(line, "\(begin.targets) targets, the evaluations have \(targets)")
    }
    report.hasIllegalScore = !adaptation.isScoreFirst
    if adaptation.isScoreFirst {
      report.add(
        .consistent,
        "score first: targets 0 ..< \(begin.targets) were scored once each, in order, in "
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

  // MARK: Data

  /// Counts targets, tokens and bytes again in the data that the manifest names.
  mutating func checkData(_ data: DataFolder?) throws {
    guard let data else {
      return report.add(
        .unchecked,
        "data: not given, so targets and bytes are those that the log claims; --data DIR")
    }
    let evidence = try data.evidence()
    try requireSame("validation", evidence.validation?.content ?? "", data)
    try requireSame("tokenizer", evidence.tokenizer, data)
    if !isEvaluation { try requireSame("data", evidence.content, data) }
    if evidence.sharedDocuments > 0 {
      throw LegalityError(
        description:
          "\(data.path): \(evidence.sharedDocuments) validation documents are also in the "
          + "training data")
    }
    let stream = try ValidationStream(data, limit: manifest["validation_tokens"]?.intValue)
    for line in chain.evaluations {
      let event = line.event
      try requireTargets(event.targets, stream, line.line)
      let bytes = stream.bytes(ofTargets: event.tokens)
      guard event.bytes == bytes else {
        throw chain.violation(
          line.line, "bytes is \(event.bytes), \(event.tokens) tokens of \(data.path) have \(bytes)"
        )
      }
    }
    if let adaptation = chain.adaptation, let end = adaptation.end {
      try requireTargets(adaptation.begin.event.targets, stream, adaptation.begin.line)
      let bytes = stream.bytes(ofTargets: end.event.tokens)
      guard end.event.bytes == bytes else {
        throw chain.violation(
          end.line,
          "bytes is \(end.event.bytes), \(end.event.tokens) tokens of \(data.path) have "
            + "\(bytes)")
      }
    }
    originalBytes = .some(stream.originalBytes)
    report.add(
      .consistent,
      "data: shards and tokenizer are the manifest's; all \(stream.targets) targets and their bytes "
        + "were counted again")
  }

  private func requireTargets(_ targets: Int, _ stream: ValidationStream, _ line: Int) throws {
    guard targets == stream.targets else {
      throw chain.violation(
        line, "targets is \(targets), the validation text of \(stream.path) has \(stream.targets)")
    }
  }

  private func requireSame(_ key: String, _ hash: String, _ data: DataFolder) throws {
    guard manifest[key]?.stringValue == hash else {
      throw LegalityError(
        description: "\(data.path): \(key) is not that of \(directory)/\(RunManifest.fileName): "
          + "\(hash), there \(manifest[key]?.text ?? "nothing")")
    }
  }
}
