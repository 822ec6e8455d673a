// SPDX-License-Identifier: Apache-2.0
// This program once more, for work that may fail without ending what started it.

import Foundation

/// What a command of this program left.
struct ChildResult {
  let code: Int32
  let output: String
}

/// Runs a command of this program to its end. What it says on stderr goes to ours and is kept in a file; a
/// signal that asks us to stop is passed on.
func runChild(_ arguments: [String], errors: String) throws -> ChildResult {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
  process.arguments = arguments
  let (output, said) = (Pipe(), Pipe())
  (process.standardOutput, process.standardError) = (output, said)
  process.standardInput = FileHandle.nullDevice
  try process.run()
  nonisolated(unsafe) var text = Data()
  let reader = Thread { text = output.fileHandleForReading.readDataToEndOfFile() }
  reader.start()
  nonisolated(unsafe) var log = Data()
  let teller = Thread {
    while case let part = said.fileHandleForReading.availableData, !part.isEmpty {
      log.append(part)
      FileHandle.standardError.write(part)
    }
  }
  teller.start()
  var isAsked = false
  while process.isRunning || !reader.isFinished || !teller.isFinished {
    if Interruption.signal != 0, !isAsked {
      isAsked = true
      kill(process.processIdentifier, SIGINT)
    }
    usleep(20_000)
  }
  process.waitUntilExit()
  try log.write(to: URL(fileURLWithPath: errors))
  return ChildResult(
    code: process.terminationStatus, output: String(decoding: text, as: UTF8.self))
}
