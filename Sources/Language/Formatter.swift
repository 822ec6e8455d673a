// SPDX-License-Identifier: Apache-2.0
// The canonical layout of a source file: one statement per line, two spaces a level, comments kept.
// Formatting the result again changes nothing, and it parses to the same tree.

import IR

/// The canonical layout of a source text; throws if the text does not parse.
public func formatGraph(_ source: SourceFile) throws(Diagnostics) -> String {
  var formatter = Formatter(comments: try parseGraph(source), width: 100)
  return formatter.run()
}

private struct Formatter {
  private let file: SyntaxFile
  private let width: Int
  private var lines: [String] = []
  private var nextComment = 0
  private var indentation = 0
  /// The source line of what was printed last, for keeping blank lines.
  private var lastLine = 0
  private var atStartOfBody = true

  init(comments file: SyntaxFile, width: Int) {
    (self.file, self.width) = (file, width)
  }

  mutating func run() -> String {
    if let model = file.model {
      flushComments(before: model.position.offset)
      emit("model \(model.text)", line: model.position.line)
      let follower = file.items.first?.position.line ?? Int.max
      trailingComment(line: model.position.line, follower: follower)
    }
    sequence(file.items.map { ($0.position, $0.end) }, before: Int.max) { formatter, index in
      formatter.item(formatter.file.items[index])
    }
    while lines.last == "" { lines.removeLast() }
    return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
  }

  // MARK: Lines and comments

  private mutating func emit(_ text: String, line: Int) {
    if !atStartOfBody, line > lastLine + 1 { lines.append("") }
    atStartOfBody = false
    lines += wrapped(String(repeating: "  ", count: indentation) + text)
    lastLine = line
  }

  /// Prints the comments before an offset, each on a line of its own.
  private mutating func flushComments(before offset: Int) {
    while nextComment < file.comments.count {
      let comment = file.comments[nextComment]
      guard comment.position.offset < offset else { return }
      emit(comment.text, line: comment.position.line)
      nextComment += 1
    }
  }

  /// Puts a comment of this source line behind the line printed last.
  private mutating func trailingComment(line: Int, follower: Int) {
    guard follower > line, nextComment < file.comments.count,
      file.comments[nextComment].position.line == line
    else { return }
    lines[lines.count - 1] += "  " + file.comments[nextComment].text
    nextComment += 1
  }

  /// Prints elements in order, with the comments between them, up to the closing brace at `close`.
  private mutating func sequence(
    _ ranges: [(start: SyntaxPosition, end: SyntaxPosition)], before close: Int,
    _ print: (inout Formatter, Int) -> Void
  ) {
    for (index, range) in ranges.enumerated() {
      flushComments(before: range.start.offset)
      if !atStartOfBody, range.start.line > lastLine + 1 { lines.append("") }
      atStartOfBody = true
      print(&self, index)
      atStartOfBody = false
      lastLine = range.end.line
      let follower = index + 1 < ranges.count ? ranges[index + 1].start.line : Int.max
      trailingComment(line: range.end.line, follower: follower)
    }
    flushComments(before: close)
  }

  /// Breaks a line that is too long after a comma, or else at an operator.
  private func wrapped(_ line: String) -> [String] {
    guard line.count > width, !line.drop(while: { $0 == " " }).hasPrefix("#") else { return [line] }
    let continuation = String(repeating: "  ", count: indentation + 2)
    var result: [String] = []
    var rest = Array(line)
    while rest.count > width {
      guard let cut = breakPosition(in: rest, after: result.isEmpty ? 0 : continuation.count) else {
        break
      }
      var end = cut
      while end > 0, rest[end - 1] == " " { end -= 1 }
      result.append(String(rest[..<end]))
      rest = Array(continuation) + rest[cut...]
    }
    return result + [String(rest)]
  }

  /// The index at which the next line begins: the last one that fits, or the first after the width.
  private func breakPosition(in line: [Character], after start: Int) -> Int? {
    for separators in [
      [", "], [" |> "], [" + ", " - ", " and ", " or "], [" * ", " ..< ", " = "],
    ] {
      var best: Int?
      var inString = false
      for index in line.indices {
        if line[index] == "\"" { inString.toggle() }
        guard !inString, index > start + 1 else { continue }
        for separator in separators where line[index...].starts(with: separator) {
          // A pipe may begin a line, every other operator ends one.
          let cut = separator == " |> " ? index + 1 : index + separator.count
          if cut < line.count, cut <= width || best == nil { best = cut }
        }
      }
      if let best, best <= width || separators == [" * ", " ..< ", " = "] { return best }
    }
    return nil
  }

  // MARK: Items

  private mutating func item(_ item: SyntaxItem) {
    switch item.kind {
    case .include(let path): simple("include \"\(path)\"", item.position, item.end)
    case .needs(let names):
      simple("needs " + commaSeparated(names.map(\.text)), item.position, item.end)
    case .const(let bindings):
      simple("const " + commaSeparated(bindings.map(\.text)), item.position, item.end)
    case .preset(let name, let bindings, let open, let close):
      let none = SyntaxEntries(entries: [], open: open, close: close)
      self.bindings("preset \(name.text)", item.position, bindings, none)
    case .variant(let variant):
      let start = variant.start.map(\.text).joined(separator: " ")
      self.bindings(
        "variant \(variant.name.text) from \(start)", item.position, variant.bindings,
        variant.entries)
    case .block(let name, let inputs, let body):
      self.body("block \(name.text)(\(commaSeparated(inputs.map(\.text))))", item.position, body)
    case .forward(let inputs, let type, let body):
      self.body(
        "forward(\(commaSeparated(inputs.map(\.text)))) -> \(type.text)", item.position, body)
    case .section(let name, let kind, let preset, let entries):
      let words = [name.text, kind?.text, preset.map { "under \($0.text)" }].compactMap { $0 }
      self.entries(words.joined(separator: " "), item.position, entries)
    case .statement(let statement): self.statement(statement)
    }
  }

  /// Consts and entries in braces, in the order of the file. Bindings carry only their names' places;
  /// each ends where its line does.
  private mutating func bindings(
    _ header: String, _ start: SyntaxPosition, _ bindings: [SyntaxBinding], _ entries: SyntaxEntries
  ) {
    typealias Element = (start: SyntaxPosition, end: SyntaxPosition, simple: String?)
    var elements: [(Element, SyntaxEntry?)] = bindings.map {
      (($0.name.position, $0.name.position, $0.text), nil)
    }
    elements += entries.entries.map { (($0.position, $0.end, $0.simpleText), $0) }
    elements.sort { $0.0.start.offset < $1.0.start.offset }
    braces(header, start, entries.open, entries.close, elements.map(\.0)) { formatter, index in
      let (element, entry) = elements[index]
      if let entry {
        formatter.entry(entry, prefix: "")
      } else {
        formatter.simple(element.simple ?? "", element.start, element.end)
      }
    }
  }

  private mutating func simple(_ text: String, _ start: SyntaxPosition, _ end: SyntaxPosition) {
    flushComments(before: end.offset)
    emit(text, line: start.line)
  }

  // MARK: Bodies

  /// `header { … }` on one line if it was on one line, has one simple element at most, and fits.
  private mutating func braces(
    _ header: String, _ start: SyntaxPosition, _ open: SyntaxPosition, _ close: SyntaxPosition,
    _ elements: [(start: SyntaxPosition, end: SyntaxPosition, simple: String?)],
    _ print: (inout Formatter, Int) -> Void
  ) {
    flushComments(before: open.offset)
    if let inline = inlineBody(open, close, elements.map(\.simple)),
      fits("\(header) \(inline)")
    {
      emit("\(header) \(inline)", line: start.line)
      return
    }
    emit("\(header) {", line: start.line)
    inside(open, close, elements.map { ($0.start, $0.end) }, print)
    emit("}", line: lastLine)
  }

  private func fits(_ text: String) -> Bool { text.count + 2 * indentation <= width }

  private func inlineBody(
    _ open: SyntaxPosition, _ close: SyntaxPosition, _ elements: [String?]
  ) -> String? {
    if elements.isEmpty, !hasComment(from: open, to: close) { return "{}" }
    guard open.line == close.line, elements.count == 1, let only = elements[0] else { return nil }
    return "{ \(only) }"
  }

  private func hasComment(from open: SyntaxPosition, to close: SyntaxPosition) -> Bool {
    file.comments.contains {
      $0.position.offset > open.offset && $0.position.offset < close.offset
    }
  }

  /// The indented lines between two braces.
  private mutating func inside(
    _ open: SyntaxPosition, _ close: SyntaxPosition,
    _ ranges: [(start: SyntaxPosition, end: SyntaxPosition)],
    _ print: (inout Formatter, Int) -> Void
  ) {
    let first = ranges.first?.start ?? close
    if nextComment < file.comments.count, file.comments[nextComment].position.offset > open.offset {
      trailingComment(line: open.line, follower: first.line)
    }
    indentation += 1
    atStartOfBody = true
    sequence(ranges, before: close.offset, print)
    indentation -= 1
    atStartOfBody = true
  }

  private mutating func body(_ header: String, _ start: SyntaxPosition, _ body: SyntaxBody) {
    let statements = body.statements
    braces(
      header, start, body.open, body.close,
      statements.map { ($0.position, $0.end, $0.simpleText) }
    ) { formatter, index in formatter.statement(statements[index]) }
  }

  private mutating func statement(_ statement: SyntaxStatement) {
    switch statement.kind {
    case .loop(let name, let list, let body):
      self.body("for \(name.text) in \(list.text)", statement.position, body)
    case .conditional:
      if let inline = inlineConditional(statement),
        !hasComment(from: statement.position, to: statement.end), fits(inline)
      {
        emit(inline, line: statement.position.line)
      } else {
        conditional(statement, prefix: "")
      }
    case .otherwise: break
    default: simple(statement.simpleText ?? "", statement.position, statement.end)
    }
  }

  private func inlineConditional(_ statement: SyntaxStatement) -> String? {
    switch statement.kind {
    case .conditional(let condition, let then, let otherwise):
      guard let body = inlineBody(then) else { return nil }
      let text = "if \(condition.text) \(body)"
      guard let otherwise else { return text }
      return inlineConditional(otherwise).map { "\(text) else \($0)" }
    case .otherwise(let body): return inlineBody(body)
    default: return nil
    }
  }

  private func inlineBody(_ body: SyntaxBody) -> String? {
    inlineBody(body.open, body.close, body.statements.map(\.simpleText))
  }

  private mutating func conditional(_ statement: SyntaxStatement, prefix: String) {
    let (header, body, otherwise): (String, SyntaxBody, SyntaxStatement?)
    switch statement.kind {
    case .conditional(let condition, let then, let rest):
      (header, body, otherwise) = ("\(prefix)if \(condition.text) {", then, rest)
    case .otherwise(let last): (header, body, otherwise) = ("\(prefix){", last, nil)
    default: return
    }
    if prefix.isEmpty { flushComments(before: body.open.offset) }
    emit(header, line: statement.position.line)
    inside(body.open, body.close, body.statements.map { ($0.position, $0.end) }) {
      formatter, index in formatter.statement(body.statements[index])
    }
    if let otherwise {
      conditional(otherwise, prefix: "} else ")
    } else {
      emit("}", line: lastLine)
    }
  }

  // MARK: Sections

  private mutating func entries(
    _ header: String, _ start: SyntaxPosition, _ entries: SyntaxEntries
  ) {
    braces(
      header, start, entries.open, entries.close,
      entries.entries.map { ($0.position, $0.end, $0.simpleText) }
    ) { formatter, index in formatter.entry(entries.entries[index], prefix: "") }
  }

  private mutating func entry(_ entry: SyntaxEntry, prefix: String) {
    switch entry.kind {
    case .plain(let atoms, nil):
      simple(prefix + atoms.map(\.text).joined(separator: " "), entry.position, entry.end)
    case .plain(let atoms, let nested?):
      entries(prefix + atoms.map(\.text).joined(separator: " "), entry.position, nested)
    case .otherwise(let nested): entries(prefix, entry.position, nested)
    case .conditional(let condition, let then, let otherwise):
      if let inline = inlineText(entry), prefix.isEmpty, fits(inline),
        !hasComment(from: entry.position, to: entry.end)
      {
        emit(inline, line: entry.position.line)
        return
      }
      flushComments(before: then.open.offset)
      emit("\(prefix)if \(condition.text) {", line: entry.position.line)
      inside(then.open, then.close, then.entries.map { ($0.position, $0.end) }) {
        formatter, index in formatter.entry(then.entries[index], prefix: "")
      }
      lastLine = then.close.line
      guard let otherwise else {
        emit("}", line: lastLine)
        return
      }
      lastPart(otherwise)
    }
  }

  /// What follows `else` in a section: always braces, so that the layout has one form.
  private mutating func lastPart(_ otherwise: SyntaxEntry) {
    switch otherwise.kind {
    case .otherwise(let nested):
      emit("} else {", line: lastLine)
      inside(nested.open, nested.close, nested.entries.map { ($0.position, $0.end) }) {
        formatter, index in formatter.entry(nested.entries[index], prefix: "")
      }
      emit("}", line: lastLine)
    default: entry(otherwise, prefix: "} else ")
    }
  }

  private func inlineText(_ entry: SyntaxEntry) -> String? {
    switch entry.kind {
    case .plain: return entry.simpleText
    case .otherwise(let nested):
      return inlineBody(nested.open, nested.close, nested.entries.map(\.simpleText))
    case .conditional(let condition, let then, let otherwise):
      guard let body = inlineBody(then.open, then.close, then.entries.map(\.simpleText)) else {
        return nil
      }
      let text = "if \(condition.text) \(body)"
      guard let otherwise else { return text }
      return inlineText(otherwise).map { "\(text) else \($0)" }
    }
  }
}

extension SyntaxEntry {
  /// The text of an entry without braces; nil for every other.
  var simpleText: String? {
    guard case .plain(let atoms, nil) = kind else { return nil }
    return atoms.map(\.text).joined(separator: " ")
  }
}
