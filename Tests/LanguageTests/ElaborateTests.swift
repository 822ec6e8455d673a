// SPDX-License-Identifier: Apache-2.0
// Files of Tests/Golden/Parser and Tests/Golden/Elaborate: `# error:` stands on each guilty line,
// and nothing else may be reported. UPDATE_GOLDEN=1 rewrites the expectations.

import IR
import Language
import TestSupport
import Testing

@Suite struct ElaborateTests {
  static let files =
    Repository.files(in: "Tests/Golden/Parser")
    + Repository.files(in: "Tests/Golden/Elaborate")

  /// Codes that no golden can raise in one file, with the test that does.
  static let coveredElsewhere: Set<String> = ["E0216", "W0101", "W0102"]

  @Test(arguments: files)
  func reportsWhatTheFileSays(path: String) throws {
    let golden = try GoldenMessages(path)
    let found = Self.messages(golden.input, path)
    let expected = try golden.expected(of: found.map { ($0.line, $0.text) })
    #expect(found.map { "\($0.line): \($0.text)" } == expected)
    // A golden without errors is a claim that the file compiles.
    #expect(!expected.isEmpty || path.contains("/Accepts"))
  }

  @Test func everyCodeHasAGolden() throws {
    var codes: Set<String> = Self.coveredElsewhere
    for path in Self.files {
      let golden = try GoldenMessages(path)
      for message in Self.messages(golden.input, path) { codes.insert(message.code) }
    }
    for code in DiagnosticCode.language {
      #expect(codes.contains(code.rawValue), "no golden raises \(code.rawValue)")
    }
  }

  /// `CODE message (help)` of each error, with its line.
  private static func messages(
    _ text: String, _ path: String
  ) -> [(line: Int, text: String, code: String)] {
    let source = SourceFile(path: path, text: text)
    do throws(Diagnostics) {
      _ = try elaborate(file: source, includes: Repository.text)
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
}
