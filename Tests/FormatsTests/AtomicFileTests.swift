// SPDX-License-Identifier: Apache-2.0
// Files that are there whole or not at all.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct AtomicFileTests {
  @Test func replacesAFileAndLeavesNothingElse() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write(folder.file("x"), "old")
    try AtomicFile.write(folder.file("x"), "new")
    #expect(try readFile(folder.file("x")) == Array("new".utf8))
    #expect(folder.names == ["x"])
  }

  @Test func keepsTheOldFileUntilCommitted() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write(folder.file("x"), "old")
    do {
      let file = try AtomicFile(folder.file("x"))
      try file.write([1, 2, 3])
      #expect(try readFile(folder.file("x")) == Array("old".utf8))
    }
    #expect(folder.names == ["x"])
    #expect(try readFile(folder.file("x")) == Array("old".utf8))
  }

  @Test func saysWhyItCannotWrite() throws {
    let missing = formatError(.notFound) { try AtomicFile.write("/nonexistent/x", "a") }
    #expect(missing?.description.contains("No such file") == true)
    let folder = try TemporaryFolder()
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
    let folder = try TemporaryFolder()
    let path = try folder.write("x", [1, 2, 3])
    #expect(try readFile(path) == [1, 2, 3])
    formatError(.corrupt) { try readFile(path, limit: 2) }
    #expect(try OpenFile(path).bytes(1..<3) == [2, 3])
    #expect(try OpenFile(try folder.write("empty", [])).count == 0)
    #expect(try readFile(folder.file("empty")) == [])
  }
}
