// SPDX-License-Identifier: Apache-2.0
// What `graphc check --legal` prints of the repository's models, word for word.
// UPDATE_GOLDEN=1 rewrites Tests/Golden/Certificates.

import Foundation
import TestSupport
import Testing

@Suite struct CheckCommandCertificateTests {
  @Test(arguments: ["tiny", "baseline"], ["txt", "json"])
  func printsTheCertificate(model: String, form: String) throws {
    let graph = Repository.root.appendingPathComponent("graphs/\(model).graph").path
    let outcome = try graphc(["check", "--legal", graph] + (form == "json" ? ["--json"] : []))
    #expect(outcome.code == 0)
    let golden = try Golden(file: "Tests/Golden/Certificates/\(model).\(form)")
    #expect(outcome.output == (try golden.expected(of: outcome.output)))
  }

  /// Whatever else is wrong: here the weights and tokens are not there.
  @Test(arguments: [
    "check", "compile", "run --data none", "exec --function loss --weights w --tokens t",
  ])
  func everyCommandThatReadsAGraphRefusesALeak(command: String) throws {
    let graph = Repository.root.appendingPathComponent("Tests/Golden/Legality/Queries.graph").path
    let words = command.split(separator: " ").map(String.init)
    #expect(try graphc([words[0], graph] + words.dropFirst()).code == 5)
  }

  @Test func aLeakHasNoCertificate() throws {
    let graph = Repository.root.appendingPathComponent("Tests/Golden/Legality/Keys.graph").path
    let outcome = try graphc("check", "--legal", graph, "--json")
    #expect(outcome.code == 5)
    #expect(outcome.output.isEmpty)
    #expect(outcome.errors.contains("Keys.graph:13:"))
  }
}
