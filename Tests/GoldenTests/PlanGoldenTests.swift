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
    let golden = try Golden(path)
    let graph = try PassGolden.parse(path, golden.input)
    #expect(graph.violations() == [])
    let plan = try lower(graph, layout: ParameterLayout(graph.parameters)).printed()
    #expect(plan == (try golden.expected(of: plan)))
  }
}
