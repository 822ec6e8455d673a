// SPDX-License-Identifier: Apache-2.0
// Every file of Tests/Golden/Plan against lowering and memory planning: a function, `# ---`, and its
// plan. UPDATE_GOLDEN=1 rewrites the plan.

import IR
import Passes
import TestSupport
import Testing

@Suite struct PlanGoldenTests {
  @Test(arguments: Repository.files(in: "Tests/Golden/Plan"))
  func functionLowersToThePlanOfTheFile(path: String) throws {
    let text = try Repository.text(path)
    let range = try #require(text.range(of: PassGolden.separator))
    let graph = try PassGolden.parse(path, String(text[..<range.lowerBound]))
    #expect(graph.violations() == [])
    let plan = try lower(graph, layout: ParameterLayout(graph.parameters)).printed()
    if Repository.updatesGoldens {
      return try Repository.write(String(text[..<range.upperBound]) + plan, to: path)
    }
    #expect(plan == String(text[range.upperBound...]))
  }
}
