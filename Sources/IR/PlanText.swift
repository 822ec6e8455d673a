// SPDX-License-Identifier: Apache-2.0
// A plan as text: target, model in core form, and every function with its calls. Round-trips.

import IR

extension Plan {
  /// The text that `graphc compile -o` writes.
  public func printed() -> String {
    var text =
      "plan 1 machine \(target.machine) isa \(target.isa) compute \(target.compute.rawValue)\n"
    for function in functions { text += function.printed() }
    return text + "model\n" + model.printed()
  }

  /// Whether a text is a plan, from its first word.
  public static func isPlan(_ text: String) -> Bool { text.hasPrefix("plan ") }

  /// Reads what `printed` wrote.
  ///
  /// The model at its end is compiled again for the target in its first line and the text compared,
  /// so that an edited or damaged plan can never touch bytes outside its memory.
  public static func parse(path: String, text: String) throws(Diagnostics) -> Plan {
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
      var runner = PassRunner()
      plan = try compile(model, target: target, runner: &runner)
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

extension PlanFunction {
  /// The function's memory, values and calls, one a line.
  public func printed() -> String {
    var text = "function \(name) arena=\(arenaBytes) states=\(stateBytes)\n"
    if !constants.isEmpty {
      text += "constants " + constants.map { "\($0)" }.joined(separator: " ") + "\n"
    }
    for value in inputs { text += "input \(value.name) \(value.buffer.text) \(value.type)\n" }
    for value in outputs { text += "output \(value.name) \(value.buffer.text) \(value.type)\n" }
    for state in states {
      text += "state \(state.path) \(state.offset) \(state.initial) \(state.type)\n"
    }
    if !updates.isEmpty { text += "updates " + updates.joined(separator: " ") + "\n" }
    for (stage, calls) in [("setup", setup), ("prepare", prepare), ("body", body)] {
      text += stage + "\n"
      for call in calls { text += call.printed() }
    }
    return text + "end\n"
  }
}

extension BufferReference {
  var text: String { "\(space.rawValue)\(offset)" + (space == .tile ? "/\(tileBytes)" : "") }
}

extension KernelCall {
  /// One line: `|` waits for everything before, `+` goes on with the chain of the line above.
  func printed() -> String {
    var text = (barrier ? "| " : isChained ? "+ " : "  ") + kernel.rawValue
    text += " [" + buffers.map(\.text).joined(separator: " ") + "]"
    text += " [" + sizes.map(String.init).joined(separator: " ") + "]"
    text += " [" + scalars.map { "\($0)" }.joined(separator: " ") + "]"
    if let program { text += " {\(program.text)}" }
    return text + " \(source)\n"
  }
}

extension RowProgram {
  /// `full:0 vector:2 half:_ ; mul 2 0 1 0.0`: registers with their buffers, then instructions with
  /// destination, operands and immediate. `half` is a full register whose buffer holds bf16.
  var text: String {
    let registers = registers.map { register in
      let buffer = register.buffer.map(String.init) ?? "_"
      return (register.isHalf ? "half" : register.shape.rawValue) + ":\(buffer)"
        + (register.period > 0 ? ":\(register.period)" : "")
        + (register.shape == .table ? ":\(register.positions):\(register.dims)" : "")
    }
    let code = instructions.map { instruction in
      ([instruction.operation.rawValue]
        + ([instruction.destination] + instruction.operands).map(String.init)
        + ["\(instruction.immediate)"]).joined(separator: " ")
    }
    return ([registers.joined(separator: " ")] + code).joined(separator: " ; ")
  }
}
