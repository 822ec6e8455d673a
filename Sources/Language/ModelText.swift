// SPDX-License-Identifier: Apache-2.0
// The core text of a model: the forward functions of its variants, then the settings.

import IR

extension Model {
  /// The core text: one function a variant, then the settings. Reads back byte for byte.
  public func printed() -> String {
    var text = "core 1 \"\(name)\"\n"
    for variant in variants {
      if let start = variant.start {
        let entries = variant.entryTexts
        text += "\nvariant \(variant.name) from \(start.text)"
        if !entries.isEmpty { text += " { \(entries.joined(separator: "; ")) }" }
      }
      text += "\n" + variant.graph.printed()
    }
    return text + "\n" + settings.text
  }

  /// Whether a text is core text and not a surface file.
  public static func isCore(_ text: String) -> Bool { text.hasPrefix("core ") }

  /// Reads what `printed` writes. Sections that are not in `used` are left out of the settings.
  public static func parse(
    path: String, text: String, used: Set<SectionName> = SectionName.all
  ) throws(Diagnostics) -> Model {
    let source = SourceFile(path: path, text: text)
    func fail(_ line: Int, _ message: String) -> Diagnostics {
      let place = SourceLocation(path: path, line: line, column: 1)
      return Diagnostics([Diagnostic(.badCore, message, at: place)], sources: [source])
    }
    let header = source.lines[0].split(separator: "\"", omittingEmptySubsequences: false)
    guard header.count == 3, header[0] == "core 1 ", header[2].isEmpty, !header[1].isEmpty else {
      throw fail(1, "expected 'core 1 \"NAME\"'")
    }
    var variants: [Variant] = []
    var line = 1
    while true {
      while line < source.lines.count, source.lines[line].isEmpty { line += 1 }
      guard line < source.lines.count else { break }
      let isVariant = source.lines[line].hasPrefix("variant ")
      guard isVariant || variants.isEmpty else { break }
      var variant = Variant(name: "", start: nil, graph: Graph(name: ""))
      if isVariant {
        if variants.isEmpty { throw fail(line + 1, "the first function has no variant") }
        variant = try variantHeader(source, line: line)
        line += 1
      }
      var parser = CoreParser(source, firstLine: line)
      variant.graph = try parser.function()
      line = parser.nextLine
      variants.append(variant)
    }
    if variants.isEmpty { throw fail(2, "expected a function") }
    let settings = try self.settings(source, from: line, used: used)
    let model = Model(
      name: String(header[1]), variants: variants, settings: settings, sources: [source])
    let errors = variants.flatMap { variant in
      let head = SourceLocation(path: path, line: 1, column: 1)
      return variant.graph.forwardErrors(at: head) { source.line(making: $0, of: variant.graph) }
    }
    if !errors.isEmpty { throw Diagnostics(errors, sources: [source]) }
    for variant in variants where !variant.graph.declaresEqually(model.graph) {
      throw fail(1, "the params of the variant '\(variant.name)' are not those of the base")
    }
    if let train = settings.train, let error = model.sizesError(train) {
      throw fail(1, error.message)
    }
    let unstorable = settings.quantize?.unstorable(model.graph.parameters) ?? []
    if !unstorable.isEmpty { throw Diagnostics(unstorable, sources: [source]) }
    return model
  }

  private static func variantHeader(
    _ source: SourceFile, line: Int
  ) throws(Diagnostics) -> Variant {
    let text = source.lines[line]
    let file = try parseGraph(
      source.path, lines: [text.hasSuffix("}") ? text : text + " {}"], from: line)
    guard case .variant(let syntax)? = file.items.first?.kind else {
      return Variant(name: "", start: nil, graph: Graph(name: ""))
    }
    let none = ConstantEvaluator.empty(path: source.path)
    var reader = SectionReader(evaluator: none)
    var variant = Variant(name: syntax.name.text, start: nil, graph: Graph(name: ""))
    do throws(Diagnostic) {
      variant.start = try SectionReader.start(syntax, evaluator: none)
    } catch {
      throw Diagnostics([error], sources: [source])
    }
    reader.read(syntax.entries, isCore: true, into: &variant)
    if !reader.diagnostics.isEmpty {
      throw Diagnostics(reader.diagnostics, sources: [source])
    }
    return variant
  }

  private static func settings(
    _ source: SourceFile, from line: Int, used: Set<SectionName>
  ) throws(Diagnostics) -> Settings {
    let file = try parseGraph(source.path, lines: source.lines[line...], from: line)
    var reader = SectionReader(evaluator: .empty(path: source.path), used: used)
    var diagnostics: [Diagnostic] = []
    for item in file.items {
      if case .section(let name, let kind, under: nil, let entries) = item.kind,
        name.text != "init"
      {
        reader.read(name, kind: kind, entries)
      } else {
        let place = SourceLocation(
          path: source.path, line: item.position.line, column: item.position.column)
        diagnostics.append(Diagnostic(.badCore, "expected a section of settings", at: place))
      }
    }
    diagnostics += reader.diagnostics
    if !diagnostics.isEmpty { throw Diagnostics(diagnostics, sources: [source]) }
    return reader.settings
  }
}

extension ConstantEvaluator {
  /// Knows no const: for texts in which every number is written out.
  public static func empty(path: String) -> ConstantEvaluator {
    ConstantEvaluator(path: path, names: { [] }, lookup: { _ in nil })
  }
}

extension SourceFile {
  /// The line of core text that makes a value: the last one, if several functions have the name.
  fileprivate func line(making value: Value, of graph: Graph) -> SourceLocation? {
    let name = "%" + graph.name(value)
    let line = lines.lastIndex { line in
      // `%y, %lse = attention(…)`: the names stand before the first equals sign.
      line.contains(name)
        && line.prefix { $0 != "=" }.split(separator: ",").contains {
          $0.drop { $0 == " " }.prefix { $0 != " " } == name
        }
    }
    return line.map { SourceLocation(path: path, line: $0 + 1, column: 1) }
  }
}

extension Graph {
  /// Whether both declare the same params: paths, types, groups and inits.
  fileprivate func declaresEqually(_ other: Graph) -> Bool {
    parameters.elementsEqual(other.parameters) {
      $0.path == $1.path && $0.type == $1.type && $0.group == $1.group && $0.initial == $1.initial
    }
  }
}
