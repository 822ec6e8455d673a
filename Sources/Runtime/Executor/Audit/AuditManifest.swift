// SPDX-License-Identifier: Apache-2.0
// The audit of a manifest: it says what was run, completely.

import Formats
import IR
import Language

extension Audit {
  /// Members that a manifest must have, by kind.
  private static let runMembers: [(key: String, isValid: @Sendable (JSONValue) -> Bool)] = [
    ("seed", { $0.stringValue.flatMap(UInt64.init) != nil }),
    ("length", { $0["steps"] != nil && $0["seconds"] != nil }),
    ("data", { $0.stringValue?.isSHA256 == true }),
    ("consts", { $0.objectValue != nil }),
    ("set", { $0.arrayValue?.allSatisfy { $0.stringValue != nil } == true }),
    (
      "sources",
      {
        $0.arrayValue?.allSatisfy {
          $0["path"]?.stringValue != nil && $0["sha256"]?.stringValue?.isSHA256 == true
        } == true
      }
    ),
  ]
  private static let evaluationMembers: [(key: String, isValid: @Sendable (JSONValue) -> Bool)] = [
    ("artifact", { $0.stringValue?.isSHA256 == true }),
    ("window", { $0 == .null || ($0.intValue ?? 0) > 0 }),
    ("stride", { $0 == .null || ($0.intValue ?? 0) > 0 }),
  ]
  private static let allMembers: [(key: String, isValid: @Sendable (JSONValue) -> Bool)] = [
    ("schema", { $0.stringValue == RunManifest.schema }),
    ("graphc", { $0.stringValue != nil }), ("model", { $0.stringValue != nil }),
    ("graph", { $0.stringValue?.isSHA256 == true }),
    ("validation", { $0.stringValue?.isSHA256 == true }),
    ("tokenizer", { $0.stringValue?.isSHA256 == true }),
    ("ttt", { $0.boolValue != nil }),
    ("validation_tokens", { $0 == .null || ($0.intValue ?? 0) > 0 }),
    ("machine", { $0.stringValue != nil }), ("isa", { $0.stringValue != nil }),
    ("gemm", { $0.stringValue != nil }),
    ("precision", { $0.stringValue.flatMap(ComputePrecision.init) != nil }),
  ]

  /// Whether the directory is that of `graphc eval`.
  public var isEvaluation: Bool { manifest["kind"] == "eval" }

  mutating func checkManifest() throws {
    guard isEvaluation || manifest["kind"] == "run" else {
      throw broken(RunManifest.fileName, "kind", manifest["kind"])
    }
    for (key, isValid) in Self.allMembers
      + (isEvaluation ? Self.evaluationMembers : Self.runMembers)
    {
      guard let value = manifest[key], isValid(value) else {
        throw broken(RunManifest.fileName, key, manifest[key])
      }
    }
    report.add(
      .consistent,
      "manifest: graph, data\(isEvaluation ? "" : " and seed") are those that the log began with")
  }

  func broken(_ file: String, _ key: String, _ value: JSONValue?) -> LegalityError {
    LegalityError(
      description: "\(directory)/\(file): \(key) is \(value?.text ?? "missing")")
  }
}
