// SPDX-License-Identifier: Apache-2.0
// Files of Tests/Golden/Legality: models that must be refused, with the message as people read it.
// UPDATE_GOLDEN=1 rewrites what stands below `# ---`.

import IR
import Language
import Passes
import TestSupport
import Testing

@Suite struct CausalityDiagnosticsTests {
  static let files = Repository.files(in: "Tests/Golden/Legality")

  @Test(arguments: files)
  func refusesTheModelAndShowsThePath(path: String) throws {
    let golden = try Golden(path)
    let source = SourceFile(path: path, text: golden.input)
    var found = "accepted"
    do throws(Diagnostics) {
      _ = try elaborate(file: source, includes: { _ in "" })
    } catch {
      found =
        (error.isLegality ? "legality\n" : "graph\n")
        + error.rendered(sources: error.sources)
    }
    let lines = found.split(separator: "\n").map { "# \($0)\n" }.joined()
    #expect(lines == (try golden.expected(of: lines)))
    #expect(found != "accepted")
  }

  /// Leaks are refused as such, however many other things are wrong.
  @Test func leaksAreTheLargerPart() throws {
    let leaks = try Self.files.filter { try Repository.text($0).contains("\n# legality\n") }
    #expect(leaks.count >= 20)
  }
}
