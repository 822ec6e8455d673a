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
      Exits with 5 when a rule was broken, naming the line, and with 65 when the log was edited or \
      cut.

      Example: graphc audit runs/tiny
      """)

  @Argument(help: "The run directory.")
  var directory: String

  @Flag(help: "Print the proofs as one JSON document.")
  var json = false

  mutating func run() throws {
    let report: AuditReport
    do {
      report = try Audit.verify(directory)
    } catch let error as LegalityError {
      if json { print(document(["ok": false, "violation": .string(error.description)])) }
      throw error
    }
    if json {
      print(
        document([
          "ok": true, "events": .int(report.events),
          "proved": .array(report.proved.map(JSONValue.string)),
          "not_proved": .array(report.missing.map(JSONValue.string)),
          "adapt_first_not_a_score": .bool(report.hasIllegalScore),
        ]))
      return
    }
    for claim in report.proved { print("ok  \(claim)") }
    for claim in report.missing { print("--  \(claim)") }
    if report.hasIllegalScore {
      print("not a score: weights were adapted to the held-out text before they were scored on it")
    }
  }

  private func document(_ members: [String: JSONValue]) -> String {
    JSONValue.object(members.merging(["schema": "graphc-audit-report/1"]) { old, _ in old }).text
  }
}
