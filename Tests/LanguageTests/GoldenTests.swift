// SPDX-License-Identifier: Apache-2.0
// Files of Tests/Golden/Parser and Tests/Golden/Elaborate: `# error:` stands on each guilty line,
// and nothing else may be reported. UPDATE_GOLDEN=1 rewrites the expectations.

import Foundation
import IR
import Language
import Testing

@Suite struct GoldenTests {
  static let files =
    Repository.graphs(in: "Tests/Golden/Parser")
    + Repository.graphs(in: "Tests/Golden/Elaborate")

  /// Codes that no golden can raise in one file, with the test that does.
  static let coveredElsewhere: Set<String> = ["E0216", "W0101", "W0102"]

  @Test(arguments: files)
  func reportsWhatTheFileSays(path: String) throws {
    let source = try Repository.source(path)
    let stripped = source.lines.map { Self.split($0).code }
    let found = Self.messages(source)
    let expected = source.lines.enumerated().flatMap { index, line in
      Self.split(line).errors.map { "\(index + 1): \($0)" }
    }
    if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
      var lines = stripped
      for (line, messages) in Dictionary(grouping: found, by: \.line) where line >= 1 {
        lines[line - 1] += "  # error: " + messages.map(\.text).joined(separator: " # error: ")
      }
      let url = Repository.root.appendingPathComponent(path)
      try lines.joined(separator: "\n").write(to: url, atomically: true, encoding: .utf8)
      return
    }
    #expect(found.map { "\($0.line): \($0.text)" } == expected)
    // A golden without errors is a claim that the file compiles.
    #expect(!expected.isEmpty || path.contains("/Accepts"))
  }

  @Test func everyCodeHasAGolden() throws {
    var codes: Set<String> = Self.coveredElsewhere
    for path in Self.files {
      for message in Self.messages(try Repository.source(path)) { codes.insert(message.code) }
    }
    for code in DiagnosticCode.language {
      #expect(codes.contains(code.rawValue), "no golden raises \(code.rawValue)")
    }
  }

  /// `CODE message (help)` of each error, with its line.
  private static func messages(
    _ source: SourceFile
  ) -> [(line: Int, text: String, code: String)] {
    let lines = source.lines.map { split($0).code }
    let stripped = SourceFile(path: source.path, text: lines.joined(separator: "\n"))
    do throws(Diagnostics) {
      _ = try elaborate(file: stripped, includes: Repository.text)
      return []
    } catch {
      return error.all.map { diagnostic in
        let isOwn = diagnostic.location?.path == source.path
        // What lies in a library is shown on the line of the innermost caller or note in this file.
        let caller = diagnostic.location?.callers.first { $0.path == source.path }?.line
        let note = diagnostic.notes.compactMap(\.location).first { $0.path == source.path }?.line
        let line = isOwn ? diagnostic.location?.line : caller ?? note
        var text = "\(diagnostic.code.rawValue) \(diagnostic.message)"
        if let suggestion = diagnostic.suggestion { text += " (\(suggestion))" }
        return (line ?? 1, text, diagnostic.code.rawValue)
      }
    }
  }

  private static func split(_ line: String) -> (code: String, errors: [String]) {
    let parts = line.components(separatedBy: "# error: ")
    let code = parts[0]
    guard parts.count > 1 else { return (line, []) }
    let trimmed = code.replacingOccurrences(of: " +$", with: "", options: .regularExpression)
    return (trimmed, parts.dropFirst().map { $0.trimmingCharacters(in: .whitespaces) })
  }
}
