// SPDX-License-Identifier: Apache-2.0
// Whether a run may go on under another manifest, and what differs where it may not.

import Formats
import IR

extension RunManifest {
  /// Throws unless training goes on as it began. What training does not read may change, and it may
  /// take longer.
  func checkResuming(_ saved: RunManifest, in directory: String) throws(FormatError) {
    func refuse(_ field: String, _ message: String) -> FormatError {
      FormatError(
        .usage, file: directory + "/" + Self.fileName, field: field,
        message + "; resume with what the run began with, or choose another --out")
    }
    for key: ManifestField in [.data, .tokenizer, .seed, .precision]
    where saved.members[key] != members[key] {
      throw refuse(
        key.rawValue,
        "the run was started with \(text(saved, key)), now \(text(self, key)) is given")
    }
    // Manifests of older versions have no hash of what training reads.
    let key: ManifestField = saved.members[.training] == nil ? .graph : .training
    if saved.members[key] != members[key] {
      throw refuse("graph", differences(from: saved).joined(separator: "\n  "))
    }
    let (old, new) = (
      TrainingLength(saved.members[.length]), TrainingLength(members[.length])
    )
    guard new.isAtLeast(old) else {
      throw refuse("length", "the run was started for \(old), \(new) would be shorter")
    }
  }

  /// Takes over the history of a run that is resumed: under which length and on which machine its
  /// first steps were made, where that changed.
  mutating func note(_ saved: RunManifest, resumedAfter step: Int, _ warnings: inout [String]) {
    var history = saved.members[.resumed]?.arrayValue ?? []
    let keys: [ManifestField] = [.length, .isa, .gemm, .machine]
    if step > 0, keys.contains(where: { saved.members[$0] != members[$0] }) {
      var entry: [String: JSONValue] = ["after_step": .int(step)]
      for key in keys { entry[key] = saved.members[key] }
      history.append(.object(entry))
      let length = TrainingLength(saved.members[.length])
      if length != TrainingLength(members[.length]) {
        warnings.append(
          "the first \(step) steps followed the schedule of \(length); a run that is this long from "
            + "the start has other weights")
      }
    }
    if !history.isEmpty { members[.resumed] = .array(history) }
  }

  private func text(_ manifest: RunManifest, _ key: ManifestField) -> String {
    manifest.members[key]?.text ?? "nothing"
  }

  // MARK: Differences

  private static let mostLines = 12

  /// What differs, a line each: consts by name, then lines of the files.
  private func differences(from saved: RunManifest) -> [String] {
    var lines = ["training would go on with another graph"]
    let old = saved.members[.consts]?.objectValue ?? [:]
    let new = members[.consts]?.objectValue ?? [:]
    for name in Set(old.keys).union(new.keys).sorted() where old[name] != new[name] {
      let (before, after) = (old[name]?.stringValue, new[name]?.stringValue)
      lines.append("const \(name) was \(before ?? "not declared"), is \(after ?? "not declared")")
    }
    var names = Set(texts.keys).union(saved.texts.keys)
      .subtracting([Self.coreName, Self.certificateName])
    if names.allSatisfy({ texts[$0] == saved.texts[$0] }), lines.count == 1 {
      names = [Self.coreName]
    }
    for name in names.sorted() {
      lines += Self.changedLines(from: saved.texts[name] ?? "", to: texts[name] ?? "", of: name)
    }
    guard lines.count > Self.mostLines else { return lines }
    return lines.prefix(Self.mostLines) + ["and \(lines.count - Self.mostLines) more"]
  }

  /// Lines that are not in both texts, with their numbers in the text that they are in.
  private static func changedLines(from old: String, to new: String, of name: String) -> [String] {
    let file = name.hasPrefix(graphFolder + "/") ? String(name.dropFirst(6)) : name
    func lines(_ text: String) -> [Substring] {
      text.split(separator: "\n", omittingEmptySubsequences: false)
    }
    let changes = lines(new).difference(from: lines(old)).map { change in
      switch change {
      case .remove(let offset, let line, _): (offset, "was", line)
      case .insert(let offset, let line, _): (offset, "is", line)
      }
    }
    return changes.sorted { ($0.0, $1.1) < ($1.0, $0.1) }.map { offset, when, line in
      "\(file):\(offset + 1) \(when): \(line)"
    }
  }
}

extension TrainingLength: CustomStringConvertible {
  /// `40 steps`, `120 s`, or several of them.
  public var description: String {
    let parts = [
      steps.map { $0 == 1 ? "1 step" : "\($0) steps" }, seconds.map { "\($0) s" },
      limit.map { "\($0) s with validations and checkpoints" },
    ]
    let known = parts.compactMap { $0 }
    return known.isEmpty ? "no limit" : known.joined(separator: " or ")
  }
}
