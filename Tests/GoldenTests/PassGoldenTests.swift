// SPDX-License-Identifier: Apache-2.0
// Every file of Tests/Golden/Passes against its pass. UPDATE_GOLDEN=1 rewrites what follows `# ---`.

import IR
import Passes
import TestSupport
import Testing

@Suite struct PassGoldenTests {
  static let files = Repository.files(in: "Tests/Golden/Passes")

  @Test(arguments: files)
  func passMakesWhatTheFileSays(path: String) throws {
    let golden = try PassGolden(path: path)
    #expect(try golden.input().violations() == [])
    let actual = try golden.actual()
    #expect(actual == (try golden.expected(of: actual)))
  }

  @Test(arguments: files)
  func fileIsNamedForItsPass(path: String) throws {
    let words = try PassGolden(path: path).tag.split(separator: "-")
    let name = words.map { word in word.prefix(1).uppercased() + word.dropFirst() }.joined()
    let parts = path.split(separator: "/").dropFirst(3)
    let first = try #require(parts.first).replacing(".graph", with: "")
    #expect(first.lowercased() == name.lowercased())
  }

  /// Input and result of a golden are texts that read back to the same bytes.
  @Test(arguments: files)
  func textsReadBack(path: String) throws {
    let golden = try PassGolden(path: path)
    let input = try golden.input()
    #expect(try PassGolden.parse(path, input.printed()).printed() == input.printed())
    if golden.expected.hasPrefix("# error") { return }
    #expect(try PassGolden.parse(path, golden.expected).printed() == golden.expected)
  }

  /// A second run finds nothing more to do.
  @Test(arguments: [
    "fold-constants", "eliminate-duplicates", "eliminate-dead-nodes", "sink-slices",
    "fuse-softcap-cross-entropy",
  ])
  func simplifyingPassesAreIdempotent(_ tag: String) throws {
    for path in Self.files {
      let golden = try PassGolden(path: path)
      guard golden.tag == tag, !golden.expected.hasPrefix("# error") else { continue }
      let once = try PassGolden.parse(path, golden.expected)
      #expect(try golden.pass.run(once).printed() == golden.expected, "\(path)")
    }
  }
}
