// SPDX-License-Identifier: Apache-2.0
// The folder of a study, and how its points come to their results.

import Formats
import Foundation
import IR
import Runtime

/// A folder that holds a study: its tables, and a run directory for each point.
struct StudyDirectory {
  let path: String
  private let study: JSONValue

  private static let document = "study.json"

  /// Creates the folder, or opens that of the same study.
  init(_ path: String, resumes: Bool, study: JSONValue) throws {
    (self.path, self.study) = (path, study)
    let document = path + "/" + Self.document
    if resumes {
      guard Folder.exists(document) else {
        throw FormatError(.notFound, file: document, "there is no study to resume here")
      }
      let saved = try JSONValue.parse(try readFile(document, limit: 1 << 30), file: document)
      for (key, value) in study.objectValue ?? [:] where saved["study"]?[key] != value {
        throw FormatError(
          .usage, file: document, field: key,
          "the study was begun with \(saved["study"]?[key]?.text ?? "nothing"), now \(value.text) is given; "
            + "choose another --out")
      }
    } else if Folder.exists(path), try Folder.names(in: path).first != nil {
      throw FormatError(
        .usage, file: path,
        Folder.exists(document)
          ? "a study is here already; go on with --resume or choose another --out"
          : "the directory is not empty; choose another --out")
    }
    try Folder.create(path)
    if !resumes {
      try AtomicFile.write(document, JSONValue.object(["study": study]).prettyText + "\n")
    }
  }

  func folder(of point: StudyPoint) -> String { path + "/points/" + point.name }
  /// The run that points with a seed share.
  func shared(seed: UInt64) -> String { path + "/shared/seed=\(seed)" }

  func json(_ table: StudyTable) -> JSONValue { table.json(study) }

  /// Writes the tables and the picture.
  func write(_ table: StudyTable, title: String) throws {
    try AtomicFile.write(path + "/" + Self.document, json(table).prettyText + "\n")
    try AtomicFile.write(path + "/study.md", table.markdown(title: title))
    try AtomicFile.write(path + "/study.csv", table.csv)
    if let plot = StudyPlot(table) { try AtomicFile.write(path + "/study.svg", plot.svg) }
  }
}

/// Runs points, each in a process of its own.
struct StudyRunner {
  let directory: StudyDirectory
  let stage: StudyStage
  /// Of every run, without its place, seed and consts.
  let runArguments: [String]
  /// Arguments for consts.
  let declares: ([String]) -> [String]

  /// What was measured before, or is now.
  func outcome(of point: StudyPoint) throws -> StudyOutcome {
    let folder = directory.folder(of: point)
    var outcome = StudyOutcome(point: point)
    if let metrics = try metrics(in: folder) {
      (outcome.state, outcome.metrics) = (.done, metrics)
      return outcome
    }
    try Folder.create(directory.path + "/points")
    do {
      if stage != .train { try shareTraining(with: folder, seed: point.seed) }
      try run(in: folder, seed: point.seed, overrides: point.setting.overrides)
    } catch let failure as PointFailure {
      outcome.reason = failure.reason
      outcome.state = Interruption.signal != 0 ? .interrupted : .failed
      if outcome.state == .failed { printError(failure.reason) }
      return outcome
    }
    outcome.metrics = try metrics(in: folder) ?? [:]
    outcome.state = .done
    // The weights of a shared training are kept once.
    if stage != .train { try? FileManager.default.removeItem(atPath: folder + "/checkpoints") }
    return outcome
  }

  private struct PointFailure: Error {
    let reason: String
  }

  /// Nil where a run has no result yet.
  private func metrics(in folder: String) throws -> [String: Double]? {
    let path = folder + "/result.json"
    guard Folder.exists(path) else { return nil }
    return StudyTable.metrics(of: try JSONValue.parse(try readFile(path), file: path))
  }

  private func run(in folder: String, seed: UInt64, overrides: [String]) throws {
    var arguments = runArguments + declares(overrides) + ["--seed", "\(seed)", "--out", folder]
    if Folder.exists(folder + "/" + RunManifest.fileName) { arguments.append("--resume") }
    let errors = directory.path + "/errors.txt"
    let result = try runChild(arguments, errors: errors)
    // One that is over its budget was measured all the same.
    if result.code == 0 || Folder.exists(folder + "/result.json") { return try remove(errors) }
    let text = String(decoding: try readFile(errors), as: UTF8.self)
    if Folder.exists(folder) { try AtomicFile.write(folder + "/errors.txt", text) }
    let lines = text.split(whereSeparator: \.isNewline).map(String.init)
    throw PointFailure(
      reason: lines.last { $0.contains("error:") } ?? lines.last ?? "exit code \(result.code)")
  }

  private func remove(_ path: String) throws {
    if Folder.exists(path) { try Folder.remove(path) }
  }

  /// Lets a point begin where the training of its seed ended, which is done first.
  private func shareTraining(with folder: String, seed: UInt64) throws {
    let shared = directory.shared(seed: seed)
    if try metrics(in: shared) == nil {
      try Folder.create(directory.path + "/shared")
      printError("training for seed \(seed)")
      try run(in: shared, seed: seed, overrides: [])
    }
    guard !Folder.exists(folder + "/" + RunManifest.fileName) else { return }
    try remove(folder)
    try link(shared, folder)
  }

  /// The same files under other names; texts that a run adds to are copied, and what it makes again left out.
  private func link(_ from: String, _ to: String) throws {
    try Folder.create(to)
    for name in try Folder.names(in: from)
    where ![RunManifest.artifactName, "result.json"].contains(name) {
      let (old, new) = (from + "/" + name, to + "/" + name)
      if Folder.isFolder(old) {
        try link(old, new)
      } else if from.contains("/checkpoints") {
        try FileManager.default.linkItem(atPath: old, toPath: new)
      } else {
        try FileManager.default.copyItem(atPath: old, toPath: new)
      }
    }
  }
}
