// SPDX-License-Identifier: Apache-2.0
// graphc fmt: the canonical layout of .graph files.

import ArgumentParser
import Formats
import IR
import Language

struct FormatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fmt",
    abstract: "Bring .graph files into their canonical layout.",
    discussion: """
      Files are rewritten in place; - reads standard input and writes standard output. If one file \
      does not parse, none is changed.

      Example: graphc fmt --check graphs/tiny.graph
      """)

  @Argument(help: "The .graph files, or - for standard input.")
  var files: [String]

  @Flag(help: "Change nothing; list the files whose layout differs and exit with 1 if any does.")
  var check = false

  mutating func run() throws {
    var changed: [(path: String, text: String)] = []
    for path in files {
      let source = SourceFile(path: path, text: try readText(path))
      let text = try formatGraph(source)
      if path == "-" && !check {
        try printOutput(text, terminator: "")
      } else if text != source.text {
        changed.append((path, text))
      }
    }
    if check {
      for file in changed { try printOutput(file.path) }
      if !changed.isEmpty {
        throw Failure.check(
          "\(counted(changed.count, "file")) not in canonical layout; run graphc fmt")
      }
      return
    }
    for file in changed {
      try AtomicFile.write(file.path, file.text)
      printError("formatted \(file.path)")
    }
  }
}
