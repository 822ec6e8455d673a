// SPDX-License-Identifier: Apache-2.0
// A plan as text: target, every function with its calls, model in core form. Round-trips.

import IR

extension Plan {
  /// The text that `graphc compile -o` writes.
  public func printed() -> String {
    var text =
      "plan 1 machine \(target.machine) isa \(target.isa) compute \(target.compute.rawValue)\n"
      + PlanFunction.legend
    for function in functions { text += function.printed() }
    return text + "model\n" + model.printed()
  }

  /// Whether a text is a plan, from its first word.
  public static func isPlan(_ text: String) -> Bool { text.hasPrefix("plan ") }

  /// Reads what `printed` wrote.
  ///
  /// The model at its end is compiled again for the target in its first line and the text compared,
  /// so that an edited or damaged plan can never touch bytes outside its memory. `compile` is the
  /// compiler, of which this module knows nothing.
  public static func parse(
    path: String, text: String, compile: (Model, TargetMachine) throws -> Plan
  ) throws(Diagnostics) -> Plan {
    func fail(_ line: Int, _ message: String) -> Diagnostics {
      let place = SourceLocation(path: path, line: line + 1, column: 1)
      return Diagnostics([Diagnostic(.badPlan, message, at: place)])
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let header = lines[0].split(separator: " ")
    if header.count > 1, header[0] == "plan", header[1] != "1" {
      throw fail(0, "plan version \(header[1]); this graphc reads version 1")
    }
    guard header.count == 8, header[0] == "plan", header[2] == "machine", header[4] == "isa",
      header[6] == "compute", let compute = ComputePrecision(rawValue: String(header[7]))
    else { throw fail(0, "not a plan: expected 'plan 1 machine NAME isa NAME compute NAME'") }
    guard let start = lines.firstIndex(of: "model") else {
      throw fail(lines.count - 1, "the plan ends before its model; compile the graph again")
    }
    let target = TargetMachine(
      machine: String(header[3]), isa: String(header[5]), compute: compute)
    let model = try Model.parse(
      path: path, text: lines[(start + 1)...].joined(separator: "\n"))
    let plan: Plan
    do {
      plan = try compile(model, target)
    } catch {
      throw fail(start, "the plan's model does not compile: \(error)")
    }
    let expected = plan.printed().split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in expected.enumerated() where index >= lines.count || lines[index] != line {
      throw fail(
        index, "not what this graphc makes of the plan's model; compile the graph again")
    }
    return plan
  }
}
