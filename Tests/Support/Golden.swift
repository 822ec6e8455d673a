// SPDX-License-Identifier: Apache-2.0
// Files that hold what the compiler must make. UPDATE_GOLDEN=1 writes what it makes now.

import Foundation

/// A file, or a part of one, that must be what is made of the rest.
package struct Golden: Sendable {
  package static let isUpdated = ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil
  package static let separator = "# ---\n"

  private let path: String
  /// What stands before the expected part.
  package let input: String
  private let mark: String
  private let expected: String
  private let rest: String

  /// A mark is missing.
  package struct Malformed: Error, CustomStringConvertible {
    package let description: String
    package init(description: String) { self.description = description }
  }

  /// All of a file.
  package init(file path: String) throws {
    (self.path, input, mark, rest) = (path, "", "", "")
    expected = (try? Repository.text(path)) ?? ""
  }

  /// What stands behind a mark, up to another one or the end of the file.
  package init(_ path: String, behind mark: String = separator, upTo end: String? = nil) throws {
    let text = try Repository.text(path)
    guard let start = text.range(of: mark) else {
      throw Malformed(description: "\(path) has no '\(mark)'")
    }
    let stop = end.flatMap { text.range(of: $0)?.lowerBound } ?? text.endIndex
    (self.path, self.mark) = (path, mark)
    input = String(text[..<start.lowerBound])
    expected = String(text[start.upperBound..<stop])
    rest = String(text[stop...])
  }

  /// The text that should be made; what was made, where that is written as the new one.
  package func expected(of made: String) throws -> String {
    guard Self.isUpdated else { return expected }
    try Repository.write(input + mark + made + rest, to: path)
    return made
  }

  /// The text that should be made, as the file has it.
  package var text: String { expected }
}

/// A file with messages behind the lines that they are about: `# error: MESSAGE`.
package struct GoldenMessages {
  private static let mark = "# error: "
  private let path: String
  /// The lines without their messages.
  package let lines: [String]
  private let expected: [String]

  package init(_ path: String) throws {
    self.path = path
    let split = try Repository.text(path).components(separatedBy: "\n").map(Self.split)
    lines = split.map(\.code)
    expected = split.enumerated().flatMap { index, line in
      line.messages.map { "\(index + 1): \($0)" }
    }
  }

  /// The text without messages.
  package var input: String { lines.joined(separator: "\n") }

  /// `LINE: MESSAGE` of all that should be found; what was found, where that is written as the new one.
  package func expected(of found: [(line: Int, message: String)]) throws -> [String] {
    guard Golden.isUpdated else { return expected }
    var lines = lines
    for (line, messages) in Dictionary(grouping: found, by: \.line) where line >= 1 {
      lines[line - 1] += "  " + messages.map { Self.mark + $0.message }.joined(separator: " ")
    }
    try Repository.write(lines.joined(separator: "\n"), to: path)
    return found.map { "\($0.line): \($0.message)" }
  }

  private static func split(_ line: String) -> (code: String, messages: [String]) {
    let parts = line.components(separatedBy: mark)
    guard parts.count > 1 else { return (line, []) }
    let code = parts[0].replacingOccurrences(of: " +$", with: "", options: .regularExpression)
    return (code, parts.dropFirst().map { $0.trimmingCharacters(in: .whitespaces) })
  }
}
