// SPDX-License-Identifier: Apache-2.0
// The functions of a plan as text, one call a line.

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
