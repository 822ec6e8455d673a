// SPDX-License-Identifier: Apache-2.0
// The audit of scores: every declared evaluation was scored as declared, and adapted by its protocol.

import Formats
import IR

extension Audit {
  /// Every entry of the evaluate section was scored once, in order, as the file declares it.
  mutating func checkEvaluations() throws {
    guard let settings = (artifact?.model ?? declared)?.settings else {
      return report.add(.missing, "evaluations: no graph text says what was to be scored")
    }
    var entries = settings.evaluate
    if isEvaluation {
      let options = EvaluationOptions(
        window: manifest[.window]?.intValue, stride: manifest[.stride]?.intValue)
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
    if let stop = chain.stop {
      report.add(.missing, "limit: \(stop.event.entry) was stopped, it would have taken too long")
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
    guard let limit = manifest[.validationTokens]?.intValue, targets ?? limit >= limit else {
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
      if manifest[.ttt] == true {
        report.add(.missing, "test-time training: it was asked for, the log has none")
      }
      return
    }
    let (line, begin) = (adaptation.begin.line, adaptation.begin.event)
    guard manifest[.ttt] == true, let ttt = settings.ttt else {
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
}
