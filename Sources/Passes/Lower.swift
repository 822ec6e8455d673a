// SPDX-License-Identifier: Apache-2.0
// Turns a graph into kernel calls over virtual buffers, as the definitions of its ops say.

import IR

/// The three lists of a function: once ever, once per change of the parameters, every run.
enum Stage: Int, CaseIterable { case setup, prepare, body }

extension PlanStep {
  /// Values that only bf16 products make or take lie in memory as bf16.
  static let chooseStorage = PlanStep("choose-storage", "Choose what lies in memory as bf16.") {
    $0.stored = $0.graph.valuesStoredAsBF16()
  }

  /// Ops become kernel calls, as their definitions say.
  static let lower = PlanStep("lower", "Turn nodes into kernel calls.") { try $0.run() }
}

/// One function on its way to a plan. Requires bound sizes and a forward without its `dist`.
final class Lowering: LoweringContext {
  let graph: Graph
  let layout: ParameterLayout
  /// Values that lie in memory as bf16.
  fileprivate(set) var stored: Set<Value> = []
  var calls: [Stage: [LoweredCall]] = [.setup: [], .prepare: [], .body: []]
  private(set) var virtualBytes: [Int] = []
  private(set) var slots: [Value: Slot] = [:]
  /// Complete when memory is planned.
  var function: PlanFunction
  var isPlanned = false
  private let parameterOnly: Set<Value>
  /// Where results lie that are written to a parameter in the end.
  private var places: [Value: Slot] = [:]
  private var made: [Derived: Slot] = [:]
  /// In which the node runs that is being lowered.
  private var stage = Stage.body

  private struct Derived: Hashable {
    let kernel: Kernel
    let value: Value?
  }

  init(_ graph: Graph, layout: ParameterLayout) {
    (self.graph, self.layout) = (graph, layout)
    function = PlanFunction(name: graph.name)
    parameterOnly = graph.parameterOnlyValues(with: graph.scalarsOfStep)
  }

  fileprivate func run() throws {
    try placeParameters()
    for input in graph.inputs { slots[input] = newSlot(bytes: graph.type(input).count * 4) }
    places = graph.writesInPlace { self.stage(of: $0) == .body }.compactMapValues { slots[$0] }
    let packedAfter = graph.placesToPackTokens()
    for (index, node) in graph.nodes.enumerated() {
      try lower(node)
      for panels in packedAfter[index] ?? [] {
        _ = tokenPanels(panels.value, isBF16: panels.isBF16)
      }
    }
    for write in graph.writes where slots[write.value] != slots[write.target] {
      copy(write.value, to: slots[write.target]!)
    }
  }

  private func placeParameters() throws {
    var stateBytes = 0
    for (parameter, value) in zip(graph.parameters, graph.parameterValues) {
      switch parameter.role {
      case .param:
        guard let entry = layout[parameter.path] else {
          throw OpError("parameter \(parameter.path) is not in the model's layout")
        }
        slots[value] = Slot(home: .fixed(.parameter), offset: entry.offset)
      case .state, .average:
        slots[value] = Slot(home: .fixed(.state), offset: stateBytes)
        function.states.append(
          .init(
            path: parameter.path, type: parameter.type, offset: stateBytes,
            initial: parameter.initial, averageOf: parameter.averagedPath))
        stateBytes += (parameter.type.count * 4 + 63) / 64 * 64
      }
    }
    function.stateBytes = stateBytes
    let written = Set(graph.writes.map(\.target))
    function.updates = zip(graph.parameters, graph.parameterValues)
      .filter { $0.role == .param && written.contains($1) }.map(\.0.path)
  }

  private func lower(_ node: Node) throws {
    stage = stage(of: node)
    switch node.op.definition.lowering {
    case .view(let firstElement, let kernel):
      let operand = node.operands[0]
      if let first = firstElement(node, graph.type(operand).sizes) {
        var slot = slot(operand)
        slot.offset += first * (isBF16(node.result) ? 2 : 4)
        slots[node.result] = slot
      } else {
        try kernel?(self, node)
      }
    case .row, .rowSum: try lowerRows([node], yielding: node.results)
    case .body: try lowerRows(node.body, yielding: node.results)
    case .kernel(let emit): try emit(self, node)
    case .update(let update): try lowerUpdate(node, update)
    case .none(let reason): throw OpError("\(node.op.rawValue) reaches the runtime: \(reason)")
    }
  }

  private func lowerUpdate(
    _ node: Node, _ update: (Node, [Int]) -> (kernel: any KernelArguments, constants: [Double])
  ) throws {
    let states = node.results.count - 1
    let targets = [node.operands[0]] + node.operands[2..<(2 + states)]
    for (target, result) in zip(targets, node.results) {
      guard let slot = slots[target], places[result] == slot else {
        throw OpError("\(node.op.rawValue) must end in @\(graph.name(target)), which is read later")
      }
      slots[result] = slot
    }
    let (kernel, numbers) = update(node, graph.type(node.operands[0]).sizes)
    let operands = targets + [node.operands[1]] + node.operands[(2 + states)...]
    emit(
      kernel, operands.map(slot) + (numbers.isEmpty ? [] : [constants(numbers)]),
      source: node.result)
  }

  private func copy(_ value: Value, to target: Slot) {
    stage = .body
    var program = RowProgram()
    program.registers = [
      .init(shape: .full, buffer: 0), .init(shape: .full, buffer: 1, isBF16: isBF16(value)),
    ]
    program.instructions = [.init(.copy, 0, [1])]
    let space = RowSpace(graph.type(value))
    let rows = Kernel.Rows(
      rows: space.rows, width: space.width, tileRows: space.rowsPerTile(tokens: nil),
      program: program)
    append(rows, [target, slot(value)], to: .body, source: value, tokens: nil)
  }

  /// The stage in which a node can run.
  private func stage(of node: Node) -> Stage {
    node.operands.allSatisfy(parameterOnly.contains) ? .prepare : .body
  }

  // MARK: Slots

  func isBF16(_ value: Value) -> Bool { stored.contains(value) }

  func slot(_ value: Value) -> Slot { slots[value]! }

  func result(_ value: Value) -> Slot {
    let bytes = graph.type(value).count * (isBF16(value) ? 2 : 4)
    let slot = places[value] ?? newSlot(bytes: bytes)
    slots[value] = slot
    return slot
  }

  func scratch(elements: Int) -> Slot { newSlot(bytes: elements * 4) }

  func constants(_ numbers: [Double]) -> Slot {
    let slot = Slot(home: .fixed(.constant), offset: function.constants.count * 4)
    function.constants += numbers
    return slot
  }

  func derived(_ kernel: any KernelArguments, from value: Value?, source: Value) -> Slot {
    let key = Derived(kernel: Kernel(kernel), value: value)
    if let slot = made[key] { return slot }
    let slot = newSlot(bytes: kernel.accesses[0].bytes)
    made[key] = slot
    let stage = value.map { parameterOnly.contains($0) ? Stage.prepare : .body } ?? .setup
    append(
      kernel, [slot] + (value.map { [self.slot($0)] } ?? []), to: stage, source: source,
      tokens: value.flatMap(tokens))
    return slot
  }

  private func newSlot(bytes: Int) -> Slot {
    virtualBytes.append(max(bytes, 4))
    return Slot(home: .virtual(virtualBytes.count - 1), offset: 0)
  }

  // MARK: Calls

  func emit(_ kernel: any KernelArguments, _ buffers: [Slot], source: Value, rowsOf value: Value?) {
    append(kernel, buffers, to: stage, source: source, tokens: value.flatMap(tokens))
  }

  private func append(
    _ kernel: any KernelArguments, _ buffers: [Slot], to stage: Stage, source: Value, tokens: Int?
  ) {
    calls[stage]!.append(
      LoweredCall(kernel, buffers, source: graph.name(source), tokens: tokens))
  }

  /// Batch times positions of an activation, or of an index; nil for anything else.
  func tokens(_ value: Value) -> Int? {
    let type = graph.type(value)
    return type.rank >= (type.isReal ? 3 : 2) ? type.sizes[0] * type.sizes[1] : nil
  }
}

extension Graph {
  /// Scalar inputs that move only where the parameters do, between steps: alpha of a function that runs once for
  /// each micro-batch, so that weights are quantised and packed once a step. Where the function itself updates
  /// the parameters it runs once a step anyway, and what is not prepared needs room for a part of the run alone.
  fileprivate var scalarsOfStep: [Value] {
    writes.isEmpty ? inputs.filter { name($0) == Port.qatAlpha.name } : []
  }
}
