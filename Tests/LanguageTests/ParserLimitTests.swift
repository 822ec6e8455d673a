// SPDX-License-Identifier: Apache-2.0
// Large and deep texts: time grows with the text, depth ends in a message, messages stay short.

import IR
import Language
import TestSupport
import Testing

@Suite struct ParserLimitTests {
  /// A small model with declarations and statements put in.
  private func model(_ declarations: String = "", _ statements: String = "") -> String {
    """
    model m
    const vocab = 8, dim = 4
    param table [vocab, dim]  group embedding
    \(declarations)
    forward(ids: tokens[B, T]) -> dist[B, T, vocab] {
      x = embed(table, ids)
      \(statements)
      return softmax(linear(x, table))
    }
    """
  }

  private func lines(_ count: Int, _ line: (Int) -> String) -> String {
    (0..<count).map(line).joined(separator: "\n")
  }

  /// The errors of a text; empty if it compiles.
  private func errors(
    _ text: String, files: @escaping (String) throws -> String = Repository.text
  ) -> Diagnostics {
    do throws(Diagnostics) {
      _ = try elaborate(file: SourceFile(path: "m.graph", text: text), includes: files)
    } catch {
      return error
    }
    return Diagnostics([])
  }

  // MARK: Time

  @Test(.timeLimit(.minutes(1)), arguments: ["\n", "# a comment\n"])
  func linesWithoutStatementsAreReadInLinearTime(_ line: String) {
    let many = String(repeating: line, count: 400_000)
    #expect(errors(many + model()).all.isEmpty)
    #expect(errors(model("", many)).all.isEmpty)
  }

  @Test(.timeLimit(.minutes(1))) func constsAreEvaluatedInLinearTime() {
    let count = 64_000
    let text = model(
      lines(count) { $0 == 0 ? "const c0 = 1" : "const c\($0) = c\($0 - 1)" }
        + "\nparam gain [c\(count - 1)]  init zeros  group scalar", "x = x + gain")
    #expect(errors(text).all.isEmpty)
  }

  @Test(.timeLimit(.minutes(1))) func paramsAreDeclaredInLinearTime() {
    let count = 8000
    let text = model(
      lines(count) { "param p\($0) [dim]  init zeros  group scalar" },
      lines(count) { "x = x + p\($0)" })
    #expect(errors(text).all.isEmpty)
  }

  @Test(.timeLimit(.minutes(1))) func longListsOfNumbersAreReadInLinearTime() {
    let rows = [String](repeating: "1", count: 60_000).joined(separator: ", ")
    let text = model(
      "param rows [60_000, 1]  init rows(\(rows))  group scalar", "x = x + rows[0]")
    #expect(errors(text).all.isEmpty)
  }

  // MARK: Many errors

  @Test func noMoreErrorsAreLookedForThanAnybodyReads() {
    for text in [
      model("", "x = " + String(repeating: "(", count: 16_000)),
      model("", lines(16_000) { "y\($0) = (x" }),
      model("", lines(4000) { "y\($0) = nowhere\($0) + 1" }),
      model("", lines(16_000) { "y\($0) = = 1" }),
      model("const " + (0..<16_000).map { "c\($0) = 1" }.joined(separator: ", ")),
      model(lines(4000) { _ in "block Same(x) { return x }" }),
      "train {\n" + lines(4000) { "nonsense\($0) 1" } + "\n}\n" + model(),
    ] {
      let found = errors(text)
      #expect(!found.all.isEmpty && found.all.count <= Diagnostics.limit)
      #expect(found.rendered().utf8.count < 20_000)
    }
  }

  @Test func anErrorThatALoopRepeatsIsCountedOnce() {
    let text = model("", "for i in 0 ..< 300 { y = nowhere + i }\nz = elsewhere")
    #expect(
      errors(text).all.map(\.message).sorted() == [
        "there is no 'elsewhere' here", "there is no 'nowhere' here",
      ])
  }

  @Test func longLinesAndNamesAreShownInPart() {
    for text in [
      model(
        "",
        "x = " + String(repeating: "(", count: 20_000) + "x" + String(repeating: ")", count: 20_000)
      ),
      model("", "x = x + " + String(repeating: "a", count: 200_000)),
      model("param long [\(String(repeating: "1 * ", count: 300))0.5]  init zeros  group scalar"),
    ] {
      let found = errors(text)
      #expect(found.all.count == 1)
      #expect(found.rendered().utf8.count < 2000)
    }
  }

  @Test func aSizeThatIsTooLargeIsReportedOnce() {
    let text = model(
      lines(20) { "param p\($0) [1_000_000_000, 1_000_000_000]" },
      "x = x + " + (0..<20).map { "p\($0)" }.joined(separator: " + "))
    #expect(errors(text).all.map(\.code) == [.tooLarge])
  }

  // MARK: Depth

  @Test func deepNestingIsRefusedWhereverItStands() {
    let high = String(repeating: " + 1", count: 499)
    let chain = { (count: Int, body: (Int) -> String) in
      model(
        lines(count) { "block B\($0)(x) {\npart next = B\($0 + 1)()\n\(body($0))\n}" }
          + "\nblock B\(count)(x) { return x }\npart first = B0()", "x = first(x)")
    }
    for text in [
      model(
        "",
        "x = " + String(repeating: "(", count: 58) + "x" + String(repeating: high + ")", count: 58)
      ),
      chain(3000) { _ in "return next(x)" },
      chain(99) { _ in
        "return " + String(repeating: "(", count: 55) + "next(x)"
          + String(repeating: " + 1)", count: 55)
      },
      chain(90) { _ in
        String(repeating: "if true {", count: 28) + "return next(x)"
          + String(repeating: "}", count: 28)
      },
    ] {
      #expect(errors(text).all.map(\.code) == [.tooDeep])
    }
  }

  @Test func filesThatIncludeEachOtherInARowAreRefused() {
    let found = errors(model("include \"0.graph\"")) { path in
      let number = Int(path.dropLast(6)) ?? 0
      return number < 3000 ? "include \"\(number + 1).graph\"\n" : "const last = 1\n"
    }
    #expect(found.all.map(\.code) == [.tooDeep])
  }

  @Test func onlyGraphFilesAreReadByInclude() {
    var read: [String] = []
    let found = errors(model("include \"/etc/passwd\"")) { path in
      read.append(path)
      return "root:x:0:0\n"
    }
    #expect(found.all.map(\.code) == [.includeFailed])
    #expect(read.isEmpty && !found.rendered().contains("root"))
  }
}
