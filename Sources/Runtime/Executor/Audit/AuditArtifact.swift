// SPDX-License-Identifier: Apache-2.0
// The audit of the artifact: it was sealed before anything was scored, and it fits.

import Formats
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
    if isEvaluation, manifest[.artifact]?.stringValue != event.sha256 {
      throw broken(.artifact)
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
}
