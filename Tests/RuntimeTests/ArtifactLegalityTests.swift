// SPDX-License-Identifier: Apache-2.0
// Hand-made artifacts and plans: the proof runs on whatever graph they hold.

import Formats
import IR
import Language
import Passes
import Runtime
import TestSupport
import Testing

@Suite struct ArtifactLegalityTests {
  /// The refused models of Tests/Golden/Legality that are core text, as artifacts hold it.
  static let texts = Repository.files(in: "Tests/Golden/Legality").filter {
    (try? Model.isCore(Repository.text($0))) ?? false
  }

  @Test(arguments: texts)
  func artifactsAreReadOnlyIfTheirGraphIsLegal(path: String) throws {
    let (graph, isLegality) = try parts(path)
    let folder = try TemporaryFolder()
    let artifact = folder.path + "/a.gca"
    _ = try ArtifactContainer(graph: Array(graph.utf8), groups: []).write(artifact)
    do {
      _ = try Artifact.read(artifact)
      Issue.record("the artifact of \(path) was read")
    } catch let error as Diagnostics {
      #expect(isLegality && error.isLegality)
    } catch let error as FormatError {
      #expect(!isLegality && error.kind == .corrupt)
    }
  }

  @Test(arguments: texts)
  func plansAreReadOnlyIfTheirModelIsLegal(path: String) throws {
    let (graph, isLegality) = try parts(path)
    let text = "plan 1 machine any isa any compute f32\nmodel\n" + graph
    let error = #expect(throws: Diagnostics.self) {
      try Plan.parse(path: "m.plan", text: text, compile: compile(_:target:))
    }
    #expect(error?.isLegality == isLegality)
  }

  /// A legal artifact whose graph text was changed in one place: the attention of all positions
  /// became one of the last queries, the table lost rows, or the tokens got fixed sizes.
  @Test func changedGraphsOfALegalArtifactAreRefused() throws {
    let text = try Repository.model("graphs/tiny.graph").forArtifact.printed()
    let vocabulary = "f32[1024, 128] {group=embedding"
    let changes = [
      ("count=0}", "count=1}"), (vocabulary, "f32[1000, 128] {group=embedding"),
      ("tokens[B, T]", "tokens[4, 256]"), (" = softmax(", " = tanh("),
    ]
    #expect(throws: Never.self) { try Model.parse(path: "a.gca", text: text) }
    for (old, new) in changes {
      let changed = text.replacing(old, with: new, maxReplacements: 1)
      #expect(changed != text, "\(old)")
      #expect(throws: Diagnostics.self, "\(old)") { try Model.parse(path: "a.gca", text: changed) }
    }
  }

  /// The core text of a golden, and whether it leaks.
  private func parts(_ path: String) throws -> (graph: String, isLegality: Bool) {
    let text = try Repository.text(path)
    let range = try #require(text.range(of: "# ---\n"))
    return (String(text[..<range.lowerBound]), text[range.upperBound...].hasPrefix("# legality\n"))
  }
}
