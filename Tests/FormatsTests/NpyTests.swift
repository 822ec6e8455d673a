// SPDX-License-Identifier: Apache-2.0
// .npy: what is read, and refusal of everything malformed.

import Formats
import TestSupport
import Testing

@Suite struct NpyTests {
  static func file(_ header: String, data: Int, version: UInt8 = 1) -> [UInt8] {
    let length = header.utf8.count
    return [0x93] + Array("NUMPY".utf8) + [version, 0, UInt8(length & 255), UInt8(length >> 8)]
      + (version == 2 ? [0, 0] : []) + Array(header.utf8) + [UInt8](repeating: 0, count: data)
  }

  @Test func readsWhatItWrote() throws {
    let folder = try TemporaryFolder()
    for tensor in [
      TensorBlob([1, 2, 3] as [Int32]), TensorBlob([1, 2, 3, 4] as [UInt16], shape: [2, 2]),
      TensorBlob([1.5] as [Float], shape: []), TensorBlob([] as [Double], shape: [3, 0]),
      TensorBlob([1, -1] as [Int64], shape: [1, 2, 1]), TensorBlob([9] as [UInt8]),
    ] {
      try Npy.write(folder.file("x.npy"), tensor)
      #expect(try Npy.read(folder.file("x.npy")) == tensor)
    }
    let bfloat = try TensorBlob(dtype: .bf16, shape: [1], bytes: [0, 0])
    formatError(.usage) { try Npy.write(folder.file("x.npy"), bfloat) }
  }

  @Test func readsVersionTwo() throws {
    let folder = try TemporaryFolder()
    let header = "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }\n"
    let path = try folder.write("x.npy", Self.file(header, data: 4, version: 2))
    #expect(try Npy.read(path).shape == [2])
  }

  @Test func refusesEveryCutAndSurvivesEveryFlip() throws {
    let folder = try TemporaryFolder()
    try Npy.write(folder.file("x"), TensorBlob([1, 2, 3] as [Int32]))
    let bytes = try readFile(folder.file("x"))
    try expectEveryCutIsRejected(bytes) { try Npy.read($0) }
    try acceptedFlips(bytes) { try Npy.read($0) }
  }

  @Test(arguments: [
    ("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", "Fortran"),
    ("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", "'>f4' is unknown"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "does not fit"),
    (
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,99999999999), }",
      "does not fit"
    ),
    ("{'descr': '<f4', 'shape': (2,), }", "exactly"),
    ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "twice"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "exactly"),
    ("{'descr': '<f4", "not closed"),
    ("", "expected {"),
  ])
  func refusesOtherHeaders(_ header: String, reason: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("x", Self.file(header, data: 8))
    let error = formatError(.corrupt) { try Npy.read(path) }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }

  @Test func readsReferenceFiles() throws {
    let tokens = try Npy.read(fixture("baseline-even/tokens.npy"))
    #expect(try tokens.int32s().allSatisfy { $0 >= 0 })
  }
}
