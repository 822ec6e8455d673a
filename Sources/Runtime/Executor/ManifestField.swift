// SPDX-License-Identifier: Apache-2.0
// The members of a manifest: their keys, and what their values must be.

import Formats
import IR

/// A member of manifest.json. Runs write it, resuming compares it, the audit requires it.
public enum ManifestField: String, Sendable {
  case schema, kind, graphc, model, graph, training, preset, set, consts, sources, validation, data
  case tokenizer, seed, length, ttt
  case validationTokens = "validation_tokens"
  case machine, isa, gemm, precision, artifact, window, stride, resumed

  /// What every manifest must have.
  static let required: [ManifestField] = [
    .schema, .graphc, .model, .graph, .validation, .tokenizer, .ttt, .validationTokens, .machine,
    .isa, .gemm, .precision,
  ]
  /// What that of a run must have besides.
  static let requiredOfRuns: [ManifestField] = [.seed, .length, .data, .consts, .set, .sources]
  /// What that of an evaluation must have besides.
  static let requiredOfEvaluations: [ManifestField] = [.artifact, .window, .stride]

  func isValid(_ value: JSONValue) -> Bool {
    switch self {
    case .schema: return value.stringValue == RunManifest.schema
    case .kind, .graphc, .model, .machine, .isa, .gemm: return value.stringValue != nil
    case .graph, .training, .validation, .data, .tokenizer, .artifact:
      return value.stringValue?.isSHA256 == true
    case .seed: return value.stringValue.flatMap(UInt64.init) != nil
    case .precision: return value.stringValue.flatMap(ComputePrecision.init) != nil
    case .ttt: return value.boolValue != nil
    case .preset: return value == .null || value.stringValue != nil
    case .validationTokens, .window, .stride: return value == .null || (value.intValue ?? 0) > 0
    case .length: return value["steps"] != nil && value["seconds"] != nil
    case .consts: return value.objectValue != nil
    case .resumed: return value.arrayValue != nil
    case .set: return value.arrayValue?.allSatisfy { $0.stringValue != nil } == true
    case .sources:
      return value.arrayValue?.allSatisfy {
        $0["path"]?.stringValue != nil && $0["sha256"]?.stringValue?.isSHA256 == true
      } == true
    }
  }
}

extension [String: JSONValue] {
  /// A member of a manifest.
  public subscript(_ field: ManifestField) -> JSONValue? {
    get { self[field.rawValue] }
    set { self[field.rawValue] = newValue }
  }

  init(_ manifest: [ManifestField: JSONValue]) {
    self.init(uniqueKeysWithValues: manifest.map { ($0.key.rawValue, $0.value) })
  }
}
