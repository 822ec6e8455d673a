// SPDX-License-Identifier: Apache-2.0
// The core form as text: one op per line, everything written, byte-exact round trip with CoreParser.

extension Graph {
  /// The text of one function. `parse(print(g)) == g`, up to the numbering of values.
  public func printed() -> String {
    var text = "function \(name)\n"
    for parameter in parameters {
      text += "\(parameter.role.rawValue) @\(parameter.path) : \(parameter.type) {"
      if !parameter.group.isEmpty { text += "group=\(parameter.group), " }
      text += "init=\(parameter.initial)"
      if let precision = parameter.precision { text += ", precision=\(precision)" }
      text += "}\(place(parameter.location))\n"
    }
    for input in inputs { text += "input %\(name(input)) : \(type(input))\n" }
    for node in nodes { text += printed(node, indent: "") }
    for write in writes { text += "write \(spelled(write.target)) = \(spelled(write.value))\n" }
    for output in outputs { text += "return \(output.name) = \(spelled(output.value))\n" }
    return text
  }

  private func printed(_ node: Node, indent: String) -> String {
    if node.op == .fused {
      var text = indent + "fused {\n"
      for inner in node.body { text += printed(inner, indent: indent + "  ") }
      let results = node.results.map(spelled).joined(separator: ", ")
      return text + indent + "} yields \(results)\(place(node.location))\n"
    }
    let results = node.results.map(spelled).joined(separator: ", ")
    let operands = node.operands.map(spelled).joined(separator: ", ")
    var text = "\(indent)\(results) = \(node.op.rawValue)(\(operands))"
    if !node.attributes.isEmpty {
      let attributes = node.attributes.sorted { $0.key < $1.key }
      text +=
        " {" + attributes.map { "\($0.key.rawValue)=\($0.value)" }.joined(separator: ", ") + "}"
    }
    text += " : " + node.results.map { type($0).description }.joined(separator: ", ")
    return text + place(node.location) + "\n"
  }

  /// The name with its sigil, `@` for parameters and states.
  func spelled(_ value: Value) -> String {
    if case .parameter = values[value.index].origin { return "@" + name(value) }
    return "%" + name(value)
  }

  private func place(_ location: String) -> String { location.isEmpty ? "" : " at \(location)" }
}
