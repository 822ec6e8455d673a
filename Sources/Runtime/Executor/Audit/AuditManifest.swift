// SPDX-License-Identifier: Apache-2.0
// The audit of a manifest: it says what was run, completely.

import Formats
import IR

extension Audit {
  /// Whether the directory is that of `graphc eval`.
  public var isEvaluation: Bool { manifest[.kind] == "eval" }

  mutating func checkManifest() throws {
    guard isEvaluation || manifest[.kind] == "run" else {
      throw broken(.kind)
    }
    let fields: [ManifestField] =
      isEvaluation ? ManifestField.requiredOfEvaluations : ManifestField.requiredOfRuns
    for field in ManifestField.required + fields {
      guard let value = manifest[field], field.isValid(value) else { throw broken(field) }
    }
    report.add(
      .consistent,
      "manifest: graph, data\(isEvaluation ? "" : " and seed") are those that the log began with")
  }

  /// A member of the manifest is not what it must be; `value` is the one that is meant.
  func broken(_ field: ManifestField, _ value: JSONValue? = nil) -> LegalityError {
    LegalityError(
      description: "\(directory)/\(RunManifest.fileName): \(field.rawValue) is "
        + ((value ?? manifest[field])?.text ?? "missing"))
  }
}
