// SPDX-License-Identifier: Apache-2.0
// Checkpoints: what is kept, and what of a damaged folder is still used.

import Formats
import Foundation
import TestSupport
import Testing

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
    let folder = try TemporaryFolder()
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
    let folder = try TemporaryFolder()
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
    let folder = try TemporaryFolder()
    try Self.save(1, in: folder)
    try AtomicFile.write(folder.file("checkpoints/step-00000001/manifest.json"), "{}")
    let error = formatError(.corrupt) { try Self.latest(folder) }
    #expect(error?.message.contains("step-00000001") == true)
  }

  @Test func noticesEveryFlipInTheManifest() throws {
    let folder = try TemporaryFolder()
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
    let folder = try TemporaryFolder()
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
    let folder = try TemporaryFolder()
    try Self.save(7, in: folder)
    try Checkpoint.save(
      in: folder.file("checkpoints"), step: 7, states: Self.states(-1), metadata: nil)
    let checkpoint = try Self.latest(folder).checkpoint
    #expect(try checkpoint?.tensors("weights")["w"]?.floats() == [-1, 2])
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.file("checkpoints"))
    #expect(left == ["step-00000007"])
  }
}
