// SPDX-License-Identifier: Apache-2.0
// The audit of the graph: its files make the core text, and that the artifact's declaration.

import Formats
import Glibc
import IR
import Language

extension Audit {
  /// The graph's files make the core text, and that the artifact's declaration.
  mutating func checkGraph(_ inputs: AuditInputs) throws {
    if isEvaluation {
      guard let artifact else { return }
      guard SHA256.hex(artifact.model.printed()) == manifest[.graph]?.stringValue else {
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
    guard SHA256.hex(text) == manifest[.graph]?.stringValue else {
      throw LegalityError(description: "\(path): it is not the graph that the manifest names")
    }
    let model = try Model.parse(path: path, text: text)
    guard model.name == manifest[.model]?.stringValue else {
      throw broken(.model)
    }
    declared = model
    try checkSources(core: text, inputs)
    guard let artifact else { return }
    guard artifact.model.printed() == model.forArtifact(like: artifact.model).printed() else {
      throw LegalityError(
        description: "\(directory)/artifact.gca: its graph text is not what \(path) declares")
    }
    report.add(.consistent, "graph: the artifact declares what \(RunManifest.coreName) does")
  }

  private mutating func checkSources(core: String, _ inputs: AuditInputs) throws {
    var files: [SourceFile] = []
    for source in manifest[.sources]?.arrayValue ?? [] {
      guard let name = source["path"]?.stringValue else { continue }
      let path = directory + "/" + name
      guard !name.split(separator: "/").contains(".."), !name.hasPrefix("/") else {
        throw broken(.sources, source)
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
    let consts = manifest[.consts] ?? .null
    let overrides = (manifest[.set]?.arrayValue ?? []).compactMap(\.stringValue)
    let preset = manifest[.preset]?.stringValue
    guard let main = files.first else {
      // A plan or core text has no files besides the core text itself, and nothing to set.
      guard consts == .object([:]), overrides.isEmpty, preset == nil else {
        throw broken(.sources)
      }
      return
    }
    let again = directory + "/" + main.path
    let model: Model
    do {
      model = try inputs.elaborate(files, preset, overrides)
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
      throw broken(.consts, consts)
    }
    report.add(
      .consistent, "graph: \(files.count) files and --set compile to \(RunManifest.coreName)")
  }
}
