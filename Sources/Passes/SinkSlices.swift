// SPDX-License-Identifier: Apache-2.0
// Computes only the positions that are scored.

import IR

extension Pass {
  /// Moves a slice of positions up through ops whose output position t reads only position t.
  ///
  ///     %y = linear(%x, @w)                      %s = slice(%x) {axis=1, …}
  ///     %s = slice(%y) {axis=1, …}        ->     %y = linear(%s, @w)
  ///
  /// A slice of the last positions goes through attention into its queries, and rope is told where its
  /// rows begin. Stops at a value that somebody reads whole: taking its rows costs less than computing
  /// them again. Requires bound sizes. Dead rows go with eliminate-dead-nodes.
  public static let sinkSlices = Pass("sink-slices", "Compute only positions that are read.") {
    graph in
    let producers = graph.producers()
    let constants = graph.parameterOnlyValues()
    let whole = graph.valuesReadWhole(constants)
    var copy = Rebuilder(graph)
    for node in graph.nodes {
      guard node.isPositionSlice else {
        copy.copy(node)
        continue
      }
      var memory: [Value: Value] = [:]
      let value = copy.sliced(node.operands[0], by: node, graph, producers, constants, whole, &memory)
      copy.map(node.result, to: value)
    }
    return copy.finish()
  }
}

extension Node {
  /// A slice of axis 1, the positions, that keeps its axes.
  fileprivate var isPositionSlice: Bool {
    op == .slice && int(.axis) == 1 && !bool(.squeeze)
  }

  /// Whether the slice is of the last positions of the result of this attention over all of them.
  fileprivate func takesLastQueries(of slice: Node, _ graph: Graph) -> Bool {
    op == .attention && int(.count) == 0 && slice.reachesEnd(graph)
  }

  /// Whether a slice of positions keeps the last one.
  fileprivate func reachesEnd(_ graph: Graph) -> Bool {
    int(.start) + int(.count) == graph.type(operands[0]).sizes[1]
  }

  /// Whether a slice of the result's positions is the op of the operands' slices.
  fileprivate func commutes(
    with slice: Node, _ graph: Graph, _ constants: Set<Value>
  ) -> Bool {
    switch op {
    // Their attributes speak of positions, or they have none of their own to move.
    case .ropeBackward, .slice, .unslice, .sumTo, .embed, .fused: return false
    // With `train` the base depends on the last position.
    case .rope: return int(.train) == 0 || slice.reachesEnd(graph)
    default: break
    }
    guard results.count == 1 else { return false }
    return zip(operands, graph.reads(self, result: 0)).allSatisfy { operand, reads in
      let reads = reads ?? []
      if constants.contains(operand) {
        // A parameter may stretch along the positions, but not have one element a position.
        return !reads.contains(.same(axis: 1))
          || graph.type(operand).shape[reads.firstIndex(of: .same(axis: 1))!] == .number(1)
      }
      return reads.count > 1 && reads[1] == .same(axis: 1)
    }
  }
}

extension Graph {
  /// Values of which somebody needs all positions, when every slice has sunk as far as it can.
  fileprivate func valuesReadWhole(_ constants: Set<Value>) -> Set<Value> {
    var whole = Set(outputs.map(\.value) + writes.map(\.value))
    var slices: [Value: Set<Int>] = [:]  // by which a value is read in parts: indices of nodes
    for (index, node) in nodes.enumerated().reversed() {
      if node.isPositionSlice {
        slices[node.operands[0], default: []].insert(index)
        continue
      }
      let readers = node.results.reduce(into: Set<Int>()) { $0.formUnion(slices[$1] ?? []) }
      let isWhole = node.results.contains(where: whole.contains)
      let staysHere = readers.contains { reader in
        !node.takesLastQueries(of: nodes[reader], self)
          && !node.commutes(with: nodes[reader], self, constants)
      }
      if isWhole || staysHere {
        whole.formUnion(node.operands)
        whole.formUnion(node.results)
      } else if !readers.isEmpty {
        // Keys and values are read whole whatever the queries are.
        let parts = node.op == .attention ? Array(node.operands[..<1]) : node.operands
        whole.formUnion(node.operands[parts.count...])
        for operand in parts where !constants.contains(operand) {
          slices[operand, default: []].formUnion(readers)
        }
      }
    }
    return whole
  }
}

extension Rebuilder {
  /// The slice of `value` (of the source), computed from slices of what it is computed from.
  fileprivate mutating func sliced(
    _ value: Value, by slice: Node, _ graph: Graph, _ producers: [Value: Int],
    _ constants: Set<Value>, _ whole: Set<Value>, _ memory: inout [Value: Value]
  ) -> Value {
    if let done = memory[value] { return done }
    let result: Value
    let index = whole.contains(value) ? nil : producers[value]
    if let index, graph.nodes[index].takesLastQueries(of: slice, graph) {
      let node = graph.nodes[index]
      let q = sliced(node.operands[0], by: slice, graph, producers, constants, whole, &memory)
      builder.location = node.location
      result = builder.one(
        .attention, [q, self[node.operands[1]], self[node.operands[2]]],
        node.attributes.merging([.count: .int(slice.int(.count))]) { $1 },
        name: "scored." + graph.name(value))
    } else if let index, graph.nodes[index].commutes(with: slice, graph, constants) {
      let node = graph.nodes[index]
      var operands: [Value] = []
      for operand in node.operands {
        // Weights and what is computed from them alone have no position axis.
        operands.append(
          constants.contains(operand)
            ? self[operand] : sliced(operand, by: slice, graph, producers, constants, whole, &memory))
      }
      var attributes = node.attributes
      if node.op == .rope { attributes[.start] = .int(node.int(.start) + slice.int(.start)) }
      builder.location = node.location
      result = builder.one(node.op, operands, attributes, name: "scored." + graph.name(value))
    } else {
      builder.location = slice.location
      result = builder.one(
        .slice, [self[value]], slice.attributes, name: "scored." + graph.name(value))
    }
    memory[value] = result
    return result
  }
}
