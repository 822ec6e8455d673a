// SPDX-License-Identifier: Apache-2.0
// safetensors: round trips, deterministic bytes, and refusal of everything malformed.

import Formats
import TestSupport
import Testing

@Suite struct SafeTensorsTests {
  static func file(_ header: String, data: Int) -> [UInt8] {
    let text = Array(header.utf8)
    let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    return length + text + [UInt8](repeating: 7, count: data)
  }

  static func sample() throws -> [String: TensorBlob] {
    [
      "b": TensorBlob([1.5, -2, .infinity] as [Float]),
      "a": TensorBlob([1, 2, 3, 4] as [Int32], shape: [2, 2]),
      "scalar": TensorBlob([0.1] as [Double], shape: []),
      "empty": TensorBlob([] as [UInt8], shape: [0, 5]),
      "half": try TensorBlob(dtype: .bf16, shape: [2], bytes: [0x80, 0x3f, 0x00, 0xc0]),
    ]
  }

  @Test func readsWhatItWrote() throws {
    let folder = try TemporaryFolder()
    let tensors = try Self.sample()
    let hash = try SafeTensors.write(folder.file("x"), tensors, metadata: ["k": "v\n\""])
    let contents = try SafeTensors.contents(folder.file("x"))
    #expect(contents.tensors == tensors)
    #expect(contents.metadata == ["k": "v\n\""])
    #expect(try SHA256.hex(file: folder.file("x")) == hash)
    #expect(try contents.tensors["half"]?.floats() == [1, -2])
    #expect(try contents.tensors["a"]?.int32s() == [1, 2, 3, 4])
    #expect(try contents.tensors["b"]?.floats().firstIndex { !$0.isFinite } == 2)
    #expect(try contents.tensors["scalar"]?.doubles() == [0.1])
    formatError(.corrupt) { try tensors["a"]?.floats() }
    formatError(.corrupt) { try tensors["b"]?.int32s() }
  }

  @Test func writesTheSameBytesForTheSameTensors() throws {
    let folder = try TemporaryFolder()
    try SafeTensors.write(folder.file("x"), try Self.sample())
    try SafeTensors.write(folder.file("y"), try Self.sample())
    let bytes = try readFile(folder.file("x"))
    #expect(try bytes == readFile(folder.file("y")))
    #expect(bytes[0] % 8 == 0)
    #expect(folder.names == ["x", "y"])
  }

  @Test func refusesEveryCutAndSurvivesEveryFlip() throws {
    let folder = try TemporaryFolder()
    try SafeTensors.write(folder.file("x"), try Self.sample())
    let bytes = try readFile(folder.file("x"))
    try expectEveryCutIsRejected(bytes) { try SafeTensors.read($0) }
    try acceptedFlips(bytes) { try SafeTensors.read($0) }
  }

  @Test(arguments: [
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}", 4, "JSON"),
    (" {\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "begin with '{'"),
    (
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
        + "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4, "appears twice"
    ),
    ("{\"a\":{\"dtype\":\"U9\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "\"U9\""),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 5, "belong to no tensor"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[1,5]}}", 5, "gap"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]}}", 4, "data_offsets"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]}}", 4, "negative"),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "needs 16"),
    (
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
      "too large"
    ),
    (
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        + "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6, "overlaps"
    ),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[4.0],\"data_offsets\":[0,4]}}", 4, "whole numbers"),
    ("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"x\":1}}", 4, "exactly"),
    ("{\"__metadata__\":{\"a\":1}}", 0, "object of strings"),
    ("[]", 0, "begin with '{'"),
  ])
  func refusesHostileHeaders(_ header: String, data: Int, reason: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("x", Self.file(header, data: data))
    let error = formatError(.corrupt) { try SafeTensors.read(path) }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    #expect(error?.file == path)
    #expect(error?.exitCode == 65)
  }

  @Test func refusesAHeaderLongerThanTheFile() throws {
    let folder = try TemporaryFolder()
    for length in [[255, 255, 255, 255, 255, 255, 255, 255], [100, 0, 0, 0, 0, 0, 0, 0]] {
      let path = try folder.write("x", length.map { UInt8($0) } + Array("{}".utf8))
      #expect(formatError(.corrupt) { try SafeTensors.read(path) }?.field == "header length")
    }
  }

  @Test func saysThatAFileIsMissing() throws {
    let error = formatError(.notFound) { try SafeTensors.read("/nonexistent/x") }
    #expect(error?.exitCode == 66)
    let folder = try TemporaryFolder()
    #expect(formatError(.usage) { try SafeTensors.read(folder.path) }?.exitCode == 2)
  }

  @Test func readsReferenceFiles() throws {
    let tensors = try SafeTensors.read(fixture("baseline-even/expected.safetensors"))
    #expect(try tensors["loss"]?.doubles().count == 1)
    #expect(tensors["loss"]?.count == 1)
  }
}
