// SPDX-License-Identifier: Apache-2.0
// Which activations and gradients lie in memory as bf16. Follows the compute precision of the products.

import IR

extension Graph {
  /// Values that only bf16 products make or take.
  ///
  /// A product rounds its operands anyway, so an operand that nothing else reads loses nothing in
  /// bf16; the result of one is rounded once, as with PyTorch's autocast. Sums over layers (the
  /// residual stream), logits, parameters, their gradients, inputs and outputs stay f32.
  func valuesStoredAsBF16() -> Set<Value> {
    var uses = StorageUses()
    for node in nodes { uses.record(node, in: self) }
    for value in inputs + parameterValues + outputs.map(\.value) + writes.map(\.value) {
      uses.fix(value)
    }
    return uses.stored()
  }
}

/// How the values of a graph are made and read. A view, and a slice, is stored as what it shows.
private struct StorageUses {
  private struct Uses {
    var isFixed = false
    var isMadeByProduct = false
    var isTakenByProduct = false
    var isTakenByRows = false
    var members: [Value] = []
  }
  private var root: [Value: Value] = [:]
  private var uses: [Value: Uses] = [:]
  /// What one call takes and makes in one storage: the tensors of an attention.
  private var bundles: [[Value]] = []

  mutating func record(_ node: Node, in graph: Graph) {
    switch node.op.definition.storage {
    case .asOperand:
      let of = find(node.operands[0])
      root[node.result] = of
      uses[of, default: Uses()].members.append(node.result)
    case .rows:
      // What stays inside a program has no place in memory.
      let nodes = node.body.isEmpty ? [node] : node.body
      let inside = Set(node.body.flatMap(\.results))
      let space = graph.rowSpace(nodes[0])
      for operand in nodes.flatMap(\.operands) where !inside.contains(operand) {
        takeByRows(operand, graph.type(operand), space)
      }
    case .product(let operands, let isResult):
      for (index, operand) in node.operands.enumerated() {
        if operands.contains(index) { take(operand, node) } else { fix(operand) }
      }
      if !isResult { fix(node.result) } else if node.computesInBF16 { make(node.result) }
    case .together(let operands, let results):
      let tensors = operands.map { node.operands[$0] } + results.map { node.results[$0] }
      for value in node.operands + node.results where !tensors.contains(value) { fix(value) }
      for tensor in tensors {
        if node.computesInBF16 { make(tensor) } else { fix(tensor) }
      }
      bundles.append(tensors)
    case .asRead:
      for operand in node.operands { fix(operand) }
    case .either:
      for operand in node.operands { uses[find(operand), default: Uses()].isTakenByRows = true }
    case .f32:
      for value in node.operands + node.results { fix(value) }
    }
  }

  /// Keeps a value f32.
  mutating func fix(_ value: Value) { uses[find(value), default: Uses()].isFixed = true }

  mutating func stored() -> Set<Value> {
    spreadFixed()
    var result = Set<Value>()
    for (value, uses) in uses where !uses.isFixed {
      let isStored = uses.isMadeByProduct || (uses.isTakenByProduct && !uses.isTakenByRows)
      if isStored { result.formUnion([value] + uses.members) }
    }
    return result
  }

  private func find(_ value: Value) -> Value { root[value] ?? value }

  private mutating func make(_ value: Value) {
    uses[find(value), default: Uses()].isMadeByProduct = true
  }

  private mutating func take(_ value: Value, _ node: Node) {
    if node.computesInBF16 {
      uses[find(value), default: Uses()].isTakenByProduct = true
    } else {
      fix(value)
    }
  }

  /// A row program reads rows in bf16, but neither vectors nor single numbers.
  private mutating func takeByRows(_ value: Value, _ type: TensorType, _ space: RowSpace) {
    if RowSpace(type) == space {
      uses[find(value), default: Uses()].isTakenByRows = true
    } else {
      fix(value)
    }
  }

  /// One f32 tensor of an attention makes all of them f32.
  private mutating func spreadFixed() {
    var isChanging = true
    while isChanging {
      isChanging = false
      for bundle in bundles {
        let fixed = bundle.filter { uses[find($0)]?.isFixed == true }
        if fixed.isEmpty || fixed.count == bundle.count { continue }
        for value in bundle { fix(value) }
        isChanging = true
      }
    }
  }
}
