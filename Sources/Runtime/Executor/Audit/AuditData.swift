// SPDX-License-Identifier: Apache-2.0
// The audit of data: it is the manifest's, and what the log counts is counted again.

import Formats
import IR

extension Audit {
  /// Counts targets, tokens and bytes again in the data that the manifest names.
  mutating func checkData(_ data: DataFolder?) throws {
    guard let data else {
      return report.add(
        .unchecked,
        "data: not given, so targets and bytes are those that the log claims; --data DIR")
    }
    let evidence = try data.evidence()
    try requireSame(.validation, evidence.validation?.content ?? "", data)
    try requireSame(.tokenizer, evidence.tokenizer, data)
    if !isEvaluation { try requireSame(.data, evidence.content, data) }
    if evidence.sharedDocuments > 0 {
      throw LegalityError(
        description:
          "\(data.path): \(evidence.sharedDocuments) validation documents are also in the "
          + "training data")
    }
    let stream = try ValidationStream(data, limit: manifest[.validationTokens]?.intValue)
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

  private func requireSame(_ field: ManifestField, _ hash: String, _ data: DataFolder) throws {
    guard manifest[field]?.stringValue == hash else {
      throw LegalityError(
        description:
          "\(data.path): \(field.rawValue) is not that of \(directory)/\(RunManifest.fileName): "
          + "\(hash), there \(manifest[field]?.text ?? "nothing")")
    }
  }
}
