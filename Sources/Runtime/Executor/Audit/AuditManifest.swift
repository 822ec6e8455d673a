// SPDX-License-Identifier: Apache-2.0
// The audit of a manifest and of the graph: what was run, and whether the artifact is that model's.

import Formats
import Glibc
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

  /// The graph's files make the core text, and that the artifact's declaration.
  mutating func checkGraph(_ inputs: AuditInputs) throws {
    if isEvaluation {
      guard let artifact else { return }
      guard SHA256.hex(artifact.model.printed()) == manifest["graph"]?.stringValue else {
        throw LegalityError(
          description:
            "\(directory)/\(RunManifest.artifactName): its graph text is not the one that "
            + "the manifest names")
      }
      return report.add(.consistent, "graph: the artifact declares what the manifest names")
    }
    let path = directory + "/" + RunManifest.coreName
    guard access(path, F_OK) == 0 else {
      return report.add(.missing, "graph: \(RunManifest.coreName) is not here")
    }
    let text = String(decoding: try readFile(path), as: UTF8.self)
    guard SHA256.hex(text) == manifest["graph"]?.stringValue else {
      throw LegalityError(description: "\(path): it is not the graph that the manifest names")
    }
    let model = try Model.parse(path: path, text: text)
    guard model.name == manifest["model"]?.stringValue else {
      throw broken(RunManifest.fileName, "model", manifest["model"])
    }
    declared = model
    try checkSources(core: text, inputs)
    guard let artifact else { return }
    guard artifact.model.printed() == model.forArtifact.printed() else {
      throw LegalityError(
        description: "\(directory)/artifact.gca: its graph text is not what \(path) declares")
    }
    report.add(.consistent, "graph: the artifact declares what \(RunManifest.coreName) does")
  }

  private mutating func checkSources(core: String, _ inputs: AuditInputs) throws {
    var files: [SourceFile] = []
    for source in manifest["sources"]?.arrayValue ?? [] {
      guard let name = source["path"]?.stringValue else { continue }
      let path = directory + "/" + name
      guard !name.split(separator: "/").contains(".."), !name.hasPrefix("/") else {
        throw broken(RunManifest.fileName, "sources", source)
      }
      guard access(path, F_OK) == 0 else {
        return report.add(.missing, "graph: \(name) is not here")
      }
      let text = String(decoding: try readFile(path), as: UTF8.self)
      guard SHA256.hex(text) == source["sha256"]?.stringValue else {
        throw LegalityError(description: "\(path): it is not the file that the manifest names")
      }
      files.append(SourceFile(path: name, text: text))
    }
    let consts = manifest["consts"] ?? .null
    let overrides = (manifest["set"]?.arrayValue ?? []).compactMap(\.stringValue)
    guard let main = files.first else {
      // A plan or core text has no files besides the core text itself, and nothing to set.
      guard consts == .object([:]), overrides.isEmpty else {
        throw broken(RunManifest.fileName, "sources", manifest["sources"])
      }
      return
    }
    let again = directory + "/" + main.path
    let model: Model
    do {
      model = try inputs.elaborate(files, overrides)
    } catch {
      throw LegalityError(
        description: "\(again): with the manifest's --set it does not compile: "
          + ((error as? Diagnostics)?.all.first?.message ?? "\(error)"))
    }
    guard model.withoutLocations.printed() == core else {
      throw LegalityError(
        description: "\(again): with the manifest's --set it does not compile to "
          + RunManifest.coreName)
    }
    guard RunManifest.json(model.constants).text == consts.text else {
      throw broken(RunManifest.fileName, "consts", consts)
    }
    report.add(
      .consistent, "graph: \(files.count) files and --set compile to \(RunManifest.coreName)")
  }

  func broken(_ file: String, _ key: String, _ value: JSONValue?) -> LegalityError {
    LegalityError(
      description: "\(directory)/\(file): \(key) is \(value?.text ?? "missing")")
  }
}
