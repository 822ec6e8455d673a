// SPDX-License-Identifier: Apache-2.0
// What `graphc check --legal` prints of the repository's models, word for word.
// UPDATE_GOLDEN=1 rewrites Tests/Golden/Certificates.

import Foundation
import Testing

@Suite struct CertificateCommandTests {
  @Test(arguments: ["tiny", "baseline"], ["txt", "json"])
  func printsTheCertificate(model: String, form: String) throws {
    let graph = package.appendingPathComponent("graphs/\(model).graph").path
    let outcome = try graphc(["check", "--legal", graph] + (form == "json" ? ["--json"] : []))
    #expect(outcome.code == 0)
    let golden = package.appendingPathComponent("Tests/Golden/Certificates/\(model).\(form)")
    if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
      return try outcome.output.write(to: golden, atomically: true, encoding: .utf8)
    }
    #expect(outcome.output == (try String(contentsOf: golden, encoding: .utf8)))
  }

  /// Whatever else is wrong: here the weights and tokens are not there.
  @Test(arguments: [
    "check", "compile", "run --data none", "exec --function loss --weights w --tokens t",
  ])
  func everyCommandThatReadsAGraphRefusesALeak(command: String) throws {
    let graph = package.appendingPathComponent("Tests/Golden/Legality/Queries.graph").path
    let words = command.split(separator: " ").map(String.init)
    #expect(try graphc([words[0], graph] + words.dropFirst()).code == 5)
  }

  @Test func aLeakHasNoCertificate() throws {
    let graph = package.appendingPathComponent("Tests/Golden/Legality/Keys.graph").path
    let outcome = try graphc("check", "--legal", graph, "--json")
    #expect(outcome.code == 5)
    #expect(outcome.output.isEmpty)
    #expect(outcome.errors.contains("Keys.graph:13:"))
  }
}
