// SPDX-License-Identifier: Apache-2.0
// Groups elementwise chains, norms and the sums of their gradients into row programs.

import IR

extension Pass {
  /// Schedules row-local nodes of one row space next to each other and fuses each run of them.
  ///
  ///     %a = mul(%x, @gain)
  ///     %b = add(%a, %r)            fused {
  ///     %n = rms_norm(%b)     ->      %a = mul(%x, @gain) …
  ///                                   %n = rms_norm(%b) …
  ///                                 } yields %b, %n
  ///
  /// A row space is [rows, width]: all leading axes and the last one. A node joins the open group if
  /// it or its only reader shares a value with it and no attention stands between, so the order stays
  /// near the original one and nothing is computed long before it is read. A node that reads one value
  /// of its space waits for its only reader where that waits for others: keeping the operand costs no
  /// more memory than the result. Runs after differentiate.
  public static let fuseRows = Pass("fuse-rows", "Fuse elementwise chains and norms.") { graph in
    var scheduler = RowScheduler(graph)
    return scheduler.run()
  }
}

/// The rows and width over which a row-local node runs.
struct RowSpace: Hashable {
  let rows: Int
  let width: Int

  init(_ type: TensorType) {
    let sizes = type.sizes
    width = sizes.last ?? 1
    rows = sizes.dropLast().reduce(1, *)
  }
}

extension Graph {
  /// The value over whose rows a row-local node runs.
  func widest(_ node: Node) -> Value {
    switch node.op {
    case .sumTo, .scaleHeadsBackwardGain: return node.operands[0]
    default: return node.result
    }
  }

  /// The row space of a row-local node: that of its widest value.
  func rowSpace(_ node: Node) -> RowSpace { RowSpace(type(widest(node))) }

  /// Whether a row program can compute the node: every operand is a full space, a vector along the
  /// width, one number a row or head, or a single number.
  func fitsRowProgram(_ node: Node) -> Bool {
    guard node.op.isRowLocal else { return false }
    let space = rowSpace(node)
    switch node.op {
    case .sumTo:
      let shape = type(node.result).sizes
      let count = shape.reduce(1, *)
      return count == 1 || (shape.last == space.width && count == space.width)
    case .scaleHeads, .scaleHeadsBackwardGain: return true
    default:
      return node.operands.allSatisfy { operand in
        let type = self.type(operand)
        return type.count == 1 || RowSpace(type) == space
          || (type.count == space.width && type.sizes.last == space.width)
      }
    }
  }
}

extension Graph {
  /// Whether a node only names part of a value, or gives it another shape.
  fileprivate func isView(_ node: Node) -> Bool {
    switch node.op {
    case .splitHeads, .mergeHeads: return true
    case .slice:
      return type(node.operands[0]).sizes[..<node.int(.axis)].reduce(1, *) == 1
    default: return false
    }
  }
}

/// A list scheduler that keeps taking nodes of the open group while there are any.
private struct RowScheduler {
  /// Bounds of one row program; see the row machine's limits.
  static let maximumNodes = 20
  static let maximumValues = 18

  let graph: Graph
  private var waiting: [Int]
  private var readers: [[Int]]
  private var sources: [[Int]]
  private var isDone: [Bool]
  private var copy: Rebuilder
  private var ready: [Int] = []  // sorted
  /// Attentions before each node.
  private let phase: [Int]
  /// The row space of each node that a row program can compute.
  private let spaces: [RowSpace?]
  private let isView: [Bool]

  init(_ graph: Graph) {
    self.graph = graph
    var attentions = 0
    phase = graph.nodes.map { node in
      defer { attentions += [.attention, .attentionBackward].contains(node.op) ? 1 : 0 }
      return attentions
    }
    spaces = graph.nodes.map { graph.fitsRowProgram($0) ? graph.rowSpace($0) : nil }
    isView = graph.nodes.map(graph.isView)
    copy = Rebuilder(graph)
    waiting = [Int](repeating: 0, count: graph.nodes.count)
    readers = [[Int]](repeating: [], count: graph.nodes.count)
    sources = [[Int]](repeating: [], count: graph.nodes.count)
    isDone = [Bool](repeating: false, count: graph.nodes.count)
    let producers = graph.producers()
    for (index, node) in graph.nodes.enumerated() {
      for producer in Set(node.operands.compactMap { producers[$0] }) {
        waiting[index] += 1
        readers[producer].append(index)
        sources[index].append(producer)
      }
    }
    ready = graph.nodes.indices.filter { waiting[$0] == 0 }
  }

  mutating func run() -> Graph {
    emitViews(besides: [])
    while let first = ready.first(where: { !isDeferred($0) }) ?? ready.first {
      if let space = spaces[first] {
        emitGroup(from: first, in: space)
      } else {
        copy.copy(graph.nodes[first])
        finish(first)
      }
      emitViews(besides: [])
    }
    return copy.finish()
  }

  /// Views cost nothing, but what reads them has to wait for them. Those of values in `made` come
  /// after the group that makes these.
  private mutating func emitViews(besides made: Set<Value>) {
    while let view = ready.first(where: {
      isView[$0] && !graph.nodes[$0].operands.contains(where: made.contains)
    }) {
      copy.copy(graph.nodes[view])
      finish(view)
    }
  }

  /// Whether a node should run together with its only reader, which cannot run yet.
  private func isDeferred(_ index: Int) -> Bool {
    guard let space = spaces[index], readers[index].count == 1 else { return false }
    let reader = readers[index][0]
    guard spaces[reader] == space, waits(reader, besides: index, in: space) || isDeferred(reader)
    else { return false }
    return graph.nodes[index].operands.count { RowSpace(graph.type($0)) == space } == 1
  }

  /// What the only reader of a node reads beside it, if both can stand in one program.
  private func partners(of index: Int, in space: RowSpace) -> [Value] {
    guard readers[index].count == 1 else { return [] }
    let reader = readers[index][0]
    return spaces[reader] == space ? graph.nodes[reader].operands : []
  }

  /// Whether a node of `space` reads what no node of an open group can make, apart from one operand.
  private func waits(_ reader: Int, besides index: Int, in space: RowSpace) -> Bool {
    sources[reader].contains {
      $0 != index && !isDone[$0] && (waiting[$0] > 0 || spaces[$0] != space)
    }
  }

  private mutating func emitGroup(from first: Int, in space: RowSpace) {
    var members: [Int] = []
    var made = Set<Value>()
    var touched = Set<Value>()
    // Sums over rows are complete only when the whole group has run.
    var sums = Set<Value>()
    func joins(_ index: Int) -> Bool {
      guard spaces[index] == space, phase[index] == phase[first],
        members.count < Self.maximumNodes
      else { return false }
      let node = graph.nodes[index]
      let values = node.operands + node.results
      let added = Set(values.filter { !touched.contains($0) }).count
      return touched.count + added <= Self.maximumValues + members.count
        && (values + partners(of: index, in: space)).contains(where: touched.contains)
        && !node.operands.contains(where: sums.contains) && !isDeferred(index)
    }
    while let next = ready.first(where: { members.isEmpty ? $0 == first : joins($0) }) {
      members.append(next)
      made.formUnion(graph.nodes[next].results)
      touched.formUnion(graph.nodes[next].operands + graph.nodes[next].results)
      if [.sumTo, .scaleHeadsBackwardGain].contains(graph.nodes[next].op) {
        sums.formUnion(graph.nodes[next].results)
      }
      finish(next)
      emitViews(besides: made)
    }
    let inside = Set(members)
    let start = copy.builder.graph.nodes.count
    for member in members { copy.copy(graph.nodes[member]) }
    let escaping = members.flatMap { graph.nodes[$0].results }.filter {
      isRead($0, outside: inside)
    }
    if members.count > 1 {
      let location = graph.nodes[members[0]].location
      copy.builder.regroup(from: start, results: escaping.map { copy[$0] }, location: location)
    }
  }

  private lazy var outside: Set<Value> = Set(
    graph.writes.map(\.value) + graph.outputs.map(\.value))
  private lazy var producers: [Value: Int] = graph.producers()

  private mutating func isRead(_ value: Value, outside members: Set<Int>) -> Bool {
    if outside.contains(value) { return true }
    guard let producer = producers[value] else { return false }
    return readers[producer].contains {
      !members.contains($0) && graph.nodes[$0].operands.contains(value)
    }
  }

  private mutating func finish(_ index: Int) {
    isDone[index] = true
    if let position = ready.firstIndex(of: index) { ready.remove(at: position) }
    for reader in readers[index] {
      waiting[reader] -= 1
      if waiting[reader] == 0 {
        let position = ready.firstIndex { $0 > reader } ?? ready.count
        ready.insert(reader, at: position)
      }
    }
  }
}
