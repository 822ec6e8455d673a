// SPDX-License-Identifier: Apache-2.0
// Files of one JSON document a line.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct JSONLinesTests {
  @Test func appendsAndCutsBack() throws {
    let folder = try TemporaryFolder()
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
