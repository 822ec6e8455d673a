// SPDX-License-Identifier: Apache-2.0
// docs/legality.md says what the certificate says, and names tests that are there.

import IR
import TestSupport
import Testing

@Suite struct LegalityDocumentTests {
  @Test func namesEverySafeguardOfTheCertificate() throws {
    let text = try Repository.text("docs/legality.md")
    for safeguard in Safeguard.allCases {
      let name = safeguard.rawValue.split(separator: " ").last!
      #expect(text.contains("`\(name)`"), "\(safeguard.rawValue)")
    }
    for number in 1...12 { #expect(text.contains("\n| I\(number) |"), "I\(number)") }
  }

  @Test func namesTestsAndGoldensThatExist() throws {
    let text = try Repository.text("docs/legality.md")
    let names = text.matches(of: /`((?:Tests\/[A-Za-z\/]+)|(?:[A-Za-z]+Tests))`/).map {
      $0.output.1
    }
    #expect(names.count > 3)
    let files = Repository.files(in: "Tests", extension: "swift")
    for name in Set(names) {
      let isThere =
        name.hasPrefix("Tests/")
        ? !Repository.files(in: String(name)).isEmpty
        : files.contains { $0.hasSuffix("/\(name).swift") }
      #expect(isThere, "\(name)")
    }
  }

  /// The number of refused models that the table names.
  @Test func countsTheLeakingModels() throws {
    let leaks = try Repository.files(in: "Tests/Golden/Legality").filter {
      try Repository.text($0).contains("\n# legality\n")
    }
    #expect(try Repository.text("docs/legality.md").contains("\(leaks.count) leaking models"))
  }
}
