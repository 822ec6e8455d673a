// SPDX-License-Identifier: Apache-2.0
// The directory that an evaluation of an artifact leaves: manifest, artifact, audit log, result.

import Formats
import IR

/// Evidence of one evaluation, complete in itself. It is never written over.
public final class EvaluationDirectory {
  public let path: String
  public let audit: AuditLog

  /// Refuses a place that holds anything, before anything is done.
  public static func check(_ path: String) throws(FormatError) {
    guard !path.isEmpty else {
      throw FormatError(.usage, "an empty path names no directory; choose another --out")
    }
    guard Folder.exists(path) else { return }
    guard Folder.isFolder(path), try Folder.names(in: path).isEmpty else {
      throw FormatError(
        .usage, file: path,
        "something is here already, it is never written over; choose another "
          + "--out")
    }
  }

  /// Copies the artifact, which declares `codeBytes`, and begins the log.
  public init(_ path: String, artifact: String, codeBytes: Int, manifest: RunManifest) throws {
    try Self.check(path)
    self.path = path
    try Folder.create(path)
    let bytes = try readFile(artifact)
    try AtomicFile.write(path + "/" + RunManifest.artifactName, bytes)
    try manifest.write(in: path)
    audit = try AuditLog(
      create: path + "/audit.jsonl", about: manifest.genesis.about)
    try audit.append(
      .artifact(
        ArtifactEvent(bytes: bytes.count, codeBytes: codeBytes, sha256: SHA256.hex(bytes))))
  }

  /// Closes the log with the result and writes it.
  public func finish(_ report: Report) throws {
    try audit.finish(report.json, in: path)
  }
}
