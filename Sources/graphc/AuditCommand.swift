// SPDX-License-Identifier: Apache-2.0
// graphc audit: verifies the evidence that a run left.

import ArgumentParser
import Formats
import IR
import Language
import Passes
import Runtime

struct AuditCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit",
    abstract: "Verify the evidence of a run or an evaluation, or compute it again.",
    discussion: """
      Order, coverage and bounds of the log, and whether graph, artifact, manifest, data, result and \
      certificate belong together. With --data, targets and bytes are counted again.

      Exits with 5 when a rule was broken, naming the line, or what was scored is no score; with 6 \
      when the artifact is over its budget; with 1 when something is missing or only a part was \
      scored; with 65 when the log was edited or cut.

      Without --replay the files of the run are only compared with one another: whoever wrote all \
      of them could have invented them. --replay scores again from the artifact, with the \
      instruction set and the precision of the run, and compares to the bit; where this machine \
      lacks them it compares within a tolerance and exits with 1. --replay all takes about as long \
      as the run's own evaluation.

      Example: graphc audit runs/tiny
      Example: graphc audit runs/tiny --data data --replay all --probe 50 --sum 50
      """)

  @Argument(help: "The directory of a run, or of 'graphc eval --out'.")
  var directory: String

  @Option(help: "The data of the run: hashed, and its targets and bytes counted again.")
  var data: String?

  @OptionGroup var tokenizing: TokenizerOptions

  @Option(
    help: ArgumentHelp(
      "Score so many events of the log again (first, last and random ones) and all chunks before "
        + "them, or all events.", valueName: "N|all"))
  var replay: String?

  @Option(
    help: ArgumentHelp(
      "At so many places in every kind of windows and in the protocol: replace the tokens that a "
        + "prediction may not see, and require the bits of all nll up to there.", valueName: "N"))
  var probe: Int?

  @Option(
    help: ArgumentHelp(
      "At so many places (or more, where they cost nothing) of each kind: sum the probabilities of "
        + "all tokens.", valueName: "N"))
  var sum: Int?

  @OptionGroup var threading: ThreadOptions

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let work = try work()
    let folder = try data.map { try DataFolder.open($0, tokenizer: tokenizing.tokenizer) }
    let report: AuditReport
    do {
      var audit = try Audit(directory)
      try audit.check(AuditInputs(data: folder, elaborate: elaborate(files:preset:overrides:)))
      if let folder, !work.isEmpty {
        try audit.recompute(work, data: folder, threads: threading.resolved())
      }
      report = audit.report
    } catch let error as LegalityError {
      if form.json {
        try printOutput(document(["ok": false, "violation": .string(error.description)]))
      }
      throw error
    }
    try printOutput(form.json ? document(report.members) : report.table)
    if let failure = report.failure(directory) { throw failure }
  }

  /// What to compute again.
  private func work() throws -> AuditWork {
    for (name, value) in [("--probe", probe), ("--sum", sum)] {
      if let value, value < 1 {
        throw Failure.usage("\(name) takes a number from 1, found \(value)")
      }
    }
    var choice: ReplayChoice?
    if let replay {
      guard let count = replay == "all" ? Int.max : Int(replay), count >= 1 else {
        throw Failure.usage("--replay takes a number from 1, or all, found '\(replay)'")
      }
      choice = replay == "all" ? .all : .some(count)
    }
    let work = AuditWork(replay: choice, probe: probe, sum: sum)
    if data == nil, !work.isEmpty {
      throw Failure.usage(
        "--replay, --probe and --sum compute from the text that was scored; give its folder with "
          + "--data DIR")
    }
    return work
  }

  private func document(_ members: [String: JSONValue]) -> String {
    JSONValue.object(members.merging(["schema": "graphc-audit-report/1"]) { old, _ in old }).text
  }
}

extension AuditReport {
  fileprivate var members: [String: JSONValue] {
    [
      "ok": .bool(verdict == .ok), "verdict": .string(verdict.rawValue), "events": .int(events),
      "established": .string(established),
      "claims": .array(
        claims.map { ["standing": .string($0.standing.rawValue), "claim": .string($0.text)] }),
      "proved": .array(texts(.consistent, .recomputed).map(JSONValue.string)),
      "not_proved": .array(texts(.unchecked, .missing, .close, .refused).map(JSONValue.string)),
      "adapt_first_not_a_score": .bool(hasIllegalScore),
    ]
  }

  /// What the audit did.
  private var established: String { isRecomputed ? "recomputed" : "consistent" }

  fileprivate var table: String {
    var lines = claims.map { claim in
      let mark: String
      switch claim.standing {
      case .consistent, .recomputed: mark = "ok"
      case .missing, .close: mark = "--"
      case .unchecked: mark = "  "
      case .refused: mark = "!!"
      }
      return "\(mark)  \(claim.text)"
    }
    if hasIllegalScore {
      lines.append(
        "not a score: weights were adapted to the held-out text before they were scored on it")
    }
    lines.append(
      isRecomputed
        ? "recomputed: scores were computed again from the artifact and compared with the log"
        : "consistent: the files agree with one another; no score was computed again, which only "
          + "--replay does")
    lines.append("verdict: \(verdict.rawValue)")
    return lines.joined(separator: "\n")
  }

  /// What the verdict means for the exit code.
  fileprivate func failure(_ directory: String) -> Failure? {
    let first = texts(.refused, .missing, .close).first ?? ""
    switch verdict {
    case .ok: return nil
    case .incomplete:
      return Failure.check("error: \(directory): not everything is established: \(first)")
    case .illegal where hasIllegalScore && texts(.refused).isEmpty:
      return Failure(
        exitCode: 5, message: "error: \(directory): adapt_first is not a score")
    case .illegal:
      return Failure(exitCode: 5, message: "error: not legal: \(directory): \(first)")
    case .overBudget:
      return Failure(
        exitCode: 6, message: "error: \(directory): the artifact is larger than its budget")
    }
  }
}
