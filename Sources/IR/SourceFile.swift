// SPDX-License-Identifier: Apache-2.0
// Source text and positions in it. Nothing here reads files: text comes from the caller.

/// One source text and the path it is shown under.
public struct SourceFile: Equatable, Sendable {
  public let path: String
  public let text: String
  /// The lines of `text` without their line ends.
  public let lines: [String]

  public init(path: String, text: String) {
    (self.path, self.text) = (path, text)
    var lines: [String] = []
    var current = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if scalar == "\n" {
        lines.append(String(current))
        current = .init()
      } else if scalar != "\r" {
        current.append(scalar)
      }
    }
    lines.append(String(current))
    self.lines = lines
  }
}

/// The value a loop name had at some point, as text: `i = 3`.
public struct LoopValue: Hashable, Sendable {
  public let name: String
  public let value: String

  public init(name: String, value: String) {
    (self.name, self.value) = (name, value)
  }
}

/// The place of one call, with the loop values that held there.
public struct CallSite: Hashable, Sendable {
  public let path: String
  public let line: Int
  public let column: Int
  public let loops: [LoopValue]

  public init(path: String, line: Int, column: Int, loops: [LoopValue] = []) {
    (self.path, self.line, self.column, self.loops) = (path, line, column, loops)
  }
}

/// A position in a source text, the loop values that hold there, and the chain of calls that led
/// there.
///
/// Lines and columns count from 1; a column counts Unicode scalars. The text form is the one of the
/// core form: `lib/blocks.graph:41:13 < m.graph:29:43 < 46:12 j=6`, where a caller in the same file
/// as the place before it leaves its path out.
public struct SourceLocation: Hashable, Sendable {
  public var path: String
  public var line: Int
  public var column: Int
  public var loops: [LoopValue]
  /// Innermost first.
  public var callers: [CallSite]

  public init(
    path: String, line: Int, column: Int, loops: [LoopValue] = [], callers: [CallSite] = []
  ) {
    (self.path, self.line, self.column, self.loops) = (path, line, column, loops)
    self.callers = callers
  }

  /// The location without loop values and callers.
  public var position: SourceLocation { SourceLocation(path: path, line: line, column: column) }

  /// This place as the caller of something.
  public var callSite: CallSite { CallSite(path: path, line: line, column: column, loops: loops) }

  /// `path:line:column`.
  public var shortDescription: String { "\(path):\(line):\(column)" }
}

extension SourceLocation: CustomStringConvertible {
  public var description: String {
    var text = shortDescription + Self.text(of: loops)
    var previous = path
    for caller in callers {
      text += " < "
      if caller.path != previous { text += caller.path + ":" }
      text += "\(caller.line):\(caller.column)" + Self.text(of: caller.loops)
      previous = caller.path
    }
    return text
  }

  private static func text(of loops: [LoopValue]) -> String {
    loops.map { " \($0.name)=\($0.value)" }.joined()
  }

  /// Reads what `description` prints; nil if `text` has another form.
  public init?(_ text: String) {
    var places: [CallSite] = []
    for part in text.split(separator: "<", omittingEmptySubsequences: false) {
      var words = part.split(separator: " ")
      guard !words.isEmpty else { return nil }
      let pieces = words.removeFirst().split(separator: ":", omittingEmptySubsequences: false)
      guard pieces.count >= 2, let line = Int(pieces[pieces.count - 2]),
        let column = Int(pieces[pieces.count - 1])
      else { return nil }
      let ownPath = pieces.dropLast(2).joined(separator: ":")
      guard let path = ownPath.isEmpty ? places.last?.path : ownPath else { return nil }
      var loops: [LoopValue] = []
      for word in words {
        guard let split = word.firstIndex(of: "=") else { return nil }
        loops.append(
          LoopValue(
            name: String(word[..<split]), value: String(word[word.index(after: split)...])))
      }
      places.append(CallSite(path: path, line: line, column: column, loops: loops))
    }
    guard let first = places.first else { return nil }
    self.init(
      path: first.path, line: first.line, column: first.column, loops: first.loops,
      callers: Array(places.dropFirst()))
  }
}
