// SPDX-License-Identifier: Apache-2.0
// Which results are computed where they will be kept, and when operands are packed: from who reads what last.

import IR

/// The panels of a value that weight gradients read, of f32 or of bf16.
struct TokenPanels: Hashable {
  var value: Value
  var isBF16: Bool
}

/// When values are read last; reading a view reads what it shows.
private struct LastReads {
  private(set) var root: [Value: Value] = [:]
  private var last: [Value: Int] = [:]

  init(_ graph: Graph, besides isIgnored: (Node) -> Bool = { _ in false }) {
    for (index, node) in graph.nodes.enumerated() {
      if node.op.mayBeView { root[node.result] = root[node.operands[0]] ?? node.operands[0] }
      if isIgnored(node) { continue }
      for operand in node.operands { last[root[operand] ?? operand] = index }
    }
    for output in graph.outputs { keep(output.value) }
  }

  mutating func keep(_ value: Value) { last[root[value] ?? value] = Int.max }

  /// The index of the node, -1 for none.
  subscript(_ value: Value) -> Int { last[root[value] ?? value] ?? -1 }
}

extension Graph {
  /// Values that end in a parameter and can be computed in its place, with that parameter: nobody reads
  /// the old content afterwards. Updates (AdamW and its like) always work in place.
  func writesInPlace(_ runsEveryTime: (Node) -> Bool) -> [Value: Value] {
    let producers = producers()
    let reads = LastReads(self)
    var places: [Value: Value] = [:]
    for write in writes {
      guard let producer = producers[write.value] else { continue }
      let node = nodes[producer]
      // What depends on parameters alone runs when they changed, a write in every run.
      guard runsEveryTime(node) else { continue }
      let last = reads[write.target]
      let readsView = node.operands.contains { reads.root[$0] == write.target }
      if last < producer
        || (last == producer && !readsView && node.canReplace(write.target, by: write.value))
      {
        places[write.value] = write.target
      }
    }
    return places
  }

  /// Where to pack operands of weight gradients early, by the index of a node.
  ///
  /// A value that nothing but weight gradients reads any more is packed after its last other reader,
  /// so that the panels are all that stays of it. One that is needed later as it is has no entry: it
  /// is packed when the first weight gradient wants it, rather than kept twice.
  func placesToPackTokens() -> [Int: [TokenPanels]] {
    var reads = LastReads(self) { $0.op == .linearBackwardWeight }
    for write in writes { reads.keep(write.value) }
    var made: [Value: Int] = [:]
    var firstPacked: [TokenPanels: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for result in node.results { made[result] = index }
      guard node.op == .linearBackwardWeight else { continue }
      for operand in node.operands {
        let panels = TokenPanels(value: operand, isBF16: node.computesInBF16)
        firstPacked[panels] = firstPacked[panels] ?? index
      }
    }
    var places: [Int: [TokenPanels]] = [:]
    for (panels, first) in firstPacked {
      guard let maker = made[panels.value] else { continue }
      let place = max(maker, reads[panels.value])
      if place < first { places[place, default: []].append(panels) }
    }
    return places.mapValues { $0.sorted { made[$0.value]! < made[$1.value]! } }
  }
}

extension Node {
  /// Whether `value` may be written where `target` is read: updates work in place, and row programs
  /// that have read it by then.
  fileprivate func canReplace(_ target: Value, by value: Value) -> Bool {
    switch op.definition.lowering {
    case .update, .row, .rowSum: return true
    case .body:
      let last = body.lastIndex { $0.operands.contains(target) } ?? -1
      return last <= body.firstIndex { $0.results.contains(value) } ?? -1
    case .view, .kernel, .none: return false
    }
  }
}
