// SPDX-License-Identifier: Apache-2.0
// Checkpoints: folders of safetensors files with a manifest of their hashes, renamed into place.

/// A complete checkpoint on disk whose hashes were verified.
///
/// `FOLDER/step-00000123/` holds `NAME.safetensors` for each state and `manifest.json`. It is
/// written under a temporary name and renamed when everything is on disk, so a crash leaves the
/// older checkpoints as they were.
public struct Checkpoint: Sendable {
  public static let schema = "graphc-checkpoint/1"
  private static let manifestName = "manifest.json"
  private static let prefix = "step-"

  public let path: String
  public let step: Int
  /// What the run stored beside the tensors: counters, log offsets, settings.
  public let metadata: JSONValue
  private let files: [String]

  /// Tensors of one state.
  public func tensors(_ name: String) throws(FormatError) -> [String: TensorBlob] {
    guard files.contains("\(name).safetensors") else {
      throw FormatError(
        .corrupt, file: path, field: "state \(name)",
        "not in this checkpoint, which has \(files.joined(separator: ", "))")
    }
    return try SafeTensors.read("\(path)/\(name).safetensors")
  }

  /// Writes a checkpoint; one of the same step is replaced.
  @discardableResult
  public static func save(
    in folder: String, step: Int, states: [String: [String: TensorBlob]], metadata: JSONValue
  ) throws(FormatError) -> Checkpoint {
    precondition(step >= 0, "a step is not negative")
    try Folder.create(folder)
    let path = "\(folder)/\(name(of: step))"
    let temporary = "\(folder)/.partial-\(name(of: step))"
    try Folder.remove(temporary)
    do {
      try Folder.create(temporary)
      var hashes: [String: JSONValue] = [:]
      for (name, tensors) in states {
        let file = "\(name).safetensors"
        hashes[file] = .string(try SafeTensors.write("\(temporary)/\(file)", tensors))
      }
      var manifest: [String: JSONValue] = [
        "schema": .string(schema), "step": .int(step), "files": .object(hashes),
        "metadata": metadata,
      ]
      manifest["sha256"] = .string(SHA256.hex(JSONValue.object(manifest).text))
      try AtomicFile.write(
        "\(temporary)/\(manifestName)", JSONValue.object(manifest).prettyText + "\n")
      try replace(path, with: temporary, in: folder)
    } catch {
      // The reason of the failure matters more than a leftover, which the next save removes.
      try? Folder.remove(temporary)
      throw error
    }
    return Checkpoint(
      path: path, step: step, metadata: metadata,
      files: states.keys.map { "\($0).safetensors" }.sortedByBytes())
  }

  /// The newest checkpoint whose hashes verify, or nil when there is none at all. Newer ones that
  /// do not verify are named in `warnings`; when no other is left, that is an error.
  public static func latest(
    in folder: String
  ) throws(FormatError) -> (checkpoint: Checkpoint?, warnings: [String]) {
    guard Folder.isFolder(folder) else { return (nil, []) }
    var warnings: [String] = []
    for step in try steps(in: folder).reversed() {
      do {
        return (try open("\(folder)/\(name(of: step))"), warnings)
      } catch {
        warnings.append(error.description)
      }
    }
    guard warnings.isEmpty else {
      throw FormatError(
        .corrupt, file: folder,
        "no checkpoint can be used: \(warnings.joined(separator: "; ")); "
          + "remove the folder to begin again")
    }
    return (nil, [])
  }

  /// Opens one checkpoint and verifies the hash of each file.
  public static func open(_ path: String) throws(FormatError) -> Checkpoint {
    let file = "\(path)/\(manifestName)"
    var manifest =
      try JSONValue.parse(try readFile(file, limit: 1 << 28), file: file).objectValue ?? [:]
    guard manifest["schema"]?.stringValue == schema else {
      throw FormatError(
        .corrupt, file: file, field: "schema",
        "found \(manifest["schema"]?.text ?? "nothing"), expected \(schema)")
    }
    let claimed = manifest.removeValue(forKey: "sha256")?.stringValue
    guard claimed == SHA256.hex(JSONValue.object(manifest).text) else {
      throw FormatError(.corrupt, file: file, field: "sha256", "the manifest was changed")
    }
    guard let step = manifest["step"]?.intValue, name(of: step) == Folder.name(of: path),
      let hashes = manifest["files"]?.objectValue, let metadata = manifest["metadata"]
    else {
      throw FormatError(.corrupt, file: file, "step, files or metadata is missing or wrong")
    }
    for (name, hash) in hashes {
      guard !name.contains("/"), name.hasSuffix(".safetensors") else {
        throw FormatError(.corrupt, file: file, field: "files", "\"\(name)\" is not a file name")
      }
      guard try SHA256.hex(file: "\(path)/\(name)") == hash.stringValue else {
        throw FormatError(
          .corrupt, file: "\(path)/\(name)", "the bytes do not match the hash in \(manifestName)")
      }
    }
    return Checkpoint(
      path: path, step: step, metadata: metadata, files: hashes.keys.sortedByBytes())
  }

  /// Removes all but the newest `keep` checkpoints, and what interrupted saves left behind. Call
  /// it after a save.
  public static func prune(in folder: String, keep: Int = 2) throws(FormatError) {
    precondition(keep >= 1, "at least one checkpoint is kept")
    for name in try Folder.names(in: folder)
    where name.hasPrefix(".partial-") || name.hasPrefix(".old-") {
      try Folder.remove("\(folder)/\(name)")
    }
    for step in try steps(in: folder).dropLast(keep) {
      // Out of sight first, so that an interrupted removal is not taken for a broken checkpoint.
      let hidden = "\(folder)/.old-\(name(of: step))"
      try Folder.rename("\(folder)/\(name(of: step))", to: hidden)
      try Folder.remove(hidden)
    }
  }

  private static func replace(
    _ path: String, with temporary: String, in folder: String
  ) throws(FormatError) {
    guard Folder.exists(path) else { return try Folder.rename(temporary, to: path) }
    let old = "\(folder)/.old-\(Folder.name(of: path))"
    try Folder.remove(old)
    try Folder.rename(path, to: old)
    try Folder.rename(temporary, to: path)
    try Folder.remove(old)
  }

  private static func name(of step: Int) -> String {
    let digits = String(step)
    return prefix + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
  }

  /// Steps with a folder, in rising order.
  private static func steps(in folder: String) throws(FormatError) -> [Int] {
    try Folder.names(in: folder).compactMap { entry in
      guard entry.hasPrefix(prefix), let step = Int(entry.dropFirst(prefix.count)), step >= 0,
        name(of: step) == entry
      else { return nil }
      return step
    }.sorted()
  }
}
