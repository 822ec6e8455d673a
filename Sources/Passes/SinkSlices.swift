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
    let sinker = SliceSinker(graph)
    var copy = Rebuilder(graph)
    for node in graph.nodes {
      guard node.isPositionSlice else {
        copy.copy(node)
        continue
      }
      copy.map(node.result, to: sinker.sliced(by: node, in: &copy))
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
    op.definition.slices == .lastQueries && int(.count) == 0 && slice.reachesEnd(graph)
  }

  /// Whether a slice of positions keeps the last one.
  fileprivate func reachesEnd(_ graph: Graph) -> Bool {
    int(.start) + int(.count) == graph.type(operands[0]).sizes[1]
  }

  /// Whether a slice of the result's positions is the op of the operands' slices.
  fileprivate func commutes(
    with slice: Node, _ graph: Graph, _ constants: Set<Value>
  ) -> Bool {
    switch op.definition.slices {
    case .never: return false
    case .movingStart: guard int(.train) == 0 || slice.reachesEnd(graph) else { return false }
    case .asRead, .lastQueries: guard results.count == 1 else { return false }
    }
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
        let parts =
          node.op.definition.slices == .lastQueries ? Array(node.operands[..<1]) : node.operands
        whole.formUnion(node.operands[parts.count...])
        for operand in parts where !constants.contains(operand) {
          slices[operand, default: []].formUnion(readers)
        }
      }
    }
    return whole
  }
}

/// Makes slices of values from slices of what they are computed from.
private struct SliceSinker {
  let graph: Graph
  let producers: [Value: Int]
  /// Weights and what is computed from them alone: they have no position axis.
  let constants: Set<Value>
  /// Values that somebody reads whole.
  let whole: Set<Value>

  init(_ graph: Graph) {
    self.graph = graph
    producers = graph.producers()
    constants = graph.parameterOnlyValues()
    whole = graph.valuesReadWhole(constants)
  }

  /// The node that makes `value`, if its slice can be computed from slices of operands, and these.
  private func source(_ value: Value, by slice: Node) -> (node: Node, sliced: [Value])? {
    guard !whole.contains(value), let index = producers[value] else { return nil }
    let node = graph.nodes[index]
    if node.takesLastQueries(of: slice, graph) { return (node, [node.operands[0]]) }
    guard node.commutes(with: slice, graph, constants) else { return nil }
    return (node, node.operands.filter { !constants.contains($0) })
  }

  /// The slice of what `slice` reads, in the copy.
  func sliced(by slice: Node, in copy: inout Rebuilder) -> Value {
    var done: [Value: Value] = [:]
    // Operands first; a list and not a recursion, because the way up may be as long as the graph.
    var pending = [slice.operands[0]]
    while let value = pending.last {
      let source = done[value] == nil ? source(value, by: slice) : nil
      if let operand = source?.sliced.first(where: { done[$0] == nil }) {
        pending.append(operand)
        continue
      }
      pending.removeLast()
      if done[value] == nil { done[value] = make(value, source?.node, by: slice, done, in: &copy) }
    }
    return done[slice.operands[0]]!
  }

  private func make(
    _ value: Value, _ node: Node?, by slice: Node, _ done: [Value: Value], in copy: inout Rebuilder
  ) -> Value {
    let name = "scored." + graph.name(value)
    copy.builder.location = node?.location ?? slice.location
    guard let node else {
      return copy.builder.one(.slice, [copy[value]], slice.attributes, name: name)
    }
    var attributes = node.attributes
    if node.op.definition.slices == .lastQueries {
      // Keys and values are read whole, whatever the queries are.
      attributes[.count] = .int(slice.int(.count))
      let queries = done[node.operands[0]]!
      return copy.builder.one(
        node.op, [queries] + node.operands[1...].map { copy[$0] }, attributes, name: name)
    }
    if node.op.definition.slices == .movingStart {
      attributes[.start] = .int(node.int(.start) + slice.int(.start))
    }
    let operands = node.operands.map { constants.contains($0) ? copy[$0] : done[$0]! }
    return copy.builder.one(node.op, operands, attributes, name: name)
  }
}
