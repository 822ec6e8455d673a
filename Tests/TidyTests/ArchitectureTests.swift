// SPDX-License-Identifier: Apache-2.0
// What ARCHITECTURE.md claims of the tree, read off the tree.

import Foundation
import Passes
import TestSupport
import Testing

@Suite struct ArchitectureTests {
  private static func architecture() throws -> String { try Repository.text("ARCHITECTURE.md") }

  /// All files of Sources.
  private static let sources: [String] = {
    let root = Repository.root.appendingPathComponent("Sources")
    let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)
    let paths = (files?.allObjects as? [URL] ?? []).filter { !$0.hasDirectoryPath }.map(\.path)
    return paths.map { String($0.dropFirst(Repository.root.path.count + 1)) }.sorted()
  }()

  /// Lines of a source without comments and what follows them.
  private static func code(_ path: String) throws -> [String] {
    try Repository.text(path).components(separatedBy: "\n").map { line in
      line.range(of: "//").map { String(line[..<$0.lowerBound]) } ?? line
    }
  }

  // MARK: Imports

  /// Rows of the code map: a folder of Swift, and what it may import.
  private static let codeMap: [(folder: String, imports: Set<String>)] = {
    let rows = ((try? architecture()) ?? "").matches(of: /\n\| (Sources[^ |]*) \|[^|]*\|([^|]*)\|/)
    return rows.map { row in
      (String(row.1), Set(row.2.split(separator: ",").map { $0.filter { $0 != " " } }))
    }
  }()

  private static func imports(in folder: String) throws -> Set<String> {
    var found = Set<String>()
    for path in sources where path.hasPrefix(folder + "/") && path.hasSuffix(".swift") {
      for match in try Repository.text(path).matches(of: /(?m)^(?:@\w+ )?import (\w+)/) {
        found.insert(String(match.1))
      }
    }
    return found
  }

  @Test func everyFolderImportsWhatTheCodeMapSays() throws {
    #expect(Self.codeMap.count == 7)
    for (folder, imports) in Self.codeMap where folder != "Sources/Runtime/Kernels" {
      let found = try Self.imports(in: folder)
      #expect(found == imports.subtracting(["nothing"]), "\(folder)")
    }
  }

  // MARK: Absences

  @Test func onlyTheCommandLinePrintsAndExits() throws {
    let calls =
      /(^|[^.\w])(print\("|exit\(|fatalError\(|debugPrint\()|FileHandle\.standard(Output|Error)/
    for path in Self.sources where path.hasSuffix(".swift") && !path.hasPrefix("Sources/graphc/") {
      for line in try Self.code(path) where !line.contains("func ") {
        #expect(line.firstMatch(of: calls) == nil, "\(path): \(line)")
      }
    }
  }

  /// Memory is taken where a plan is bound or the machine is measured; kernels' bodies take none.
  @Test func kernelsAllocateNothing() throws {
    let allocating: Set = ["run.c", "gemm.c", "peak.c"]
    let calls = /\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|alloca|abort|exit)\s*\(/
    for path in Self.sources where path.hasPrefix("Sources/Runtime/Kernels/") {
      if allocating.contains(String(path.split(separator: "/").last!)) { continue }
      for line in try Self.code(path) {
        #expect(line.firstMatch(of: calls) == nil, "\(path): \(line)")
      }
    }
  }

  @Test func everyVariableOfTheEnvironmentIsNamed() throws {
    let text = try Self.architecture()
    var names = Set<String>()
    for path in Self.sources {
      let source = try Repository.text(path)
      for match in source.matches(of: /(?:getenv\(|environment\[)"(\w+)"/) {
        names.insert(String(match.1))
      }
    }
    #expect(names.count >= 4)
    for name in names { #expect(text.contains("`\(name)`"), "\(name)") }
  }

  /// A switch over ops without a default makes a new op show every place that must know it.
  @Test func switchesOverOpsNameEveryOp() throws {
    // Counts the products of a model for the floor of a benchmark, and nothing else of it.
    let exceptions: Set = ["Sources/graphc/ModelFlops.swift"]
    for path in Self.sources where path.hasSuffix(".swift") && !exceptions.contains(path) {
      let lines = try Self.code(path)
      for (index, line) in lines.enumerated()
      where line.firstMatch(of: /switch (\w+\.)?(op|kernel) \{/) != nil {
        let indent = line.prefix { $0 == " " }
        let body = lines[(index + 1)...].prefix { $0 != indent + "}" }
        #expect(!body.contains { $0.hasPrefix(indent + "default:") }, "\(path):\(index + 1)")
      }
    }
  }

  // MARK: Files

  @Test func everySourceIsBuilt() throws {
    let bodies = try Self.sources.filter { $0.contains("/Kernels") }.map(Repository.text).joined()
    for path in Self.sources {
      let name = String(path.split(separator: "/").last!)
      let suffix = String(name.split(separator: ".").last!)
      #expect(["swift", "c", "cc", "h", "inc", "modulemap"].contains(suffix), "\(path)")
      if suffix == "inc" { #expect(bodies.contains("\(name)\""), "\(path)") }
    }
  }

  @Test(arguments: sources) func sourcesAreOfAReadableLength(_ path: String) throws {
    let text = try Repository.text(path)
    let first = text.prefix { $0 != "\n" }
    #expect(first.contains("SPDX-License-Identifier: Apache-2.0") || path.hasSuffix(".modulemap"))
    #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count <= 400 + 1)
  }

  /// Helpers, parents of suites that run one by one, and the test of the files of graphs/records.
  private static let parents: Set = ["RuntimeTests", "RecordTests"]

  @Test(arguments: Repository.files(in: "Tests", extension: "swift"))
  func testsAreNamedAfterASource(_ path: String) {
    let name = String(path.split(separator: "/").last!.dropLast(".swift".count))
    guard name.hasSuffix("Tests"), !path.hasPrefix("Tests/TidyTests/"),
      !Self.parents.contains(name)
    else { return }
    let stem = name.dropLast("Tests".count).lowercased()
    let isNamed = Self.sources.contains { source in
      let file = source.split(separator: "/").last!.split(separator: ".")[0].lowercased()
      return stem.hasPrefix(file.replacing("_", with: ""))
    }
    #expect(isNamed, "no source's name begins that of \(path)")
  }

  // MARK: Words

  /// Files and identifiers of the walks, so that whoever follows them does not end at a wall.
  @Test func theWalksNameWhatIsThere() throws {
    let text = try Self.architecture()
    let start = try #require(text.range(of: "## Two walks")).upperBound
    let stop = try #require(text.range(of: "## Ideas")).lowerBound
    let all = try Self.sources.map(Repository.text).joined(separator: "\n")
    var words = Set<String>()
    for code in text[start..<stop].matches(of: /`([^`]+)`/) {
      for word in code.1.split(whereSeparator: { !$0.isLetter && !$0.isNumber && $0 != "_" }) {
        if word.count > 2 { words.insert(String(word)) }
      }
    }
    #expect(words.count > 40)
    let extensions: Set = ["swift", "inc", "graph"]
    for word in words.subtracting(extensions) {
      let isFile = Self.sources.contains { $0.contains("/\(word).") }
      #expect(isFile || all.contains(word), "\(word)")
    }
  }

  /// The example in a pass's doc comment calls ops that its goldens have on the same side.
  @Test(arguments: Repository.files(in: "Sources/Passes", extension: "swift"))
  func examplesOfPassesAreOfTheirGoldens(_ path: String) throws {
    let source = try Repository.text(path)
    for example in Self.examples(source) {
      let names = Set(example.passes).intersection(Pipeline.all.map(\.name))
      if names.isEmpty, !source.contains("= Pass(") { continue }
      let goldens = try Repository.files(in: "Tests/Golden/Passes").compactMap { file in
        let text = try Repository.text(file)
        let tag = text.dropFirst("# pass: ".count).prefix { $0 != " " && $0 != "\n" }
        return names.contains(String(tag)) ? text.components(separatedBy: "# ---\n") : nil
      }
      #expect(!goldens.isEmpty, "\(path): \(names)")
      for op in example.before {
        #expect(goldens.contains { $0[0].contains(op) }, "\(path): \(op) in a golden's input")
      }
      for op in example.after {
        #expect(goldens.contains { $0[1].contains(op) }, "\(path): \(op) in a golden's result")
      }
    }
  }

  private struct Example {
    /// Tags of the pass below the comment.
    var passes: [String]
    var before: Set<String> = []
    var after: Set<String> = []
  }

  /// Doc comments with an arrow: calls left of it, or above it, and those behind it.
  private static func examples(_ source: String) -> [Example] {
    var examples: [Example] = []
    let lines = source.components(separatedBy: "\n")
    var block: [String] = []
    for (index, line) in lines.enumerated() {
      let trimmed = line.drop { $0 == " " }
      if trimmed.hasPrefix("///     ") {
        block.append(String(trimmed.dropFirst(8)))
        continue
      }
      defer { if !trimmed.hasPrefix("///") { block = [] } }
      guard !trimmed.hasPrefix("///"), block.contains(where: { $0.contains("->") }) else {
        continue
      }
      let declared = lines[index...].prefix(4).joined(separator: "\n")
      let tags = declared.matches(of: /"([a-z]+(?:-[a-z]+)*)"/).map { String($0.1) }
      var example = Example(passes: tags)
      let arrow = block.firstIndex { $0.contains("->") }!
      let column = block[arrow].distance(
        from: block[arrow].startIndex, to: block[arrow].range(of: "->")!.lowerBound)
      let isBetween = block[arrow].trimmingCharacters(in: .whitespaces) == "->"
      for (row, text) in block.enumerated() where row != arrow || !isBetween {
        let left = isBetween ? (row < arrow ? text : "") : String(text.prefix(column))
        let right = isBetween ? (row > arrow ? text : "") : String(text.dropFirst(column))
        example.before.formUnion(left.matches(of: /= ([a-z_]+\()/).map { String($0.1) })
        example.after.formUnion(right.matches(of: /= ([a-z_]+\()/).map { String($0.1) })
      }
      examples.append(example)
    }
    return examples
  }
}
