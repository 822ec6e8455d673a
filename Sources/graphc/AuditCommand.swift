// SPDX-License-Identifier: Apache-2.0
// graphc audit: verifies the evidence that a run left.

import ArgumentParser
import Formats
import Runtime

struct AuditCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit",
    abstract: "Verify that a run's scores are legal and follow from its log.",
    discussion: """
      Exits with 5 when a rule was broken, naming the line, or what was scored is no score; with 6 \
      when the artifact is over its budget; with 1 when something is missing or only a part was \
      scored; with 65 when the log was edited or cut.

      Example: graphc audit runs/tiny
      """)

  @Argument(help: "The run directory.")
  var directory: String

  @Flag(help: "Print the proofs as one JSON document.")
  var json = false

  mutating func run() throws {
    let report: AuditReport
    do {
      var audit = try Audit(directory)
      try audit.checkConsistency()
      report = audit.report
    } catch let error as LegalityError {
      if json { print(document(["ok": false, "violation": .string(error.description)])) }
      throw error
    }
    if json { print(document(report.members)) } else { print(report.table) }
    if let failure = report.failure(directory) { throw failure }
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
      "not_proved": .array(texts(.missing, .close, .refused).map(JSONValue.string)),
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
        ? "recomputed: what says so was computed again and compared"
        : "consistent: the files agree with one another; nothing was computed again, which only "
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
