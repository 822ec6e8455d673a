// SPDX-License-Identifier: Apache-2.0
// The record of a step from graph to plan: what a pass is to graphs, a step is to kernel calls.

import IR

/// A named step of lowering one function. Each needs those before it in `Pipeline.lowering`.
public struct PlanStep: Sendable {
  /// The tag used by `--dump-ir-after`.
  public let name: String
  /// One line for `--help` and dumps.
  public let summary: String
  let run: @Sendable (Lowering) throws -> Void

  init(_ name: String, _ summary: String, run: @escaping @Sendable (Lowering) throws -> Void) {
    (self.name, self.summary, self.run) = (name, summary, run)
  }
}

/// Lowers a graph to a function of a plan.
public func lower(_ graph: Graph, layout: ParameterLayout) throws -> PlanFunction {
  var runner = PassRunner()
  return try lower(graph, layout: layout, runner: &runner)
}

/// Lowers a graph, with dumps and times of the steps.
func lower(
  _ graph: Graph, layout: ParameterLayout, runner: inout PassRunner
) throws -> PlanFunction {
  let lowering = Lowering(graph, layout: layout)
  for step in Pipeline.lowering {
    try runner.timed(step.name, graph) { try step.run(lowering) }
    runner.observeStep?(step.name, graph.name) { lowering.printed() }
  }
  return lowering.function
}

extension Lowering {
  /// The function as far as it is: the plan, the calls over buffers without a place (`v`), or the graph
  /// with the values that it stores as bf16.
  fileprivate func printed() -> String {
    if isPlanned { return function.printed() }
    if calls.values.allSatisfy(\.isEmpty) {
      let names = stored.map { "%" + graph.name($0) }.sorted()
      return graph.printed() + "# stored as bf16: "
        + (names.isEmpty ? "nothing" : names.joined(separator: " ")) + "\n"
    }
    var text = "function \(function.name)\n"
    for stage in Stage.allCases {
      text += "\(stage)\n"
      for call in calls[stage]! {
        text += (call.isChained ? "+ " : "  ")
        text += call.kernel.printed(
          buffers: call.slots.map(\.text), tileRows: call.tileRows, source: call.source)
      }
    }
    return text + "end\n"
  }
}

extension Slot {
  fileprivate var text: String {
    switch home {
    case .fixed(let space): "\(space.rawValue)\(offset)"
    case .virtual(let number): "v\(number)" + (offset > 0 ? "+\(offset)" : "")
    }
  }
}
