// SPDX-License-Identifier: Apache-2.0
// The files of a run: manifest, log, audit log, checkpoints, artifact, result.

import Formats
import IR

/// A directory that one run owns, and one process at a time.
final class RunDirectory {
  let path: String
  let audit: AuditLog
  /// Where a resumed run goes on; nil: at the beginning.
  let checkpoint: Checkpoint?
  /// What a resumed run should know: damaged checkpoints, a shorter log, an earlier length.
  let warnings: [String]
  private let lines: JSONLines
  private let lock: FolderLock
  private let identity: (device: UInt64, node: UInt64)?

  static func checkpoints(in path: String) -> String { path + "/checkpoints" }

  /// Refuses a directory that a run cannot begin or go on in. Changes nothing, so that a command can
  /// ask before it does anything.
  static func check(_ path: String, resumes: Bool) throws(FormatError) {
    guard !path.isEmpty else {
      throw FormatError(.usage, "an empty path names no directory; choose another --out")
    }
    let manifest = path + "/" + RunManifest.fileName
    if Folder.exists(manifest) {
      guard resumes else {
        throw FormatError(
          .usage, file: path,
          "a run is here already; continue it with --resume or choose another --out")
      }
      return
    }
    guard Folder.exists(path) else {
      guard !resumes else {
        throw FormatError(.notFound, file: manifest, "there is no run to resume here")
      }
      return
    }
    guard Folder.isFolder(path) else {
      throw FormatError(.usage, file: path, "this is no directory; choose another --out")
    }
    if let other = try Folder.names(in: path).first(where: { !isBeginning($0) }) {
      throw FormatError(
        .usage, file: path,
        "the directory holds \(other) and no run; choose another --out")
    }
  }

  /// Names of what a run writes before its manifest. One that was stopped there never began.
  private static func isBeginning(_ name: String) -> Bool {
    [
      FolderLock.fileName, RunManifest.coreName, RunManifest.graphFolder,
      RunManifest.certificateName,
    ].contains(name)
      || AtomicFile.isTemporary(name)
  }

  /// Creates the directory, or opens it again. An existing run is never overwritten.
  init(_ path: String, resumes: Bool, manifest: RunManifest) throws {
    try Self.check(path, resumes: resumes)
    self.path = path
    try Folder.create(path)
    lock = try FolderLock(path)
    // Another process may have begun, and ended, since the first look.
    try Self.check(path, resumes: resumes)
    identity = Folder.identity(of: path)
    for name in try Folder.names(in: path) where AtomicFile.isTemporary(name) {
      try Folder.remove(path + "/" + name)
    }
    var manifest = manifest
    var warnings: [String] = []
    if let saved = try RunManifest.read(in: path) {
      try manifest.checkResuming(saved, in: path)
      (checkpoint, warnings) = try Checkpoint.latest(in: Self.checkpoints(in: path))
      manifest.note(saved, resumedAfter: checkpoint?.step ?? 0, &warnings)
      if manifest.members != saved.members || manifest.texts != saved.texts {
        try manifest.write(in: path)
      }
      // It was the result of what is done again now.
      try Folder.remove(path + "/" + ResultEvent.fileName)
    } else {
      checkpoint = nil
      try manifest.write(in: path)
    }
    let offsets = try checkpoint.map { try Self.offsets(of: $0) }
    lines = try JSONLines(path + "/log.jsonl")
    if let offsets, lines.offset < offsets.log {
      warnings.append("\(lines.path) is shorter than it was; steps are missing in it")
    }
    try lines.truncate(toBytes: min(offsets?.log ?? 0, lines.offset))
    audit = try Self.audit(path + "/audit.jsonl", upTo: offsets?.audit, manifest)
    self.warnings = warnings
  }

  /// Offsets of both logs when the checkpoint was made.
  private static func offsets(of checkpoint: Checkpoint) throws(FormatError) -> (
    log: Int, audit: Int
  ) {
    guard let log = checkpoint.metadata["log"]?.intValue,
      let audit = checkpoint.metadata["audit"]?.intValue, log >= 0, audit >= 0
    else {
      throw FormatError(.corrupt, file: checkpoint.path, field: "log or audit", "missing")
    }
    return (log, audit)
  }

  /// The audit log as it was at a checkpoint. It begins again where there is none, and where it
  /// began with another manifest: nothing is scored before the last checkpoint.
  private static func audit(
    _ path: String, upTo offset: Int?, _ manifest: RunManifest
  ) throws -> AuditLog {
    if let offset, Folder.exists(path) {
      let log = try AuditLog(resume: path, atBytes: offset)
      let genesis = try AuditLog.verify(path).first
      if genesis?[AuditGenesis.manifestKey]?.stringValue == manifest.hash { return log }
    }
    try Folder.remove(path)
    return try AuditLog(create: path, about: manifest.genesis.about)
  }

  var logOffset: Int { lines.offset }

  func log(_ line: [String: JSONValue]) throws(FormatError) { try lines.append(.object(line)) }

  /// Forces the log to disk and sees to it that the directory is still there.
  func sync() throws(FormatError) {
    let now = Folder.identity(of: path)
    guard let now, let identity, now == identity else {
      throw FormatError(
        .io, file: path, "the run directory was removed or replaced while the run went on")
    }
    try lines.sync()
  }

  /// Writes the result beside everything else.
  func finish(_ report: Report) throws(FormatError) {
    try sync()
    try audit.finish(report.json, in: path)
  }
}
