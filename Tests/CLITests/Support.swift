// SPDX-License-Identifier: Apache-2.0
// Running the built executable, and small inputs for it.

import Formats
import Foundation
import TestSupport
import Testing

/// What a command did.
struct Outcome {
  let code: Int32
  let output: String
  let errors: String
}

/// The executable beside the test bundle: both are built into one folder.
private let executable: String = {
  let marker = Bundle.allBundles.map(\.bundlePath).first { $0.hasSuffix(".xctest") }
  var folders = [marker, CommandLine.arguments.first].compactMap { $0 }.map {
    URL(fileURLWithPath: $0).deletingLastPathComponent().path
  }
  // The test process may be a runner that was given the bundle as an argument.
  folders += CommandLine.arguments.filter { $0.hasSuffix(".xctest") }.map {
    URL(fileURLWithPath: $0).deletingLastPathComponent().path
  }
  folders += ["debug", "release"].map {
    Repository.root.appendingPathComponent(".build/\($0)").path
  }
  return folders.map { $0 + "/graphc" }.first(where: FileManager.default.isExecutableFile)
    ?? "graphc (not built)"
}()

/// Runs graphc. Output goes through files, so that a full pipe cannot block both sides.
func graphc(_ arguments: String..., input: String = "") throws -> Outcome {
  try graphc(arguments, input: input)
}

/// The same with a list.
func graphc(_ arguments: [String], input: String = "") throws -> Outcome {
  let folder = try TemporaryFolder()
  let process = Process()
  process.executableURL = URL(fileURLWithPath: executable)
  process.arguments = arguments
  for name in ["output", "errors"] { try folder.write(name, "") }
  try folder.write("input", input)
  let output = try #require(FileHandle(forWritingAtPath: folder.file("output")))
  let errors = try #require(FileHandle(forWritingAtPath: folder.file("errors")))
  process.standardInput = FileHandle(forReadingAtPath: folder.file("input"))
  process.standardOutput = output
  process.standardError = errors
  try process.run()
  process.waitUntilExit()
  defer { withExtendedLifetime(folder) {} }
  func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: folder.file(name))), as: UTF8.self)
  }
  return Outcome(
    code: process.terminationStatus, output: try text("output"), errors: try text("errors"))
}

/// Runs a script of the shell in a folder; `$GRAPHC` is the executable.
func shell(_ script: String, in folder: String) throws -> Outcome {
  let files = try TemporaryFolder()
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", script]
  process.currentDirectoryURL = URL(fileURLWithPath: folder)
  process.environment = ProcessInfo.processInfo.environment.merging(["GRAPHC": executable]) { $1 }
  for name in ["output", "errors"] { try files.write(name, "") }
  process.standardInput = FileHandle.nullDevice
  process.standardOutput = FileHandle(forWritingAtPath: files.file("output"))
  process.standardError = FileHandle(forWritingAtPath: files.file("errors"))
  try process.run()
  process.waitUntilExit()
  func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: files.file(name))), as: UTF8.self)
  }
  return Outcome(
    code: process.terminationStatus, output: try text("output"), errors: try text("errors"))
}

/// The threads that did something, by process, in a trace.
func threadsInTrace(_ path: String) throws -> [Int: Set<Int>] {
  let document = try JSONValue.parse(Array(try Data(contentsOf: URL(fileURLWithPath: path))))
  var threads: [Int: Set<Int>] = [:]
  for event in try #require(document["traceEvents"]?.arrayValue) where event["ph"] == "X" {
    #expect((event["dur"]?.doubleValue ?? -1) >= 0)
    let process = try #require(event["pid"]?.intValue)
    threads[process, default: []].insert(try #require(event["tid"]?.intValue))
  }
  return threads
}

/// Some kilobytes of text in paragraphs, the same on every call.
func sampleText(paragraphs: Int = 40) -> String {
  let words = [
    "the", "miller", "walked", "along", "a", "river", "and", "saw", "three", "herons", "stand",
    "still", "under", "old", "willows", "while", "rain", "fell", "on", "quiet", "water",
  ]
  var state: UInt32 = 1
  var text = ""
  for _ in 0..<paragraphs {
    for word in 0..<450 {
      state = state &* 1_664_525 &+ 1_013_904_223
      text += words[Int(state >> 16) % words.count] + (word % 12 == 11 ? ".\n" : " ")
    }
    text += "\n\n"
  }
  return text
}

/// A complete model that compiles in no time.
let smallGraph = """
  model small

  const vocab = 300, dim = 16, seq = 32, batch = 4

  param tok_emb [vocab, dim]  init normal(0.1)  group embedding
  param head [vocab, dim]  init normal(0.1)

  forward(ids: tokens[B, T]) -> dist[B, T, vocab] {
    x = rms_norm(embed(tok_emb, ids))
    return softmax(linear(x, head))
  }

  train {
    read batch rows of seq
    stop at 4 steps
    optimizer default adam(lr: 0.01)
    warmdown 2 steps
    validate every 2 steps
    checkpoint every 2 steps
  }

  quantize {
    default int8 per_row max
    budget 1_000_000 bytes
  }

  evaluate {
    quantized window seq
    sliding window seq stride 8
  }

  ttt score_first {
    chunk 64 tokens
    window seq
    stride 8
    epochs 1
    batch 2 rows
    optimizer default sgd(lr: 0.1)
  }

  """

/// A folder of shards of the sample text for `smallGraph`, made once for all tests.
final class SmallData: Sendable {
  let path: String
  private let folder: TemporaryFolder

  private init() throws {
    folder = try TemporaryFolder()
    path = folder.file("data")
    let text = try folder.write("text.txt", sampleText())
    let made = try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", path)
    try #require(made.code == 0, "\(made.errors)")
  }

  private static let made: Result<SmallData, any Error> = Result {
    atexit { if let data = try? SmallData.made.get() { data.remove() } }
    return try SmallData()
  }

  /// Links the folder as `data` and writes the small graph, so that scripts can name both.
  func link(into folder: TemporaryFolder) throws {
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("data"), withDestinationPath: path)
    try folder.write("small.graph", smallGraph)
  }

  /// Statics are never deinitialised.
  private func remove() { try? FileManager.default.removeItem(atPath: folder.path) }

  static var shared: SmallData { get throws { try made.get() } }
}
