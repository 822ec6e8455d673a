// SPDX-License-Identifier: Apache-2.0
// Changes the evidence of a run as somebody would who knows how it is made.

import Formats
import Foundation
import TestSupport
import Testing

/// A copy of a run directory whose files are changed. `close` makes every hash true again.
struct Forgery {
  typealias Members = [String: JSONValue]

  let folder: TemporaryFolder
  /// The log, genesis record first.
  var events: [Members]
  private var resultChanges: [(inout Members) -> Void] = []

  init(of run: String) throws {
    folder = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: run, toPath: folder.file("run"))
    events = try AuditLog.verify(run + "/audit.jsonl")
  }

  var path: String { folder.file("run") }

  func file(_ name: String) -> String { path + "/" + name }

  /// The audit of the directory, which must be there until it ends.
  func audit(data: String? = nil) throws -> Outcome {
    try withExtendedLifetime(folder) {
      if let data { return try graphc("audit", path, "--data", data) }
      return try graphc("audit", path)
    }
  }

  // MARK: The log

  /// Changes a member wherever it stands behind the genesis record, and is not null.
  mutating func each(_ key: String, _ change: (JSONValue) -> JSONValue) {
    for index in events.indices.dropFirst() {
      if let value = events[index][key], value != .null { events[index][key] = change(value) }
    }
  }

  mutating func each(_ key: String, is value: JSONValue) { each(key) { _ in value } }

  /// Changes the first event of a kind, or the last.
  mutating func change(_ kind: String, last: Bool = false, _ change: (inout Members) -> Void) {
    let isKind = { (event: Members) in event["event"]?.stringValue == kind }
    guard let index = last ? events.lastIndex(where: isKind) : events.firstIndex(where: isKind)
    else { return }
    change(&events[index])
  }

  // MARK: Files

  func text(_ name: String) throws -> String {
    try String(contentsOfFile: file(name), encoding: .utf8)
  }

  func text(_ name: String, _ change: (String) -> String) throws {
    try folder.write("run/" + name, change(try text(name)))
  }

  func write(_ name: String, _ members: Members) throws {
    try folder.write("run/" + name, JSONValue.object(members).text)
  }

  /// Changes the members of a JSON document.
  func edit(_ name: String, _ change: (inout Members) -> Void) throws {
    var members = try #require(try JSONValue.parse(try text(name)).objectValue)
    change(&members)
    try write(name, members)
  }

  /// Changes result.json when the forgery is closed.
  mutating func result(_ change: @escaping (inout Members) -> Void) { resultChanges.append(change) }

  mutating func result(_ key: String, _ change: @escaping (inout Members) -> Void) {
    result { members in
      var inner = members[key]?.objectValue ?? [:]
      change(&inner)
      members[key] = .object(inner)
    }
  }

  /// result.json says what the log's sums make.
  mutating func scoresFollow() {
    let events = events
    func bits(_ event: Members) -> JSONValue {
      .double(event["nats"]!.doubleValue! / log(2.0) / Double(event["bytes"]!.intValue!))
    }
    result("eval") { eval in
      let evaluations = events.filter { $0["event"] == "evaluation" }
      var scores: [JSONValue] = []
      for (score, event) in zip(eval["scores"]!.arrayValue!, evaluations) {
        var score = score.objectValue!
        (score["bpb"], score["bytes"]) = (bits(event), event["bytes"])
        scores.append(.object(score))
        let key = event["stride"] == .null ? "bpb_quantized" : "bpb_sliding"
        (eval[key], eval["bytes"]) = (bits(event), event["bytes"])
      }
      eval["scores"] = .array(scores)
      if let end = events.first(where: { $0["event"] == "ttt end" }) { eval["bpb_ttt"] = bits(end) }
    }
  }

  /// Changes the graph text of the artifact.
  func artifactText(_ change: (String) -> String) throws {
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file("artifact.gca"))))
    let graph = try ArtifactContainer.read(file("artifact.gca")).graph
    let text = Array(change(String(decoding: graph, as: UTF8.self)).utf8)
    // Magic and version, size, coder and stored size of the text, the text as it is, groups, hash.
    func number(at offset: Int) -> Int {
      (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
    let size = (0..<4).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    let groups = bytes[(21 + number(at: 17))..<(bytes.count - SHA256.byteCount)]
    let forged = Array(bytes[..<12]) + size + [255] + size + text + groups
    try Data(forged + SHA256.digest(forged)).write(to: URL(fileURLWithPath: file("artifact.gca")))
  }

  // MARK: Closing

  private static func removing(_ keys: Set<String>, from value: JSONValue) -> JSONValue {
    switch value {
    case .array(let values): .array(values.map { removing(keys, from: $0) })
    case .object(let members):
      .object(members.filter { !keys.contains($0.key) }.mapValues { removing(keys, from: $0) })
    default: value
    }
  }

  /// Makes the hashes of manifest, artifact, result and log true again.
  func close() throws {
    var events = events
    if !resultChanges.isEmpty {
      try edit("result.json") { members in
        for change in resultChanges { change(&members) }
      }
    }
    func hash(_ name: String, without members: Set<String> = []) throws -> JSONValue {
      let document = try JSONValue.parse(try text(name))
      return .string(SHA256.hex(Self.removing(members, from: document).text))
    }
    events[0]["manifest"] = try hash("manifest.json")
    let sealed = try Data(contentsOf: URL(fileURLWithPath: file("artifact.gca")))
    for index in events.indices {
      if events[index]["event"] == "artifact" {
        events[index]["sha256"] = .string(SHA256.hex(Array(sealed)))
        events[index]["bytes"] = .int(sealed.count)
      }
      if events[index]["event"] == "result" {
        events[index]["sha256"] = try hash(
          "result.json", without: ["seconds", "tokens_per_second", "path"])
      }
    }
    try FileManager.default.removeItem(atPath: file("audit.jsonl"))
    var about = events[0]
    (about["event"], about["schema"]) = (nil, nil)
    let log = try AuditLog(create: file("audit.jsonl"), about: about)
    for event in events.dropFirst() { try log.append(event: event) }
  }
}
