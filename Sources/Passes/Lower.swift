// SPDX-License-Identifier: Apache-2.0
// Turns a graph into kernel calls over virtual buffers. Offsets and barriers follow in PlanMemory.swift.

import IR

/// A buffer before it has an offset in the arena.
struct Slot: Hashable {
  enum Home: Hashable {
    case fixed(BufferReference.Space)
    case virtual(Int)
  }
  var home: Home
  /// In bytes, from the start of the home.
  var offset: Int
}

/// A kernel call over slots.
struct LoweredCall {
  var kernel: Kernel
  /// In the order of the kernel's contract.
  var slots: [Slot]
  /// Bytes of each slot that the call touches.
  var extents: [Int]
  /// How many of the first slots the call writes; it reads the others.
  var outputs: Int
  var sizes: [Int]
  var scalars: [Double]
  var program: RowProgram?
  var source: String
  /// What lets the call run tile by tile, token rows at a time; nil if it cannot.
  var tiling: Tiling?
  /// Whether it goes on with the chain of the call before it.
  var isChained = false
}

/// A call that computes token rows [i h, (i + 1) h) from the same rows of some of its operands.
struct Tiling: Hashable {
  /// Token rows of the call: batch times positions.
  var tokens: Int
  /// Positions in `slots` whose rows lie in the order of the tokens; the others are read whole, or
  /// written tile by tile.
  var rowwise: Set<Int>
  /// Where `sizes` holds the rows of a tile; nil where they are fixed already.
  var rowsAt: Int?

  /// Token rows of one tile: a multiple of the six rows that a product computes at once, few enough
  /// that their activations stay in the second-level cache, and at least sixteen tiles to share.
  /// Where a few more rows leave a team waiting less for its last tile, a tile has those.
  static func rows(tokens: Int) -> Int {
    guard let least = [96, 48, 24].first(where: { tokens >= 16 * $0 }) else { return 12 }
    return [least, least + 6, least + 12].min { waiting(tokens, $0) < waiting(tokens, $1) }!
  }

  /// Rows that teams of two, four and eight threads could compute while they wait for a last tile.
  private static func waiting(_ tokens: Int, _ rows: Int) -> Int {
    let (whole, rest) = tokens.quotientAndRemainder(dividingBy: rows)
    return [2, 4, 8].reduce(0) { sum, threads in
      let last = whole % threads > 0 ? rows : rest
      return sum + threads * (whole / threads * rows + last) - tokens
    }
  }
}

/// The panels of a value that weight gradients read, of f32 or of bf16.
private struct TokenPanels: Hashable {
  var value: Value
  var isHalf: Bool
}

/// The three lists of a function: once ever, once per change of the parameters, every run.
enum Stage: Int { case setup, prepare, body }

/// Lowers one function. Requires bound sizes and a forward without its `dist`.
struct Lowering {
  let graph: Graph
  let layout: ParameterLayout
  var calls: [Stage: [LoweredCall]] = [.setup: [], .prepare: [], .body: []]
  var virtualBytes: [Int] = []
  var slots: [Value: Slot] = [:]
  var function: PlanFunction
  private let parameterOnly: Set<Value>
  private var packed: [PackKey: Slot] = [:]
  private var ropeTables: [[AttributeName: AttributeValue]: [Int: Slot]] = [:]
  private var tokenPanels: [TokenPanels: Slot] = [:]
  /// Values to pack for weight gradients as soon as a node is lowered, by its index.
  private var packedAfter: [Int: [TokenPanels]] = [:]
  private var quantScales: [Value: Slot] = [:]
  private var aliases: [Value: Slot] = [:]
  /// Values that lie in memory as bf16.
  let halves: Set<Value>

  private struct PackKey: Hashable {
    let weight: Value
    let isTransposed: Bool
    let isHalf: Bool
  }

  init(_ graph: Graph, layout: ParameterLayout) {
    self.graph = graph
    self.layout = layout
    function = PlanFunction(name: graph.name)
    parameterOnly = graph.parameterOnlyValues()
    halves = graph.valuesStoredAsBF16()
  }

  mutating func run() throws {
    var stateBytes = 0
    for (index, parameter) in graph.parameters.enumerated() {
      let value = graph.parameterValues[index]
      switch parameter.role {
      case .param:
        guard let entry = layout[parameter.path] else {
          throw OpError("parameter \(parameter.path) is not in the model's layout")
        }
        slots[value] = Slot(home: .fixed(.parameter), offset: entry.offset)
      case .state:
        slots[value] = Slot(home: .fixed(.state), offset: stateBytes)
        function.states.append(
          .init(
            path: parameter.path, type: parameter.type, offset: stateBytes,
            initial: parameter.initial))
        stateBytes += (parameter.type.count * 4 + 63) / 64 * 64
      }
    }
    function.stateBytes = stateBytes
    let written = Set(graph.writes.map(\.target))
    function.updates = graph.parameters.indices.compactMap { index in
      let isUpdated = written.contains(graph.parameterValues[index])
      return isUpdated && graph.parameters[index].role == .param
        ? graph.parameters[index].path : nil
    }
    for input in graph.inputs { slots[input] = newSlot(graph.type(input).count) }
    bindWrites()
    packedAfter = graph.placesToPackTokens()
    for (index, node) in graph.nodes.enumerated() {
      try lower(node)
      for panels in packedAfter[index] ?? [] {
        _ = packTokens(panels.value, isHalf: panels.isHalf)
      }
    }
    for write in graph.writes where slots[write.value] != slots[write.target] {
      copy(write.value, to: slots[write.target]!)
    }
  }

  // MARK: Slots

  mutating func newSlot(_ elements: Int) -> Slot { newSlot(bytes: elements * 4) }

  mutating func newSlot(bytes: Int) -> Slot {
    virtualBytes.append(max(bytes, 4))
    return Slot(home: .virtual(virtualBytes.count - 1), offset: 0)
  }

  /// The slot of a result: that of the parameter it will be written to, or a new one.
  mutating func resultSlot(_ value: Value) -> Slot {
    let slot = aliases[value] ?? newSlot(bytes: bytes(value))
    slots[value] = slot
    return slot
  }

  /// Whether a value lies in memory as bf16.
  func isHalf(_ value: Value) -> Bool { halves.contains(value) }

  func bytes(_ value: Value) -> Int { graph.type(value).count * (isHalf(value) ? 2 : 4) }

  /// The bits of the operands, in order, that lie in memory as bf16.
  private func halfBits(_ values: Value...) -> Int {
    values.enumerated().reduce(0) { $0 | (isHalf($1.element) ? 1 << $1.offset : 0) }
  }

  /// Where a result will be written if that is a parameter's place.
  func writtenParameter(_ value: Value) -> Slot? { aliases[value] }

  /// Lets values that end in a parameter be computed in its place, where nobody reads the old
  /// content afterwards. Updates (AdamW and its like) always work in place.
  private mutating func bindWrites() {
    let producers = graph.producers()
    var lastRead: [Value: Int] = [:]
    // What a view is a view of.
    var root: [Value: Value] = [:]
    for (index, node) in graph.nodes.enumerated() {
      for operand in node.operands { lastRead[root[operand] ?? operand] = index }
      if [.slice, .splitHeads, .mergeHeads].contains(node.op) {
        root[node.result] = root[node.operands[0]] ?? node.operands[0]
      }
    }
    for output in graph.outputs { lastRead[root[output.value] ?? output.value] = Int.max }
    for write in graph.writes {
      guard let producer = producers[write.value], let target = slots[write.target] else {
        continue
      }
      let node = graph.nodes[producer]
      // What depends on parameters alone runs when they changed, a write in every run.
      guard stage(node) == .body else { continue }
      let last = lastRead[write.target] ?? -1
      let readsView = node.operands.contains { root[$0] == write.target }
      if last < producer
        || (last == producer && !readsView && node.canReplace(write.target, by: write.value))
      {
        aliases[write.value] = target
      }
    }
  }

  // MARK: Calls

  mutating func emit(
    _ kernel: Kernel, to stage: Stage, writing outputs: [(Slot, Int)],
    reading inputs: [(Slot, Int)],
    sizes: [Int], scalars: [Double] = [], program: RowProgram? = nil, source: Value,
    tiling: Tiling? = nil
  ) {
    let all = outputs + inputs
    calls[stage]!.append(
      LoweredCall(
        kernel: kernel, slots: all.map(\.0), extents: all.map(\.1),
        outputs: outputs.count, sizes: sizes, scalars: scalars, program: program,
        source: graph.name(source), tiling: tiling))
  }

  /// Batch times positions of an activation; nil for anything else.
  func tokens(_ value: Value) -> Int? {
    let type = graph.type(value)
    return type.rank >= 3 ? type.sizes[0] * type.sizes[1] : nil
  }

  /// How a call over the rows of `value` tiles, if it has tokens.
  private func tiling(_ value: Value, rowwise: Set<Int>, rowsAt: Int) -> Tiling? {
    tokens(value).map { Tiling(tokens: $0, rowwise: rowwise, rowsAt: rowsAt) }
  }

  /// The stage in which a node can run.
  func stage(_ node: Node) -> Stage {
    node.operands.allSatisfy(parameterOnly.contains) ? .prepare : .body
  }

  func operand(_ value: Value) -> (Slot, Int) { (slots[value]!, bytes(value)) }

  private mutating func result(_ value: Value) -> (Slot, Int) { (resultSlot(value), bytes(value)) }

  private mutating func copy(_ value: Value, to target: Slot) {
    var program = RowProgram()
    program.registers = [
      .init(shape: .full, buffer: 0), .init(shape: .full, buffer: 1, isHalf: isHalf(value)),
    ]
    program.instructions = [.init(.copy, 0, [1])]
    let space = RowSpace(graph.type(value))
    emit(
      .rows, to: .body, writing: [(target, bytes(value))], reading: [operand(value)],
      sizes: [space.rows, space.width, space.rowsPerTile(tokens: nil)], program: program, source: value)
  }

  private mutating func lower(_ node: Node) throws {
    let stage = stage(node)
    let operands = node.operands
    func rows(_ value: Value) -> Int {
      graph.type(value).sizes.dropLast().reduce(1, *)
    }
    switch node.op {
    case .fused:
      try lowerRows(node.body, yielding: node.results, stage: stage)
    case _ where node.op.isRowLocal:
      try lowerRows([node], yielding: node.results, stage: stage)
    case .splitHeads, .mergeHeads:
      slots[node.result] = slots[operands[0]]!
    case .slice:
      lowerSlice(node, stage)
    case .unslice:
      let shape = graph.type(node.result).sizes
      let axis = node.int(.axis)
      let squeezed = graph.type(operands[0]).rank < shape.count
      let count = squeezed ? 1 : graph.type(operands[0]).sizes[axis]
      emit(
        .unslice, to: stage, writing: [result(node.result)], reading: [operand(operands[0])],
        sizes: [
          shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *),
          node.int(.start), count, halfBits(node.result),
        ], source: node.result)
    case .linear:
      let weight = graph.type(operands[1]).sizes
      let (n, k) = (weight[0], weight[1])
      matmul(node, x: operands[0], weight: operands[1], m: rows(operands[0]), n: n, k: k, false)
    case .linearBackwardInput:
      let weight = graph.type(operands[1]).sizes
      matmul(
        node, x: operands[0], weight: operands[1], m: rows(operands[0]), n: weight[1], k: weight[0],
        true)
    case .linearBackwardWeight:
      let sizes = graph.type(node.result).sizes
      let isHalf = node.computesInHalf
      let reading = operands.map { packTokens($0, isHalf: isHalf) }
      emit(
        .matmulWeight, to: stage, writing: [result(node.result)], reading: reading,
        sizes: [
          rows(operands[0]), sizes[0], sizes[1], 0, isHalf ? 1 : 0,
        ], source: node.result)
    case .embed:
      let table = graph.type(operands[0]).sizes
      emit(
        .embed, to: stage, writing: [result(node.result)], reading: operands.map(operand),
        sizes: [graph.type(operands[1]).count, table[1], table[0], 0], source: node.result,
        tiling: tiling(node.result, rowwise: [0, 2], rowsAt: 3))
    case .embedBackward:
      let table = graph.type(node.result).sizes
      emit(
        .embedBackward, to: stage, writing: [result(node.result)], reading: operands.map(operand),
        sizes: [graph.type(operands[1]).count, table[1], table[0]], source: node.result)
    case .attention, .attentionBackward:
      let (q, k) = (graph.type(operands[0]).sizes, graph.type(operands[1]).sizes)
      let outputs = node.results.map { result($0) }
      emit(
        node.op == .attention ? .attention : .attentionBackward, to: stage, writing: outputs,
        reading: operands.map(operand),
        sizes: [q[0], k[1], q[2], k[2], q[3], isHalf(operands[0]) ? 1 : 0]
          + (node.op == .attention ? [q[1]] : []),
        scalars: [1 / Double(q[3]).squareRoot()], source: node.result)
    case .crossEntropy:
      let outputs = node.results.map { result($0) }
      emit(
        .crossEntropy, to: stage, writing: outputs, reading: operands.map(operand),
        sizes: [rows(operands[0]), graph.type(operands[0]).sizes.last!, 0],
        scalars: [node.double(.cap)], source: node.result,
        tiling: tiling(operands[0], rowwise: [0, 1, 2, 3], rowsAt: 2))
    case .crossEntropyBackward:
      emit(
        .crossEntropyBackward, to: stage, writing: [result(node.result)],
        reading: operands.map(operand),
        sizes: [
          rows(operands[0]), graph.type(operands[0]).sizes.last!, 0, halfBits(node.result),
        ], scalars: [node.double(.cap)], source: node.result,
        tiling: tiling(operands[0], rowwise: [0, 1, 2, 3, 4], rowsAt: 2))
    case .dot:
      emit(
        .dot, to: stage, writing: [result(node.result)], reading: operands.map(operand),
        sizes: [graph.type(operands[0]).count], source: node.result)
    case .fakeQuant, .fakeQuantBackward:
      lowerFakeQuant(node, stage)
    case .clipFactor:
      lowerClipFactor(node, stage)
    case .adamwUpdate, .sgdUpdate, .muonUpdate:
      try lowerUpdate(node, stage)
    case .softmax:
      throw OpError("softmax reaches the runtime: derive logits, loss or score first")
    default:
      throw OpError("\(node.op.rawValue) has no kernel")
    }
  }

  private mutating func matmul(
    _ node: Node, x: Value, weight: Value, m: Int, n: Int, k: Int, _ isTransposed: Bool
  ) {
    let isHalf = node.computesInHalf
    let key = PackKey(weight: weight, isTransposed: isTransposed, isHalf: isHalf)
    let stage = stage(node)
    let packedBytes = Lowering.packedBytes(columns: n, depth: k, isHalf: isHalf)
    if packed[key] == nil {
      let slot = newSlot(packedBytes / 4)
      packed[key] = slot
      let sizes = graph.type(weight).sizes
      emit(
        .pack, to: parameterOnly.contains(weight) ? .prepare : .body,
        writing: [(slot, packedBytes)],
        reading: [operand(weight)],
        sizes: [sizes[0], sizes[1], isTransposed ? 1 : 0, isHalf ? 1 : 0],
        source: weight)
    }
    emit(
      .matmul, to: stage, writing: [result(node.result)],
      reading: [operand(x), (packed[key]!, packedBytes)],
      sizes: [m, n, k, n, k, 0, isHalf ? 1 : 0, halfBits(x, node.result), 0],
      source: node.result, tiling: tiling(node.result, rowwise: [0, 1], rowsAt: 8))
  }

  /// Bytes of a packed operand: panels 64 (or, for narrow ones, 32) wide, padded; in bf16 the depth
  /// is rounded up to pairs.
  static func packedBytes(columns: Int, depth: Int, isHalf: Bool) -> Int {
    let panel = columns <= 32 ? 32 : 64
    let padded = (columns + panel - 1) / panel * panel
    return isHalf ? padded * ((depth + 1) / 2 * 2) * 2 : padded * depth * 4
  }

  /// The panels of a value for weight gradients, made once.
  private mutating func packTokens(_ value: Value, isHalf: Bool) -> (Slot, Int) {
    let type = graph.type(value)
    let width = type.sizes.last!
    let rows = type.count / width
    let bytes = Lowering.tokenPanelBytes(tokens: rows, columns: width, isHalf: isHalf)
    let key = TokenPanels(value: value, isHalf: isHalf)
    if let slot = tokenPanels[key] { return (slot, bytes) }
    let slot = newSlot(bytes: bytes)
    tokenPanels[key] = slot
    emit(
      .packTokens, to: parameterOnly.contains(value) ? .prepare : .body, writing: [(slot, bytes)],
      reading: [operand(value)],
      sizes: [rows, width, width, halfBits(value), 0, isHalf ? 1 : 0], source: value,
      tiling: tokens(value) == rows ? Tiling(tokens: rows, rowwise: [1], rowsAt: 4) : nil)
    return (slot, bytes)
  }

  /// Bytes of such panels: words of a token, or in bf16 of two, sixteen columns wide, an odd number of
  /// lines each.
  static func tokenPanelBytes(tokens: Int, columns: Int, isHalf: Bool) -> Int {
    (columns + 15) / 16 * ((isHalf ? (tokens + 1) / 2 : tokens) | 1) * 64
  }

  /// The table of a rotary embedding, made once for its attributes and positions.
  mutating func ropeTable(_ node: Node, positions: Int) -> Slot {
    let key = node.attributes.filter { $0.key != .start }
    if let slot = ropeTables[key]?[positions] { return slot }
    let dims = node.int(.dims)
    let slot = newSlot(positions * dims)
    ropeTables[key, default: [:]][positions] = slot
    emit(
      .ropeTable, to: .setup, writing: [(slot, positions * dims * 4)], reading: [],
      sizes: [positions, dims],
      scalars: [
        node.double(.base), Double(node.int(.train)), node.double(.rampFrom),
        node.double(.rampFactor),
      ], source: node.result)
    return slot
  }

  private mutating func lowerSlice(_ node: Node, _ stage: Stage) {
    let shape = graph.type(node.operands[0]).sizes
    let axis = node.int(.axis)
    let outer = shape[..<axis].reduce(1, *)
    let inner = shape[(axis + 1)...].reduce(1, *)
    if outer == 1 {
      // Contiguous: a view.
      var slot = slots[node.operands[0]]!
      slot.offset += node.int(.start) * inner * (isHalf(node.result) ? 2 : 4)
      slots[node.result] = slot
      return
    }
    emit(
      .slice, to: stage, writing: [result(node.result)], reading: [operand(node.operands[0])],
      sizes: [
        outer, shape[axis], inner, node.int(.start), node.int(.count), halfBits(node.result),
      ], source: node.result)
  }

  private mutating func lowerFakeQuant(_ node: Node, _ stage: Stage) {
    let weight = node.op == .fakeQuant ? node.operands[0] : node.operands[1]
    let sizes = graph.type(weight).sizes
    let quantizer = node.quantizer
    if quantScales[weight] == nil {
      let slot = newSlot(sizes[0])
      quantScales[weight] = slot
      let clip = ["max", "quantile", "sdclip"].firstIndex(of: quantizer.clip.word)!
      emit(
        .quantScale, to: parameterOnly.contains(weight) ? .prepare : .body,
        writing: [(slot, sizes[0] * 4)], reading: [operand(weight)],
        sizes: [sizes[0], sizes[1], clip, quantizer.qmax],
        scalars: [quantizer.clip.parameter, quantizer.floor, quantizer.halfFloor], source: weight)
    }
    let mode = ["straight_through", "soft_round", "soft_round_logistic"]
      .firstIndex(of: node.word(.form))!
    let scale = (quantScales[weight]!, sizes[0] * 4)
    let alpha = operand(node.operands.last!)
    let reading =
      node.op == .fakeQuant
      ? [operand(weight), scale, alpha]
      : [operand(node.operands[0]), operand(weight), scale, alpha]
    emit(
      node.op == .fakeQuant ? .fakeQuant : .fakeQuantBackward, to: stage,
      writing: [result(node.result)], reading: reading,
      sizes: sizes + [quantizer.qmin, quantizer.qmax, mode], source: node.result)
  }

  private mutating func lowerClipFactor(_ node: Node, _ stage: Stage) {
    let parts = newSlot(node.operands.count)
    for (index, gradient) in node.operands.enumerated() {
      var part = parts
      part.offset += index * 4
      emit(
        .dot, to: stage, writing: [(part, 4)], reading: [operand(gradient), operand(gradient)],
        sizes: [graph.type(gradient).count], source: gradient)
    }
    let outputs = node.results.map { result($0) }
    emit(
      .clipFactor, to: stage, writing: outputs, reading: [(parts, node.operands.count * 4)],
      sizes: [node.operands.count], scalars: [node.double(.limit)], source: node.result)
  }

  private mutating func lowerUpdate(_ node: Node, _ stage: Stage) throws {
    let states = node.op == .adamwUpdate ? 2 : 1
    let targets = [node.operands[0]] + node.operands[2..<(2 + states)]
    for (target, result) in zip(targets, node.results) {
      guard let slot = slots[target], aliases[result] == slot else {
        throw OpError("\(node.op.rawValue) must end in @\(graph.name(target)), which is read later")
      }
      slots[result] = slot
    }
    let outputs = targets.map(operand)
    var reading = [operand(node.operands[1])] + node.operands[(2 + states)...].map(operand)
    let type = graph.type(node.operands[0])
    switch node.op {
    case .adamwUpdate:
      emit(
        .adamw, to: stage, writing: outputs, reading: reading, sizes: [type.count],
        scalars: [
          node.double(.beta1), node.double(.beta2), node.double(.epsilon), node.double(.decay),
        ],
        source: node.result)
    case .sgdUpdate:
      emit(
        .sgd, to: stage, writing: outputs, reading: reading, sizes: [type.count],
        scalars: [node.double(.momentum), node.double(.decay)], source: node.result)
    default:
      guard type.rank == 2 else {
        throw OpError("muon updates matrices, \(graph.name(node.operands[0])) is \(type)")
      }
      let coefficients = NewtonSchulz.coefficients(node.word(.iteration), steps: node.int(.steps))
      let offset = function.constants.count * 4
      function.constants += coefficients.flatMap { $0 }
      reading.append((Slot(home: .fixed(.constant), offset: offset), coefficients.count * 12))
      emit(
        .muon, to: stage, writing: outputs, reading: reading,
        sizes: type.sizes
          + [node.int(.steps), node.bool(.rowNormalise) ? 1 : 0, node.computesInHalf ? 1 : 0],
        scalars: [node.double(.decay)], source: node.result)
    }
  }
}

extension Node {
  /// Whether `value` may be written where `target` is read: updates work in place, and row programs
  /// that have read it by then.
  fileprivate func canReplace(_ target: Value, by value: Value) -> Bool {
    switch op {
    case .adamwUpdate, .sgdUpdate, .muonUpdate: return true
    case .fused:
      let last = body.lastIndex { $0.operands.contains(target) } ?? -1
      return last <= body.firstIndex { $0.results.contains(value) } ?? -1
    default: return op.isRowLocal
    }
  }
}

extension Graph {
  /// Where to pack operands of weight gradients early, by the index of a node.
  ///
  /// A value that nothing but weight gradients reads any more is packed after its last other reader,
  /// so that the panels are all that stays of it. One that is needed later as it is has no entry: it
  /// is packed when the first weight gradient wants it, rather than kept twice.
  fileprivate func placesToPackTokens() -> [Int: [TokenPanels]] {
    // What a view is a view of.
    var root: [Value: Value] = [:]
    var made: [Value: Int] = [:]
    var lastRead: [Value: Int] = [:]
    var firstPacked: [TokenPanels: Int] = [:]
    for (index, node) in nodes.enumerated() {
      if [.slice, .splitHeads, .mergeHeads].contains(node.op) {
        root[node.result] = root[node.operands[0]] ?? node.operands[0]
      }
      for result in node.results { made[result] = index }
      for operand in node.operands {
        if node.op == .linearBackwardWeight {
          let panels = TokenPanels(value: operand, isHalf: node.computesInHalf)
          firstPacked[panels] = firstPacked[panels] ?? index
        } else {
          lastRead[root[operand] ?? operand] = index
        }
      }
    }
    for value in outputs.map(\.value) + writes.map(\.value) {
      lastRead[root[value] ?? value] = Int.max
    }
    var places: [Int: [TokenPanels]] = [:]
    for (panels, first) in firstPacked {
      guard let maker = made[panels.value] else { continue }
      let place = max(maker, lastRead[root[panels.value] ?? panels.value] ?? -1)
      if place < first { places[place, default: []].append(panels) }
    }
    return places.mapValues { $0.sorted { made[$0.value]! < made[$1.value]! } }
  }
}

extension Node {
  /// Whether the products of this node are computed in bf16.
  var computesInHalf: Bool { word(.compute) == ComputePrecision.bf16.rawValue }

  /// The quantiser that a fake_quant node stands for.
  public var quantizer: Quantizer {
    let clip: Quantizer.Clip
    switch word(.clip) {
    case "quantile": clip = .quantile(double(.parameter))
    case "sdclip": clip = .sdclip(double(.parameter))
    default: clip = .max
    }
    return Quantizer(
      bits: int(.bits), clip: clip, floor: double(.floor), halfFloor: double(.halfFloor),
      isAsymmetric: bool(.asymmetric))
  }
}
