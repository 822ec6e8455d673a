// SPDX-License-Identifier: Apache-2.0
// What a run writes: atomic files, checkpoints, the audit log, JSON lines.

import Formats
import Foundation
import Testing

@Suite struct AtomicFileTests {
  @Test func replacesAFileAndLeavesNothingElse() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder.file("x"), "old")
    try AtomicFile.write(folder.file("x"), "new")
    #expect(try readFile(folder.file("x")) == Array("new".utf8))
    #expect(folder.names == ["x"])
  }

  @Test func keepsTheOldFileUntilCommitted() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder.file("x"), "old")
    do {
      let file = try AtomicFile(folder.file("x"))
      try file.write([1, 2, 3])
      #expect(try readFile(folder.file("x")) == Array("old".utf8))
    }
    #expect(folder.names == ["x"])
    #expect(try readFile(folder.file("x")) == Array("old".utf8))
  }

  @Test func saysWhyItCannotWrite() {
    let missing = formatError(.notFound) { try AtomicFile.write("/nonexistent/x", "a") }
    #expect(missing?.description.contains("No such file") == true)
    let folder = TemporaryFolder()
    try? FileManager.default.createDirectory(
      atPath: folder.file("taken/inside"), withIntermediateDirectories: true)
    let taken = formatError(.io) { try AtomicFile.write(folder.file("taken"), "a") }
    #expect(taken?.exitCode == 74)
    #expect(folder.names == ["taken"])
  }

  @Test func saysThatTheDiskIsFull() throws {
    let log = try JSONLines("/dev/full")
    let error = formatError(.io) { try log.append(["a": 1]) }
    #expect(error?.description.contains("disk full") == true)
  }

  @Test func checksSizesWhenReading() throws {
    let folder = TemporaryFolder()
    let path = try folder.write("x", [1, 2, 3])
    #expect(try readFile(path) == [1, 2, 3])
    formatError(.corrupt) { try readFile(path, limit: 2) }
    #expect(try OpenFile(path).bytes(1..<3) == [2, 3])
    #expect(try OpenFile(try folder.write("empty", [])).count == 0)
    #expect(try readFile(folder.file("empty")) == [])
  }
}

@Suite struct CheckpointTests {
  static func states(_ value: Float) -> [String: [String: TensorBlob]] {
    ["weights": ["w": TensorBlob([value, 2])], "moments": ["m": TensorBlob([value])]]
  }

  static func save(_ step: Int, in folder: TemporaryFolder) throws {
    try Checkpoint.save(
      in: folder.file("checkpoints"), step: step, states: states(Float(step)),
      metadata: ["log_offset": .int(step * 10), "rate": 0.1])
  }

  static func latest(_ folder: TemporaryFolder) throws -> (
    checkpoint: Checkpoint?, warnings: [String]
  ) {
    try Checkpoint.latest(in: folder.file("checkpoints"))
  }

  @Test func givesBackTheNewest() throws {
    let folder = TemporaryFolder()
    #expect(try Self.latest(folder).checkpoint == nil)
    for step in [1, 123, 20] { try Self.save(step, in: folder) }
    let (checkpoint, warnings) = try Self.latest(folder)
    #expect(warnings.isEmpty)
    #expect(checkpoint?.step == 123)
    #expect(checkpoint?.path.hasSuffix("checkpoints/step-00000123") == true)
    #expect(checkpoint?.metadata["log_offset"] == 1230)
    #expect(checkpoint?.metadata["rate"] == 0.1)
    #expect(try checkpoint?.tensors("weights")["w"]?.floats() == [123, 2])
    formatError(.corrupt) { try checkpoint?.tensors("nothing") }
  }

  @Test func fallsBackToAnOlderOneAndSaysSo() throws {
    let folder = TemporaryFolder()
    for step in [1, 2, 3] { try Self.save(step, in: folder) }
    let path = folder.file("checkpoints/step-00000003/weights.safetensors")
    var bytes = try readFile(path)
    bytes[bytes.count - 1] ^= 1
    try AtomicFile.write(path, bytes)
    try FileManager.default.removeItem(
      atPath: folder.file("checkpoints/step-00000002/manifest.json"))
    let (checkpoint, warnings) = try Self.latest(folder)
    #expect(checkpoint?.step == 1)
    #expect(warnings.count == 2)
    #expect(warnings.first?.contains("step-00000003/weights.safetensors") == true)
  }

  @Test func failsWhenNoneVerifies() throws {
    let folder = TemporaryFolder()
    try Self.save(1, in: folder)
    try AtomicFile.write(folder.file("checkpoints/step-00000001/manifest.json"), "{}")
    let error = formatError(.corrupt) { try Self.latest(folder) }
    #expect(error?.message.contains("step-00000001") == true)
  }

  @Test func noticesEveryFlipInTheManifest() throws {
    let folder = TemporaryFolder()
    try Self.save(1, in: folder)
    let path = folder.file("checkpoints/step-00000001/manifest.json")
    let bytes = try readFile(path)
    let values = try JSONValue.parse(bytes)
    for bit in 0..<bytes.count * 8 {
      var flipped = bytes
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      // A flip between kinds of blank does not change what the manifest says.
      if (try? JSONValue.parse(flipped)) == values { continue }
      _ = try folder.write("checkpoints/step-00000001/manifest.json", flipped)
      formatError { try Checkpoint.open(folder.file("checkpoints/step-00000001")) }
    }
  }

  @Test func ignoresWhatACrashLeftAndSweepsIt() throws {
    let folder = TemporaryFolder()
    try Self.save(4, in: folder)
    for name in [".partial-step-00000009", ".old-step-00000002", "step-9", "notes"] {
      try FileManager.default.createDirectory(
        atPath: folder.file("checkpoints/\(name)"), withIntermediateDirectories: true)
    }
    #expect(try Self.latest(folder).checkpoint?.step == 4)
    for step in [5, 6] { try Self.save(step, in: folder) }
    try Checkpoint.prune(in: folder.file("checkpoints"), keep: 2)
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.file("checkpoints"))
    #expect(left.sorted() == ["notes", "step-00000005", "step-00000006", "step-9"])
  }

  @Test func replacesTheSameStep() throws {
    let folder = TemporaryFolder()
    try Self.save(7, in: folder)
    try Checkpoint.save(
      in: folder.file("checkpoints"), step: 7, states: Self.states(-1), metadata: nil)
    let checkpoint = try Self.latest(folder).checkpoint
    #expect(try checkpoint?.tensors("weights")["w"]?.floats() == [-1, 2])
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.file("checkpoints"))
    #expect(left == ["step-00000007"])
  }
}

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
    let folder = TemporaryFolder()
    let events = try AuditLog.verify(try Self.log(folder).path)
    #expect(events.count == 5)
    #expect(events[0]["schema"] == "graphc-audit/2")
    #expect(events[0]["graph"] == "abc")
    #expect(events[2] == ["event": "score", "chunk": 1, "nats": 12.25])
  }

  @Test func noticesEveryFlip() throws {
    let folder = TemporaryFolder()
    let bytes = try readFile(try Self.log(folder).path)
    #expect(try acceptedFlips(bytes, every: 3) { try AuditLog.verify($0) } == 0)
  }

  @Test func namesTheLineThatWasRemovedOrMoved() throws {
    let folder = TemporaryFolder()
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
    let folder = TemporaryFolder()
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
    let folder = TemporaryFolder()
    let (path, offsets) = try Self.log(folder)
    _ = try folder.write("audit.jsonl", Array(try readFile(path).dropLast(5)))
    formatError(.corrupt) { try AuditLog(resume: path) }
    #expect(try AuditLog(resume: path, atBytes: offsets[3]).offset == offsets[3])
    #expect(try AuditLog.verify(path).count == 4)
  }
}

@Suite struct JSONLinesTests {
  @Test func appendsAndCutsBack() throws {
    let folder = TemporaryFolder()
    let log = try JSONLines(folder.file("log.jsonl"))
    try log.append(["step": 1, "loss": 2.5])
    let offset = log.offset
    try log.append(["step": 2])
    try log.truncate(toBytes: offset)
    try log.append(["step": 3])
    try log.sync()
    #expect(try JSONLines.read(log.path) == [["step": 1, "loss": 2.5], ["step": 3]])
    formatError(.corrupt) { try log.truncate(toBytes: 1 << 40) }
    let again = try JSONLines(folder.file("log.jsonl"))
    #expect(again.offset == log.offset)
  }
}
