// SPDX-License-Identifier: Apache-2.0
// What the tests of formats share: the reference data, hostile input.

import Formats
import Foundation
import TestSupport
import Testing

/// Path of a file or folder of Tests/Fixtures.
func fixture(_ name: String) -> String {
  Repository.root.appendingPathComponent("Tests/Fixtures/\(name)").path
}

/// The FormatError that `body` throws; anything else fails the test.
@discardableResult
func formatError(
  _ kind: FormatError.Kind? = nil, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> some Any
) -> FormatError? {
  do {
    _ = try body()
    Issue.record("no error was thrown", sourceLocation: sourceLocation)
  } catch let error as FormatError {
    if let kind { #expect(error.kind == kind, "\(error)", sourceLocation: sourceLocation) }
    return error
  } catch {
    Issue.record("not a FormatError: \(error)", sourceLocation: sourceLocation)
  }
  return nil
}

/// Reads every shorter version of a file: each must throw a FormatError.
func expectEveryCutIsRejected(
  _ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation,
  read: (String) throws -> some Any
) throws {
  let folder = try TemporaryFolder()
  for count in 0..<bytes.count {
    let path = try folder.write("cut", Array(bytes[..<count]))
    do {
      _ = try read(path)
      Issue.record("accepted \(count) of \(bytes.count) bytes", sourceLocation: sourceLocation)
    } catch is FormatError {}
  }
}

/// Reads the file with each bit flipped in turn: it may be accepted, or throw a FormatError, but
/// nothing else. Returns how many flips were accepted.
@discardableResult
func acceptedFlips(
  _ bytes: [UInt8], every step: Int = 1, read: (String) throws -> some Any
) throws -> Int {
  let folder = try TemporaryFolder()
  var accepted = 0
  for bit in stride(from: 0, to: bytes.count * 8, by: step) {
    var flipped = bytes
    flipped[bit / 8] ^= 1 << UInt8(bit % 8)
    let path = try folder.write("flipped", flipped)
    do {
      _ = try read(path)
      accepted += 1
    } catch is FormatError {}
  }
  return accepted
}

/// Documents from one to the next, for `Tokenizer.train`.
func oneByOne(_ documents: [[UInt8]]) -> () throws(FormatError) -> [UInt8]? {
  var rest = documents[...]
  return { () throws(FormatError) in rest.popFirst() }
}

/// English-like text that is the same on every run.
func sampleText(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  let words = [
    "the", "model", "reads", "Tokens", "and", "writes", "bytes", "of", "1984", "texts,", "which",
    "compiler", "(under)", "budget.", "A", "small", "language", "learns", "quickly", "while",
  ]
  var state = seed
  var text = ""
  while text.utf8.count < count {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    text += words[Int(state >> 33) % words.count]
    text += (state >> 40) % 11 == 0 ? "\n" : " "
    if (state >> 45) % 37 == 0 { text += "\n\n" }
  }
  return Array(text.utf8.prefix(count))
}
