// SPDX-License-Identifier: Apache-2.0
// The functions of a plan as text, one call a line.

extension PlanFunction {
  /// How to read the text of functions, as comments.
  public static let legend = """
    # One call a line: kernel, [buffers, those that it writes first], arguments that are not zero, the
    # value it makes. | waits for all calls before; + goes on with the chain of the line above, tile by
    # tile. Lists: setup runs once, prepare when parameters changed, body every time.
    # Buffers are bytes from the start of: p parameters, s states, a arena, c constants, t memory of one
    # tile (t offset/bytes of a tile). {registers ; instructions} is a row program: shape:buffer, then
    # operation, destination, operands, immediate. %again.x is x computed again in the backward pass.

    """

  /// The function's memory, values and calls, one a line.
  public func printed() -> String {
    var text = "function \(name) arena=\(arenaBytes) states=\(stateBytes)\n"
    if !constants.isEmpty {
      text += "constants " + constants.map { "\($0)" }.joined(separator: " ") + "\n"
    }
    for value in inputs { text += "input \(value.name) \(value.buffer.text) \(value.type)\n" }
    for value in outputs { text += "output \(value.name) \(value.buffer.text) \(value.type)\n" }
    for state in states {
      let word = state.averageOf == nil ? "state" : "average"
      text += "\(word) \(state.path) \(state.offset) \(state.initial) \(state.type)\n"
    }
    if !updates.isEmpty { text += "updates " + updates.joined(separator: " ") + "\n" }
    // Layers repeat the same kernels with the same arguments.
    var arguments: [Kernel: String] = [:]
    for (stage, calls) in [("setup", setup), ("prepare", prepare), ("body", body)] {
      text += stage + "\n"
      for call in calls {
        let known = arguments[call.kernel] ?? call.kernel.argumentText
        arguments[call.kernel] = known
        text += call.barrier ? "| " : call.isChained ? "+ " : "  "
        text += call.kernel.printed(
          buffers: call.buffers.map(\.text), tileRows: call.tileRows, source: call.source,
          arguments: known)
      }
    }
    return text + "end\n"
  }
}

extension BufferReference {
  var text: String { "\(space.rawValue)\(offset)" + (space == .tile ? "/\(tileBytes)" : "") }
}

extension Kernel {
  /// A call of the kernel, without what stands before it; `arguments` may be given where they are known.
  public func printed(
    buffers: [String], tileRows: Int?, source: String, arguments: String? = nil
  ) -> String {
    var text = "\(name) [\(buffers.joined(separator: " "))]" + (arguments ?? argumentText)
    if let tileRows { text += " tile=\(tileRows)" }
    if let program { text += " {\(program.text)}" }
    return text + " \(source)\n"
  }

  /// The arguments by name, without the row program.
  fileprivate var argumentText: String { namedArguments.map(Self.text).joined() }

  /// An argument by its name, if it is not zero or false.
  private static func text(_ name: String, _ value: Any) -> String {
    switch value {
    case let number as Int: number == 0 ? "" : " \(name)=\(number)"
    case let number as Double: number == 0 ? "" : " \(name)=\(number)"
    case let flag as Bool: flag ? " \(name)" : ""
    case let rounding as Rounding: " \(name)=\(rounding.rawValue)"
    case let quantizer as Quantizer: " \(name)=(\(quantizer))"
    default: ""
    }
  }
}

extension RowProgram {
  /// `full:0 vector:2 bf16:_ ; mul 2 0 1 0.0`: registers with their buffers, then instructions with
  /// destination, operands and immediate. `bf16` is a full register whose buffer holds that.
  var text: String {
    let registers = registers.map { register in
      let buffer = register.buffer.map(String.init) ?? "_"
      return (register.isBF16 ? "bf16" : register.shape.rawValue) + ":\(buffer)"
        + (register.period > 0 ? ":\(register.period)" : "")
        + (register.shape == .table ? ":\(register.positions):\(register.dims)" : "")
    }
    let code = instructions.map { instruction in
      ([instruction.operation.name]
        + ([instruction.destination] + instruction.operands).map(String.init)
        + ["\(instruction.immediate)"]).joined(separator: " ")
    }
    return ([registers.joined(separator: " ")] + code).joined(separator: " ; ")
  }
}
