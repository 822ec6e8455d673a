// SPDX-License-Identifier: Apache-2.0
// The printed form of diagnostics: excerpt, caret, chain of calls, notes, repeated errors.

import Foundation
import IR
import Language
import TestSupport
import Testing

@Suite struct DiagnosticTests {
  private func rendered(_ text: String) -> String {
    do {
      _ = try Repository.model(text: text)
      return ""
    } catch {
      return (error as? Diagnostics)?.rendered() ?? "\(error)"
    }
  }

  @Test func anErrorInALoopedBlockIsPrintedOnceWithItsChain() {
    let text = """
      model m
      param e [3, 2]  init normal(1)  group embedding
      part blocks[i in 0 ..< 4] = Layer()
      block Layer(x) {
        part inner = Inner()
        return inner(x)
      }
      block Inner(x) { return square(x) + leaky_relu(x, slop: 0.5) }
      forward(ids: tokens[B, T]) -> dist[B, T, 3] {
        x = embed(e, ids)
        for i in 0 ..< 4 { x = blocks[i](e) }
        return softmax(linear(x, e))
      }
      """
    #expect(
      rendered(text) == """
        graphs/test.graph:8:51: error: leaky_relu has no 'slop' [E0213]
        8 | block Inner(x) { return square(x) + leaky_relu(x, slop: 0.5) }
          |                                                   ^^^^
          note: in blocks.0.inner, called at graphs/test.graph:6:10, \
        called at graphs/test.graph:11:26, i = 0
          note: and 3 others like it
          help: did you mean 'slope'?

        """)
  }

  @Test func notesShowBothDeclarations() {
    let text = "model m\nconst a = 1\nblock a(x) { return x }\n"
    #expect(
      rendered(text) == """
        graphs/test.graph:3:7: error: 'a' is already declared [E0202]
        3 | block a(x) { return x }
          |       ^
        graphs/test.graph:2:7: note: it is a const here
        2 | const a = 1
          |       ^

        """)
  }

  @Test func tabsAndStringsKeepTheCaretInPlace() {
    let text = "model m\nconst b = 2\n\tinclude \"no where.graph\" b\n"
    #expect(rendered(text).contains("\t                         ^"))
  }

  @Test func locationsReadBack() throws {
    let place = SourceLocation(
      path: "lib/a.graph", line: 4, column: 7, loops: [LoopValue(name: "k", value: "0.5")],
      callers: [
        CallSite(path: "lib/a.graph", line: 1, column: 2),
        CallSite(
          path: "graphs/test.graph", line: 9, column: 3, loops: [LoopValue(name: "i", value: "2")]),
      ])
    #expect(place.description == "lib/a.graph:4:7 k=0.5 < 1:2 < graphs/test.graph:9:3 i=2")
    #expect(SourceLocation(place.description) == place)
    #expect(SourceLocation("nonsense") == nil)
  }

  @Test func suggestionsAreNear() {
    #expect(nearest(to: "widht", among: ["width", "height"]) == "width")
    #expect(nearest(to: "zzz", among: ["width"]) == nil)
    #expect(editDistance("ab", "ba") == 1 && editDistance("", "abc") == 3)
  }

  @Test func codesAreUniqueAndExplained() {
    let codes = DiagnosticCode.all
    #expect(Set(codes.map(\.rawValue)).count == codes.count)
    #expect(codes.allSatisfy { $0.explanation.hasSuffix(".") })
  }

  @Test func everyCodeOfTheSourcesIsInTheOneList() throws {
    let known = Set(DiagnosticCode.all.map(\.rawValue))
    let sources = Repository.root.appendingPathComponent("Sources")
    let files = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
    var found: Set<String> = []
    for case let file as URL in try #require(files) where file.pathExtension == "swift" {
      let text = try String(contentsOf: file, encoding: .utf8)
      for match in text.matches(of: /DiagnosticCode\(\s*"([A-Z]\d{4})"/) {
        found.insert(String(match.1))
      }
    }
    #expect(found == known)
  }

  @Test(arguments: DiagnosticCode.all.filter { $0.example != nil })
  func theWrongExampleRaisesItsCodeAndTheRightOneCompiles(code: DiagnosticCode) throws {
    let example = try #require(code.example)
    let errors = rendered(example.file(example.wrong))
    #expect(errors.contains("[\(code.rawValue)]"), "\(errors)")
    #expect(rendered(example.file(example.right)) == "")
  }
}
