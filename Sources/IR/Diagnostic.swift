// SPDX-License-Identifier: Apache-2.0
// Messages to the user about a source text, and their printed form. Codes are listed in
// DiagnosticCode.swift.

/// One message about the user's source: where, what, and what to do about it.
public struct Diagnostic: Error, Equatable, Sendable {
  public enum Severity: String, Sendable { case error, warning }

  /// A further remark, at its own place or at none.
  public struct Note: Equatable, Sendable {
    public var location: SourceLocation?
    public var text: String

    public init(_ text: String, at location: SourceLocation? = nil) {
      (self.location, self.text) = (location, text)
    }
  }

  public var severity: Severity
  public var code: DiagnosticCode
  public var location: SourceLocation?
  public var message: String
  public var notes: [Note]
  /// What to do, printed after `help:`.
  public var suggestion: String?
  /// The path of the part in which the error arose, for `in blocks.0.mlp, called at …`.
  public var part: String?

  public init(
    _ code: DiagnosticCode, _ message: String, at location: SourceLocation?,
    severity: Severity = .error, notes: [Note] = [], suggestion: String? = nil, part: String? = nil
  ) {
    (self.severity, self.code, self.location, self.message) = (severity, code, location, message)
    (self.notes, self.suggestion, self.part) = (notes, suggestion, part)
  }
}

/// All errors of one run: never empty, in the order in which they are printed.
public struct Diagnostics: Error, Equatable, Sendable {
  public var all: [Diagnostic]
  /// The texts the messages point into, as far as the thrower knows them.
  public var sources: [SourceFile]

  public init(_ all: [Diagnostic], sources: [SourceFile] = []) {
    self.all = Diagnostics.sorted(all)
    self.sources = sources
  }

  /// Sorts by position and keeps, of equal errors at one position, the first with the number of
  /// others.
  ///
  /// A library block under a loop raises the same error once for each instance; one is enough.
  public static func sorted(_ diagnostics: [Diagnostic]) -> [Diagnostic] {
    struct Key: Hashable {
      let place: SourceLocation?
      let code: DiagnosticCode
      let message: String
    }
    var first: [Key: Int] = [:]
    var kept: [(diagnostic: Diagnostic, others: Int)] = []
    for diagnostic in diagnostics {
      let key = Key(
        place: diagnostic.location?.position, code: diagnostic.code, message: diagnostic.message)
      if let index = first[key] {
        kept[index].others += 1
      } else {
        first[key] = kept.count
        kept.append((diagnostic, 0))
      }
    }
    var order: [String: Int] = [:]
    for entry in kept {
      let path = entry.diagnostic.location?.path ?? ""
      if order[path] == nil { order[path] = order.count }
    }
    func key(_ diagnostic: Diagnostic) -> (Int, Int, Int) {
      let place = diagnostic.location
      return (order[place?.path ?? ""] ?? 0, place?.line ?? 0, place?.column ?? 0)
    }
    let positions = kept.indices.sorted {
      let (a, b) = (key(kept[$0].diagnostic), key(kept[$1].diagnostic))
      return a == b ? $0 < $1 : a < b
    }
    return positions.map { index in
      var diagnostic = kept[index].diagnostic
      if kept[index].others > 0 {
        let others = kept[index].others
        diagnostic.notes.append(
          Diagnostic.Note("and \(counted(others, "other", "others")) like it"))
      }
      return diagnostic
    }
  }

  /// How many errors a source may raise before the rest of it is left unread.
  public static let limit = 100

  /// How many messages are printed: nobody reads more of them at once.
  public static let shown = 20

  /// The printed form, one message after the other, and the number of those that are left out.
  public func rendered(sources more: [SourceFile] = []) -> String {
    var texts = all.prefix(Diagnostics.shown).map { $0.rendered(sources: sources + more) }
    let rest = all.count - texts.count
    if rest > 0 { texts.append("and \(counted(rest, "other message", "other messages"))\n") }
    return texts.joined(separator: "\n")
  }
}

extension Diagnostic {
  /// The first line of the printed form: `m.graph:3:12: error: … [E0204]`.
  public var headline: String {
    let place = location.map { $0.shortDescription + ": " } ?? ""
    return "\(place)\(severity.rawValue): \(Diagnostic.clipped(message)) [\(code.rawValue)]"
  }

  /// Headline, source line with the token underlined, chain of calls, notes and suggestion.
  public func rendered(sources: [SourceFile]) -> String {
    var lines = [headline]
    if let location {
      lines += Diagnostic.excerpt(of: location, sources: sources)
      if let chain = chain(of: location) { lines.append("  note: " + chain) }
    }
    for note in notes {
      let text = Diagnostic.clipped(note.text)
      if let place = note.location {
        lines.append("\(place.shortDescription): note: \(text)")
        lines += Diagnostic.excerpt(of: place, sources: sources)
      } else {
        lines.append("  note: " + text)
      }
    }
    if let suggestion { lines.append("  help: " + Diagnostic.clipped(suggestion)) }
    return lines.joined(separator: "\n") + "\n"
  }

  /// A text that quotes the source, with the middle left out if that makes it too long to read.
  private static func clipped(_ text: String) -> String {
    let scalars = text.unicodeScalars
    guard scalars.count > 600 else { return text }
    return String(scalars.prefix(400)) + " … " + String(scalars.suffix(150))
  }

  /// `in blocks.0.mlp, called at m.graph:8:13, i = 0`, or nil at top level outside of loops.
  private func chain(of location: SourceLocation) -> String? {
    var pieces: [String] = []
    if let part { pieces.append("in \(Diagnostic.clipped(part))") }
    pieces += location.loops.map { "\($0.name) = \($0.value)" }
    let (first, last) = (8, 2)
    for (index, caller) in location.callers.enumerated() {
      let rest = location.callers.count - first - last
      if rest > 0, (first..<first + rest).contains(index) {
        if index == first { pieces.append("… \(rest) more …") }
        continue
      }
      pieces.append("called at \(caller.path):\(caller.line):\(caller.column)")
      pieces += caller.loops.map { "\($0.name) = \($0.value)" }
    }
    return pieces.isEmpty ? nil : pieces.joined(separator: ", ")
  }

  /// The widest part of a source line that is shown.
  private static let excerptWidth = 160

  private static func excerpt(of location: SourceLocation, sources: [SourceFile]) -> [String] {
    guard let source = sources.first(where: { $0.path == location.path }),
      source.lines.indices.contains(location.line - 1)
    else { return [] }
    let scalars = Array(source.lines[location.line - 1].unicodeScalars)
    let start = location.column - 1
    guard start >= 0, start <= scalars.count else { return [] }
    var window = scalars.indices
    if scalars.count > excerptWidth {
      let first = max(0, min(start - excerptWidth / 2, scalars.count - excerptWidth))
      window = first..<first + excerptWidth
    }
    let number = String(location.line)
    let margin = String(repeating: " ", count: number.count)
    let before = window.lowerBound > 0 ? "… " : ""
    let after = window.upperBound < scalars.count ? " …" : ""
    // Tabs are kept in the line of carets, so that both lines break at the same places.
    let indent = String(
      String.UnicodeScalarView(scalars[window.lowerBound..<start].map { $0 == "\t" ? "\t" : " " }))
    let length = min(tokenLength(scalars, from: start), max(1, window.upperBound - start))
    let underline = String(repeating: "^", count: length)
    let shown = String(String.UnicodeScalarView(scalars[window]))
    return [
      "\(number) | \(before)\(shown)\(after)",
      "\(margin) | \(String(repeating: " ", count: before.count))\(indent)\(underline)",
    ]
  }

  private static func tokenLength(_ scalars: [Unicode.Scalar], from start: Int) -> Int {
    guard start < scalars.count else { return 1 }
    if scalars[start] == "\"" {
      let rest = scalars[(start + 1)...]
      return (rest.firstIndex(of: "\"") ?? scalars.count - 1) - start + 1
    }
    var end = start
    while end < scalars.count,
      scalars[end].properties.isAlphabetic || scalars[end] == "_"
        || ("0"..."9").contains(scalars[end])
        || (scalars[end] == "." && end > start && ("0"..."9").contains(scalars[start])
          && end + 1 < scalars.count && ("0"..."9").contains(scalars[end + 1]))
    { end += 1 }
    return max(1, end - start)
  }
}
