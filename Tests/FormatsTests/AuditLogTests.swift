// SPDX-License-Identifier: Apache-2.0
// The audit log: lines that are linked by their hashes.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct AuditLogTests {
  static func log(_ folder: TemporaryFolder) throws -> (path: String, offsets: [Int]) {
    let log = try AuditLog(create: folder.file("audit.jsonl"), about: ["graph": "abc"])
    var offsets = [log.offset]
    for chunk in 0..<4 {
      try log.append(event: ["event": "score", "chunk": .int(chunk), "nats": 12.25])
      offsets.append(log.offset)
    }
    return (log.path, offsets)
  }

  @Test func verifiesWhatItWrote() throws {
    let folder = try TemporaryFolder()
    let events = try AuditLog.verify(try Self.log(folder).path)
    #expect(events.count == 5)
    #expect(events[0]["schema"] == "graphc-audit/2")
    #expect(events[0]["graph"] == "abc")
    #expect(events[2] == ["event": "score", "chunk": 1, "nats": 12.25])
  }

  @Test func noticesEveryFlip() throws {
    let folder = try TemporaryFolder()
    let bytes = try readFile(try Self.log(folder).path)
    #expect(try acceptedFlips(bytes, every: 3) { try AuditLog.verify($0) } == 0)
  }

  @Test func namesTheLineThatWasRemovedOrMoved() throws {
    let folder = try TemporaryFolder()
    let (path, _) = try Self.log(folder)
    let lines = try readFile(path).split(separator: 0x0a).map { Array($0) + [0x0a] }
    let removed = try folder.write("removed", Array((lines[..<2] + lines[3...]).joined()))
    #expect(formatError(.corrupt) { try AuditLog.verify(removed) }?.field == "line 3")
    let moved = try folder.write("moved", (lines[0] + lines[2] + lines[1]))
    #expect(formatError(.corrupt) { try AuditLog.verify(moved) }?.field == "line 2")
    let headless = try folder.write("headless", lines[1])
    #expect(formatError(.corrupt) { try AuditLog.verify(headless) }?.field == "line 1")
    let cut = try folder.write("cut", Array(lines.joined().dropLast(3)))
    #expect(formatError(.corrupt) { try AuditLog.verify(cut) }?.field == "last line")
    formatError(.corrupt) { try AuditLog.verify(try folder.write("empty", [])) }
  }

  @Test func resumesAtARecordedOffset() throws {
    let folder = try TemporaryFolder()
    let (path, offsets) = try Self.log(folder)
    let first = try AuditLog(resume: path, atBytes: offsets[2])
    #expect(first.offset == offsets[2])
    try first.append(event: ["event": "again"])
    #expect(try AuditLog.verify(path).count == 4)
    let earlier = try AuditLog(resume: path, atBytes: offsets[1])
    try earlier.append(event: ["event": "third"])
    #expect(try AuditLog.verify(path).last == ["event": "third"])
    formatError(.corrupt) { try AuditLog(resume: path, atBytes: offsets[1] + 1) }
    formatError(.corrupt) { try AuditLog(resume: path, atBytes: 1 << 40) }
    formatError(.usage) { try AuditLog(create: path) }
    formatError(.notFound) { try AuditLog(resume: folder.file("none")) }
    formatError(.usage) { try first.append(event: ["hash": "x"]) }
  }

  @Test func dropsACutLastLineWhenResumedBeforeIt() throws {
    let folder = try TemporaryFolder()
    let (path, offsets) = try Self.log(folder)
    _ = try folder.write("audit.jsonl", Array(try readFile(path).dropLast(5)))
    formatError(.corrupt) { try AuditLog(resume: path) }
    #expect(try AuditLog(resume: path, atBytes: offsets[3]).offset == offsets[3])
    #expect(try AuditLog.verify(path).count == 4)
  }
}
