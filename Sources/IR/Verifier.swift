// SPDX-License-Identifier: Apache-2.0
// Checks what every pass may assume. Runs after each pass; a failure is a bug of that pass.

extension Graph {
  /// What is wrong with the graph, empty if nothing is.
  public func violations() -> [String] {
    var found: [String] = []
    var made = [Bool](repeating: false, count: values.count)
    for value in parameterValues + inputs { made[value.index] = true }
    // `@x` and `%x` are different names.
    var paths = Set<String>()
    for value in parameterValues where !paths.insert(name(value)).inserted {
      found.append("@\(name(value)) is declared twice")
    }
    var names = Set<String>(minimumCapacity: values.count)
    for value in inputs where !names.insert(name(value)).inserted {
      found.append("%\(name(value)) is declared twice")
    }
    func check(_ node: Node) {
      for operand in node.operands where !made[operand.index] {
        found.append("\(node.op.rawValue) reads %\(name(operand)) before it is made")
      }
      if node.op == .fused {
        for inner in node.body {
          check(inner)
          if !inner.op.isRowLocal { found.append("\(inner.op.rawValue) inside a fused node") }
        }
        for result in node.results where !made[result.index] {
          found.append("fused yields %\(name(result)), which its body does not make")
        }
        return
      }
      do {
        let types = try node.definition.check(
          node.op, node.operands.map { type($0) }, node.attributes)
        if !types.elementsEqual(node.results.lazy.map { type($0) }) {
          found.append("\(node.op.rawValue) %\(name(node.result)): result types are not \(types)")
        }
      } catch {
        found.append("%\(name(node.results[0])): \(error)")
      }
      for result in node.results {
        if made[result.index] { found.append("%\(name(result)) is made twice") }
        made[result.index] = true
        if !names.insert(name(result)).inserted {
          found.append("two values named %\(name(result))")
        }
      }
    }
    for node in nodes { check(node) }
    var written = Set<Value>()
    for write in writes {
      if parameter(write.target) == nil { found.append("write to %\(name(write.target))") }
      if !written.insert(write.target).inserted {
        found.append("@\(name(write.target)) is written twice")
      }
      if !made[write.value.index] { found.append("write of %\(name(write.value)), never made") }
      if made[write.value.index], type(write.target) != type(write.value) {
        found.append(
          "@\(name(write.target)) is \(type(write.target)), written \(type(write.value))")
      }
    }
    for output in outputs where !made[output.value.index] {
      found.append("return of %\(name(output.value)), never made")
    }
    return found
  }
}
