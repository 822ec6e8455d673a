// SPDX-License-Identifier: Apache-2.0
// graphc audit on logs written by hand: legal ones, edited ones, and honest logs of illegal protocols.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct AuditCommandTests {
  private typealias Event = [String: JSONValue]

  /// Two chunks of 64 targets, scored and then learned from.
  private static let legal: [Event] = [
    evaluation("quantized", weights: "w0", nats: 200, tokens: 96, bytes: 250),
    evaluation("sliding", stride: 16, weights: "w0", nats: 210, tokens: 100, bytes: 260),
    begin("score_first"),
    score(chunk: 0, first: 0, end: 64, weights: "w0", nats: 120.5),
    update(chunk: 0, first: 0, end: 64, before: "w0", after: "w1"),
    score(chunk: 1, first: 64, end: 100, weights: "w1", nats: 60.25),
    ["event": "ttt end", "tokens": 100, "bytes": 260, "nats": 180.75, "legal": true],
  ]

  private static func begin(_ mode: String) -> Event {
    [
      "event": "ttt begin", "protocol": .string(mode), "chunk": 64, "window": 32, "stride": 16,
      "epochs": 1, "targets": 100, "weights": hash("w0"),
    ]
  }

  /// A hash of weights that are called so.
  private static func hash(_ weights: String) -> JSONValue { .string(SHA256.hex(weights)) }

  private static func evaluation(
    _ name: String, stride: JSONValue = .null, weights: String, nats: Double, tokens: Int,
    bytes: Int
  ) -> Event {
    [
      "event": "evaluation", "name": .string(name), "window": 32, "stride": stride,
      "targets": 100, "tokens": .int(tokens), "bytes": .int(bytes), "nats": .double(nats),
      "blocks": [.double(nats)], "on": "quantized", "weights": hash(weights),
    ]
  }

  private static func score(
    chunk: Int, first: Int, end: Int, weights: String, nats: Double
  ) -> Event {
    [
      "event": "score", "chunk": .int(chunk), "first": .int(first), "end": .int(end),
      "nats": .double(nats), "weights": hash(weights),
    ]
  }

  private static func update(
    chunk: Int, first: Int, end: Int, before: String, after: String
  ) -> Event {
    [
      "event": "update", "chunk": .int(chunk), "first": .int(first), "end": .int(end), "epochs": 1,
      "rate": 1.0, "before": hash(before), "after": hash(after),
    ]
  }

  /// A run directory with these events.
  private func directory(_ events: [Event]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let some = Self.hash("some")
    let manifest: JSONValue = [
      "schema": "graphc-manifest/1", "kind": "run", "graphc": "0", "model": "small", "seed": "1",
      "graph": some, "validation": some, "data": some, "tokenizer": some, "ttt": true,
      "validation_tokens": nil, "machine": "m", "isa": "portable", "gemm": "built-in",
      "precision": "f32", "length": ["steps": 1, "seconds": nil], "consts": [:], "set": [],
      "sources": [],
    ]
    try folder.write("manifest.json", manifest.prettyText + "\n")
    let log = try AuditLog(
      create: folder.file("audit.jsonl"),
      about: ["manifest": .string(SHA256.hex(manifest.text)), "certificate": nil])
    try log.append(event: ["event": "artifact", "bytes": 1, "code_bytes": 0, "sha256": some])
    for event in events { try log.append(event: event) }
    return folder
  }

  /// The audit of a run directory with these events, which is gone afterwards.
  private func audit(_ events: [Event], json: Bool = false) throws -> Outcome {
    let folder = try directory(events)
    return try withExtendedLifetime(folder) {
      json ? try graphc("audit", folder.path, "--json") : try graphc("audit", folder.path)
    }
  }

  /// The legal events with one of them changed.
  private func changed(_ index: Int, _ members: Event) -> [Event] {
    var events = Self.legal
    events[index].merge(members) { _, new in new }
    return events
  }

  @Test func acceptsALegalLog() throws {
    let folder = try directory(Self.legal)
    let outcome = try graphc("audit", folder.path)
    // Legal, but what it speaks of is not there.
    #expect(outcome.code == 1, "\(outcome.errors)")
    #expect(outcome.output.contains("--  artifact"))
    #expect(outcome.output.contains("--  result"))
    let json = try JSONValue.parse(Array(try graphc("audit", folder.path, "--json").output.utf8))
    #expect(json["ok"] == false)
    #expect(json["verdict"] == "incomplete")
    #expect(json["established"] == "consistent")
  }

  @Test func namesTheLineThatBreaksARule() throws {
    // The first event is line 3, behind the genesis record and the artifact.
    let cases: [(events: [Event], line: Int, words: String)] = [
      (changed(1, ["weights": Self.hash("w9")]), 4, "other weights"),
      (
        changed(2, ["weights": Self.hash("w9")]), 6,
        "not those that test-time training began with"
      ),
      (changed(3, ["first": 1]), 6, "targets 1 ..< 64"),
      (changed(4, ["before": Self.hash("w9")]), 7, "weights before the update"),
      (changed(4, ["end": 100]), 7, "not those of chunk 0"),
      (changed(4, ["epochs": 0]), 7, "epochs is 0"),
      (changed(4, ["epochs": 2]), 7, "an update of 2 epochs"),
      (changed(5, ["weights": Self.hash("w0")]), 8, "not those that the last update left"),
      (changed(5, ["first": 0]), 8, "where 64 ..< 100 of 100 are next"),
      (changed(5, ["end": 99]), 8, "targets 64 ..< 99"),
      (changed(6, ["nats": 170.5]), 9, "170.5 are claimed"),
      (changed(6, ["legal": false]), 9, "legal is false"),
      (changed(0, ["nats": -200.0]), 3, "nats is -200.0"),
      (changed(0, ["nats": 0.0, "blocks": [0.0]]), 3, "no text is certain"),
      (changed(0, ["nats": "nan"]), 3, "not a finite number"),
      (changed(0, ["blocks": [100.0]]), 3, "the blocks sum to 100.0"),
      (changed(0, ["blocks": []]), 3, "0 blocks"),
      (changed(0, ["tokens": 100]), 3, "100 tokens are claimed"),
      (changed(0, ["tokens": 0, "targets": 0]), 3, "targets is 0"),
      (changed(0, ["bytes": 0]), 3, "bytes is 0"),
      (changed(0, ["bytes": 261]), 4, "96 tokens have more bytes than 100"),
      (changed(0, ["window": 1_000_000]), 3, "windows of 1000000 score 0"),
      (changed(1, ["stride": -3]), 4, "stride is -3"),
      (changed(1, ["stride": 33]), 4, "leaves out tokens"),
      (changed(1, ["targets": 101, "tokens": 101]), 4, "101 targets"),
      (changed(1, ["weights": "w0"]), 4, "not a SHA-256"),
      (changed(1, ["note": "mine"]), 4, "note is no member"),
      (changed(2, ["chunk": .int(1 << 62)]), 5, "chunk is 4611686018427387904"),
      (changed(2, ["chunk": .int(1 << 53)]), 6, "targets 0 ..< 64"),
      (changed(2, ["protocol": "score_last"]), 5, "not score_first or adapt_first"),
      (changed(2, ["protocol": "adapt_first"]), 6, "before the adaptation"),
      (changed(4, ["rate": 1.5]), 7, "rate is 1.5"),
      (changed(6, ["event": "end"]), 9, "unknown event"),
      (Array(Self.legal.dropLast()), 8, "ends inside test-time training"),
    ]
    for (events, line, words) in cases {
      let outcome = try audit(events)
      #expect(outcome.code == 5, "\(words)")
      #expect(outcome.errors.contains("line \(line):"), "\(outcome.errors)")
      #expect(outcome.errors.contains(words), "\(outcome.errors)")
    }
  }

  @Test func refusesAnUpdateBeforeItsScore() throws {
    var events = Self.legal
    events.swapAt(3, 4)
    let outcome = try audit(events, json: true)
    #expect(outcome.code == 5)
    let document = try JSONValue.parse(Array(outcome.output.utf8))
    #expect(document["ok"] == false)
    #expect(document["violation"]?.stringValue?.contains("line 6") == true)
  }

  @Test func findsEditedLogsAndManifests() throws {
    let folder = try directory(Self.legal)
    let log = try String(contentsOfFile: folder.file("audit.jsonl"), encoding: .utf8)
    try folder.write("audit.jsonl", log.replacingOccurrences(of: "120.5", with: "110.5"))
    #expect(try graphc("audit", folder.path).code == 65)
    let lines = log.split(separator: "\n")
    try folder.write("audit.jsonl", (lines[..<3] + lines[4...]).joined(separator: "\n") + "\n")
    #expect(try graphc("audit", folder.path).code == 65)
    try folder.write("audit.jsonl", log)
    #expect(try graphc("audit", folder.path).code == 1)
    try folder.write("manifest.json", "{\"model\":\"other\"}")
    let outcome = try graphc("audit", folder.path)
    #expect(outcome.code == 5)
    #expect(outcome.errors.contains("line 1:"))
  }

  @Test func missingDirectoriesAreNotFound() throws {
    #expect(try graphc("audit", "/nonexistent/run").code == 66)
  }
}
