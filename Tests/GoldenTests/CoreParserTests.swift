// SPDX-License-Identifier: Apache-2.0
// Core text: files of Tests/Golden/Core are refused with the message on the guilty line, and what
// the compiler prints after every pass reads back to the same bytes.

import IR
import Language
import Passes
import TestSupport
import Testing

@Suite struct CoreParserTests {
  static let files = Repository.files(in: "Tests/Golden/Core")

  /// `# error: MESSAGE` stands behind the line that is refused.
  @Test(arguments: files)
  func malformedTextIsRefusedOnItsLine(path: String) throws {
    let golden = try GoldenMessages(path)
    var found: (line: Int, message: String)?
    do throws(Diagnostics) {
      var parser = CoreParser(path: path, text: golden.input)
      let graph = try parser.function()
      // What the parser reads the verifier may still refuse; then the message is on the first line.
      found = graph.violations().first.map { (1, $0) }
    } catch {
      let first = try #require(error.all.first)
      // What is missing at the end is reported behind it.
      found = (min(first.location?.line ?? 0, golden.lines.count), first.message)
    }
    let (line, message) = try #require(found, "\(path) is accepted")
    #expect(["\(line): \(message)"] == (try golden.expected(of: [(line, message)])))
  }

  static let models = ["graphs/tiny.graph", "graphs/baseline.graph"]

  @Test(arguments: models)
  func everyFunctionReadsBackAfterEveryPass(path: String) throws {
    var model = try Repository.model(
      path, set: ["layers": "3", "dim": "32", "heads": "2", "kv_heads": "1", "vocab": "67"])
    model.settings.qat = .on(.straightThrough, from: .start)
    var texts: [(pass: String, text: String, graph: Graph)] = []
    var runner = PassRunner()
    runner.observe = { pass, graph in
      texts.append((pass + " of " + graph.name, graph.printed(), graph))
    }
    _ = try compile(model, target: TargetMachine(machine: "any", isa: "any"), runner: &runner)
    #expect(texts.count > 30)
    for (pass, text, graph) in texts {
      let read = try PassGolden.parse(pass, text)
      #expect(read.printed() == text, "\(pass)")
      #expect(read.violations() == [], "\(pass)")
      #expect(read.nodes.count == graph.nodes.count, "\(pass)")
    }
  }

  @Test(arguments: models)
  func modelsReadBackFromTheirCoreText(path: String) throws {
    let model = try Repository.model(path)
    let text = model.printed()
    let read = try Model.parse(path: "core", text: text)
    #expect(read.printed() == text)
    #expect(read.settings == model.settings)
    #expect(read.graph == model.graph)
  }
}
