// SPDX-License-Identifier: Apache-2.0
// A model's files, parsed and spliced: includes, needs, and which consts each file sees.

import IR

/// A block with the file it stands in.
struct Block {
  let name: SyntaxName
  let inputs: [SyntaxInput]
  let body: SyntaxBody
  let path: String
}

/// An item with the file it stands in.
struct LoadedItem {
  let item: SyntaxItem
  let path: String
}

/// All files of a model as one list of items, in order.
struct Program {
  var model = ""
  let mainPath: String
  var sources: [SourceFile] = []
  var items: [LoadedItem] = []
  var files: [SyntaxFile] = []
  var blocks: [String: Block] = [:]
  /// The consts that a library sees: its own, those of its includes, and its needs.
  var visible: [String: Set<String>] = [:]
  var diagnostics: [Diagnostic] = []

  init(mainPath: String) { self.mainPath = mainPath }

  /// Whether a const may be read in a file. The main file sees all of them.
  func sees(_ constant: String, in path: String) -> Bool {
    path == mainPath || visible[path]?.contains(constant) ?? true
  }

  func location(_ place: SyntaxPosition, in path: String) -> SourceLocation {
    SourceLocation(path: path, line: place.line, column: place.column)
  }

  mutating func report(
    _ code: DiagnosticCode, _ message: String, at place: SourceLocation,
    suggestion: @autoclosure () -> String? = nil, notes: [Diagnostic.Note] = []
  ) {
    guard diagnostics.count < Diagnostics.limit else { return }
    diagnostics.append(
      Diagnostic(code, message, at: place, notes: notes, suggestion: suggestion()))
  }
}

/// Loads the files of a program.
struct ProgramLoader {
  let read: (String) throws -> String
  var program: Program
  private var open: [String] = []
  /// Where the file being read was included.
  private var includeSite: SourceLocation?
  private var loaded: Set<String> = []
  private var declared: [String: (what: String, place: SourceLocation)] = [:]

  init(mainPath: String, read: @escaping (String) throws -> String) {
    self.read = read
    program = Program(mainPath: mainPath)
  }

  mutating func load(_ source: SourceFile) {
    program.sources.append(source)
    open.append(source.path)
    loaded.insert(source.path)
    defer { open.removeLast() }
    let file: SyntaxFile
    do throws(Diagnostics) {
      file = try parseGraph(source)
    } catch {
      program.diagnostics += error.all
      return
    }
    program.files.append(file)
    let isMain = source.path == program.mainPath
    if isMain {
      program.model = file.model?.text ?? ""
      if file.model == nil {
        program.report(
          .badForward, "the file has no 'model' and is a library",
          at: SourceLocation(path: source.path, line: 1, column: 1),
          suggestion: "begin it with: model NAME")
      }
    } else if let model = file.model {
      program.report(
        .includeFailed, "'\(source.path)' is a model and cannot be included",
        at: program.location(model.position, in: source.path))
    }
    program.visible[source.path] = []
    for item in file.items { add(item, path: source.path, isMain: isMain) }
  }

  private mutating func add(_ item: SyntaxItem, path: String, isMain: Bool) {
    let place = program.location(item.position, in: path)
    switch item.kind {
    case .include(let relative): include(relative, from: path, at: place)
    case .needs(let names):
      for name in names {
        program.visible[path]?.insert(name.text)
        if declared[name.text]?.what != "const" {
          program.report(
            .needsMissing, "the library needs a const '\(name.text)' declared above its include",
            at: program.location(name.position, in: path),
            suggestion: suggestion(
              for: name.text, among: declared.filter { $0.value.what == "const" }.keys.sorted()),
            notes: includeSite.map { [.init("it is included here", at: $0)] } ?? [])
        }
      }
    case .const(let bindings):
      for binding in bindings {
        declare(binding.name, "const", path)
        program.visible[path]?.insert(binding.name.text)
      }
      program.items.append(LoadedItem(item: item, path: path))
    case .block(let name, let inputs, let body):
      declare(name, "block", path)
      program.blocks[name.text] = Block(name: name, inputs: inputs, body: body, path: path)
    case .forward, .section, .preset, .variant:
      if !isMain {
        program.report(
          .misplaced, "a library declares consts and blocks; this belongs into the model", at: place
        )
      }
      program.items.append(LoadedItem(item: item, path: path))
    case .statement(let statement):
      declareNames(statement, path)
      program.items.append(LoadedItem(item: item, path: path))
    }
  }

  private mutating func declareNames(_ statement: SyntaxStatement, _ path: String) {
    switch statement.kind {
    case .param(let params, _, _): for param in params { declare(param.name, "param", path) }
    case .part(let parts): for part in parts { declare(part.name, "part", path) }
    default: break
    }
  }

  private mutating func declare(_ name: SyntaxName, _ what: String, _ path: String) {
    let place = program.location(name.position, in: path)
    if let first = declared[name.text] {
      program.report(
        .alreadyDeclared, "'\(name.text)' is already declared", at: place,
        notes: [.init("it is a \(first.what) here", at: first.place)])
      return
    }
    declared[name.text] = (what, place)
  }

  private mutating func include(_ relative: String, from path: String, at place: SourceLocation) {
    let target = Self.resolve(relative, from: path)
    if open.contains(target) {
      program.report(.includeFailed, "'\(target)' includes itself", at: place)
      return
    }
    guard !loaded.contains(target) else {
      see(target, from: path)
      return
    }
    guard target.hasSuffix(".graph") else {
      program.report(
        .includeFailed, "'\(target)' is no .graph file and is not read", at: place,
        suggestion: "an included file has a name that ends in .graph")
      return
    }
    guard open.count < Limits.includes else {
      program.report(
        .tooDeep, "more than \(Limits.includes) files include each other in a row", at: place,
        suggestion: "include '\(target)' from the main file, above this include")
      return
    }
    let text: String
    do {
      text = try read(target)
    } catch {
      program.report(
        .includeFailed, "cannot read '\(target)'", at: place, notes: [.init("\(error)")])
      return
    }
    let outer = includeSite
    includeSite = place
    load(SourceFile(path: target, text: text))
    includeSite = outer
    see(target, from: path)
  }

  /// A file sees the consts of what it includes.
  private mutating func see(_ target: String, from path: String) {
    let more = program.visible[target] ?? []
    program.visible[path]?.formUnion(more)
  }

  /// A path relative to the folder of another, without `.` and inner `..`.
  static func resolve(_ relative: String, from path: String) -> String {
    if relative.hasPrefix("/") { return relative }
    var parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    for part in relative.split(separator: "/") where part != "." {
      if part == "..", let last = parts.last, last != "..", !last.isEmpty {
        parts.removeLast()
      } else {
        parts.append(part)
      }
    }
    return parts.joined(separator: "/")
  }
}
