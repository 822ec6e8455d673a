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
    node.op.isRowSum ? node.operands[0] : node.result
  }

  /// The row space of a row-local node: that of its widest value.
  func rowSpace(_ node: Node) -> RowSpace { RowSpace(type(widest(node))) }

  /// Whether a value has one number for each row of the space of a row-local node.
  func isOneARow(_ value: Value, of node: Node) -> Bool {
    let (narrow, wide) = (type(value).sizes, type(widest(node)).sizes)
    return narrow.last == 1 && narrow.dropLast() == wide.dropLast()
  }

  /// Whether a row program can compute the node: every operand is a full space, a vector along the
  /// width, one number a row or head, or a single number.
  func fitsRowProgram(_ node: Node) -> Bool {
    switch node.op.definition.lowering {
    case .rowSum(.headProducts), .rowSum(.rowProducts): return true
    case .rowSum(.columns):
      let shape = type(node.result).sizes
      let (count, width) = (shape.reduce(1, *), rowSpace(node).width)
      return count == 1 || (shape.last == width && count == width)
        || isOneARow(node.result, of: node)
    case .row(let row):
      let space = rowSpace(node)
      return node.operands.enumerated().allSatisfy { index, operand in
        let type = self.type(operand)
        return row.gain == index || type.count == 1 || RowSpace(type) == space
          || isOneARow(operand, of: node)
          || (type.count == space.width && type.sizes.last == space.width)
      }
    case .view, .kernel, .update, .body, .none: return false
    }
  }
}

extension Graph {
  /// Whether a node only names part of a value, or gives it another shape.
  fileprivate func isView(_ node: Node) -> Bool {
    guard case .view(let firstElement, _) = node.op.definition.lowering else { return false }
    return firstElement(node, type(node.operands[0]).sizes) != nil
  }
}

/// A list scheduler that keeps taking nodes of the open group while there are any.
private struct RowScheduler {
  /// Bounds of one row program; see the row machine's limits.
  static let maximumNodes = 20
  static let maximumValues = 18

  let graph: Graph
  private var dependences: Dependences
  private var readers: [[Int]] { dependences.successors }
  private var sources: [[Int]]
  private var isDone: [Bool]
  private var copy: Rebuilder
  private var ready = SortedIndices()
  /// Those that are views, apart from the others.
  private var readyViews = SortedIndices()
  /// Those of one row space between the same attentions: what may join one group.
  private var readyRows: [Neighbourhood: SortedIndices] = [:]
  private let deferral: Deferral
  /// Attentions before each node.
  private let phase: [Int]
  /// The row space of each node that a row program can compute.
  private let spaces: [RowSpace?]
  private let isView: [Bool]

  init(_ graph: Graph) {
    self.graph = graph
    phase = phases(graph.nodes) { $0.op.definition.endsPhase }
    let spaces = graph.nodes.map { graph.fitsRowProgram($0) ? graph.rowSpace($0) : nil }
    self.spaces = spaces
    isView = graph.nodes.map(graph.isView)
    copy = Rebuilder(graph)
    dependences = Dependences(count: graph.nodes.count)
    sources = [[Int]](repeating: [], count: graph.nodes.count)
    isDone = [Bool](repeating: false, count: graph.nodes.count)
    let producers = graph.producers()
    for (index, node) in graph.nodes.enumerated() {
      for producer in Set(node.operands.compactMap { producers[$0] }) {
        dependences.add(index, after: producer)
        sources[index].append(producer)
      }
    }
    deferral = Deferral(graph, spaces, dependences.successors)
    for index in dependences.free { becomeReady(index) }
  }

  mutating func run() -> Graph {
    emitViews(besides: [])
    while let first = ready.first(where: { !isDeferred($0) }) ?? ready.all.first {
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
    while let view = readyViews.first(where: {
      !graph.nodes[$0].operands.contains(where: made.contains)
    }) {
      copy.copy(graph.nodes[view])
      finish(view)
    }
  }

  /// Whether a node should run together with its only reader, which cannot run yet.
  private func isDeferred(_ index: Int) -> Bool {
    deferral.isDeferred(index) { node, reader in
      guard let space = spaces[reader] else { return false }
      return waits(reader, besides: node, in: space)
    }
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
      $0 != index && !isDone[$0] && (dependences.waiting[$0] > 0 || spaces[$0] != space)
    }
  }

  private mutating func emitGroup(from first: Int, in space: RowSpace) {
    var members: [Int] = []
    var made = Set<Value>()
    var touched = Set<Value>()
    // Sums over rows are complete only when the whole group has run.
    var sums = Set<Value>()
    func joins(_ index: Int) -> Bool {
      if isDeferred(index) { return false }
      let node = graph.nodes[index]
      guard
        node.operands.contains(where: touched.contains)
          || partners(of: index, in: space).contains(where: touched.contains)
      else { return false }
      // Results of a node that did not run yet are new; operands may repeat.
      let added = Set(node.operands.filter { !touched.contains($0) }).count + node.results.count
      return touched.count + added <= Self.maximumValues + members.count
        && !node.operands.contains(where: sums.contains)
    }
    let neighbourhood = Neighbourhood(space: space, phase: phase[first])
    var joining: Int? = first
    while let next = joining {
      members.append(next)
      made.formUnion(graph.nodes[next].results)
      touched.formUnion(graph.nodes[next].operands + graph.nodes[next].results)
      if graph.nodes[next].op.isRowSum {
        sums.formUnion(graph.nodes[next].results)
      }
      finish(next)
      emitViews(besides: made)
      joining =
        members.count < Self.maximumNodes ? readyRows[neighbourhood]?.first(where: joins) : nil
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

  private mutating func becomeReady(_ index: Int) {
    if isView[index] { return readyViews.insert(index) }
    ready.insert(index)
    if let space = spaces[index] {
      readyRows[Neighbourhood(space: space, phase: phase[index]), default: SortedIndices()]
        .insert(index)
    }
  }

  private mutating func finish(_ index: Int) {
    isDone[index] = true
    if isView[index] {
      readyViews.remove(index)
    } else {
      ready.remove(index)
      if let space = spaces[index] {
        readyRows[Neighbourhood(space: space, phase: phase[index])]?.remove(index)
      }
    }
    for reader in dependences.finish(index) { becomeReady(reader) }
  }
}

/// A row space between two attentions.
private struct Neighbourhood: Hashable {
  let space: RowSpace
  let phase: Int
}

/// Which nodes should run together with their only reader, because that waits for others.
///
/// A node is deferred if its reader waits, or is deferred itself. Once a reader does not wait any more
/// it never will again, so the way along readers is shortened each time it is gone.
private final class Deferral {
  /// The only reader of each node of its space that reads one value of the space: what may wait.
  private let reader: [Int?]
  /// A later node on the way, deferred when this one is.
  private var skip: [Int]

  init(_ graph: Graph, _ spaces: [RowSpace?], _ readers: [[Int]]) {
    reader = graph.nodes.indices.map { index in
      guard let space = spaces[index], readers[index].count == 1,
        spaces[readers[index][0]] == space,
        graph.nodes[index].operands.count(where: { RowSpace(graph.type($0)) == space }) == 1
      else { return nil }
      return readers[index][0]
    }
    skip = Array(graph.nodes.indices)
  }

  /// `waits(node, reader)` says whether the reader waits for anything but the node.
  func isDeferred(_ index: Int, _ waits: (Int, Int) -> Bool) -> Bool {
    var passed: [Int] = []
    var node = skip[index]
    var isDeferred = false
    while let reader = reader[node] {
      if waits(node, reader) {
        isDeferred = true
        break
      }
      passed.append(node)
      node = skip[reader]
    }
    for other in passed { skip[other] = node }
    return isDeferred
  }
}
