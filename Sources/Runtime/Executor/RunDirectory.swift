// SPDX-License-Identifier: Apache-2.0
// The files of a run: manifest, log, audit log, checkpoints, artifact, result.

import Formats
import Glibc
import IR

/// A directory that one run owns.
final class RunDirectory {
  let path: String
  private(set) var audit: AuditLog
  private let lines: JSONLines

  /// Creates the directory, or opens it again. An existing run is never overwritten.
  init(_ path: String, resumes: Bool, manifest: RunManifest) throws {
    self.path = path
    let manifestPath = path + "/" + RunManifest.fileName
    let exists = access(manifestPath, F_OK) == 0
    if exists && !resumes {
      throw FormatError(
        .usage, file: path,
        "a run is here already; continue it with --resume or choose another --out")
    }
    if resumes && !exists {
      throw FormatError(.notFound, file: manifestPath, "there is no run to resume here")
    }
    if !exists, access(path, F_OK) == 0, try !Self.isEmpty(path) {
      throw FormatError(
        .usage, file: path, "the directory is not empty and holds no run; choose another --out")
    }
    try Self.create(path)
    if exists {
      try Self.check(manifestPath, against: manifest.members)
    } else {
      // The manifest last: a directory that has one has everything that it names.
      for (name, text) in manifest.texts {
        try Self.create(Self.folder(of: path + "/" + name))
        try AtomicFile.write(path + "/" + name, text)
      }
      try AtomicFile.write(manifestPath, manifest.text)
    }
    lines = try JSONLines(path + "/log.jsonl")
    let auditPath = path + "/audit.jsonl"
    if exists, access(auditPath, F_OK) == 0 {
      audit = try AuditLog(resume: auditPath)
    } else {
      audit = try AuditLog(create: auditPath, about: ["manifest": .string(manifest.hash)])
    }
  }

  var logOffset: Int { lines.offset }

  func log(_ line: [String: JSONValue]) throws(FormatError) { try lines.append(.object(line)) }

  func sync() throws(FormatError) { try lines.sync() }

  /// Forgets what was logged behind a checkpoint; without one, the audit log begins again.
  func cut(log: Int, audit offset: Int?) throws {
    try lines.truncate(toBytes: log)
    if let offset { try audit.truncate(toBytes: offset) }
  }

  /// Writes the result beside everything else.
  func finish(_ result: RunResult) throws(FormatError) {
    try lines.sync()
    try AtomicFile.write(path + "/result.json", result.json.prettyText + "\n")
  }

  /// A resumed run must be the same run: graph, data and seed decide the result.
  private static func check(_ path: String, against manifest: [String: JSONValue]) throws {
    let saved = try JSONValue.parse(try readFile(path), file: path)
    for key in ["graph", "data", "seed", "length", "precision"] where saved[key] != manifest[key] {
      throw FormatError(
        .usage, file: path, field: key,
        "the run was started with \(saved[key]?.text ?? "nothing"), now \(manifest[key]?.text ?? "nothing")"
          + " is given; resume with the same graph, data, seed, length and precision")
    }
  }

  private static func folder(of path: String) -> String {
    String(path[..<path.lastIndex(of: "/")!])
  }

  private static func create(_ path: String) throws(FormatError) {
    var partial = path.hasPrefix("/") ? "/" : ""
    for component in path.split(separator: "/") {
      partial += component + "/"
      if mkdir(partial, 0o777) != 0, errno != EEXIST {
        throw FormatError(.io, file: path, "cannot be created: \(String(cString: strerror(errno)))")
      }
    }
  }

  private static func isEmpty(_ path: String) throws(FormatError) -> Bool {
    guard let directory = opendir(path) else {
      throw FormatError(.io, file: path, "cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count <= 2
  }
}

extension RunResult {
  /// The document of `graphc run --json`.
  public var json: JSONValue {
    let measured: [String: JSONValue] = [
      "schema": "graphc-run/1", "precision": .string(precision.rawValue),
      "train": [
        "steps": .int(steps), "tokens_per_second": .double(tokensPerSecond), "loss": .double(loss),
        "seconds": .double(trainSeconds),
      ],
      "artifact": [
        "bytes": .int(artifactBytes), "code_bytes": .int(codeBytes), "path": .string(artifactPath),
      ],
      "eval": scores.json,
      "live": .array(
        live.map {
          [
            "feature": .string($0.feature), "first_step": $0.firstStep.map(JSONValue.int) ?? .null,
            "last_step": $0.lastStep.map(JSONValue.int) ?? .null,
          ]
        }),
    ]
    return .object(measured.merging(manifest) { measured, _ in measured })
  }
}
