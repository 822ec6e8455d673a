// SPDX-License-Identifier: Apache-2.0
// The one way to make and rewrite graphs: applies shape rules, fills defaults, keeps names unique.

/// An op was applied to operands that it does not take.
public struct OpError: Error, CustomStringConvertible {
  public var message: String
  public var description: String { message }
  public init(_ message: String) { self.message = message }
}

/// Appends to a graph.
public struct Builder {
  public private(set) var graph: Graph
  private var names: Set<String> = []
  private var repetitions: [String: Int] = [:]
  /// Attached to the nodes made from now on.
  public var location = ""
  /// Prefix of the names made from now on, `blocks.3'2.attn` or empty.
  public var path = ""

  public init(name: String) { graph = Graph(name: name) }

  /// Begins a graph of about the size of another one.
  fileprivate init(name: String, sizeOf other: Graph) {
    self.init(name: name)
    graph.values.reserveCapacity(other.values.count)
    graph.nodes.reserveCapacity(other.nodes.count)
    names.reserveCapacity(other.values.count)
  }

  /// Declares a parameter or state. Paths are unique: a precondition.
  public mutating func declare(_ parameter: Parameter) -> Value {
    let value = makeValue(parameter.path, parameter.type, .parameter(graph.parameters.count))
    graph.parameters.append(parameter)
    graph.parameterValues.append(value)
    return value
  }

  public mutating func input(_ name: String, _ type: TensorType) -> Value {
    let value = makeValue(name, type, .input)
    graph.inputs.append(value)
    names.insert(name)
    return value
  }

  public mutating func input(_ port: Port, _ type: TensorType) -> Value { input(port.name, type) }

  /// Keeps a name for an input that is declared later: nodes that take it get another one.
  public mutating func reserve(_ name: String) { names.insert(name) }

  /// Appends a node and returns its results. Attributes left out get their defaults.
  public mutating func apply(
    _ op: Op, _ operands: [Value], _ attributes: [AttributeName: AttributeValue] = [:],
    names resultNames: [String] = []
  ) throws -> [Value] {
    let definition = op.definition
    var complete = attributes
    if complete.count < definition.attributes.count {
      for (name, kind) in definition.attributes where complete[name] == nil {
        guard let value = kind.defaultValue else {
          throw OpError("\(op.rawValue) needs the attribute \(name.rawValue)")
        }
        complete[name] = value
      }
    }
    let types = operands.map { graph.type($0) }
    let resultTypes = try definition.check(op, types, complete)
    var results: [Value] = []
    for (index, type) in resultTypes.enumerated() {
      var wanted: String
      if index < resultNames.count {
        wanted = resultNames[index]
      } else {
        wanted = path.isEmpty ? op.rawValue : path + "." + op.rawValue
        if index > 0 { wanted += "." + definition.results[index] }
      }
      results.append(makeValue(unique(&wanted), type, .node))
    }
    graph.nodes.append(
      Node(
        op: op, operands: operands, attributes: complete, results: results, location: location))
    return results
  }

  /// Appends a node with one result. For ops whose operands are known to fit.
  public mutating func one(
    _ op: Op, _ operands: [Value], _ attributes: [AttributeName: AttributeValue] = [:],
    name: String? = nil
  ) -> Value {
    do {
      return try apply(op, operands, attributes, names: name.map { [$0] } ?? [])[0]
    } catch {
      preconditionFailure("\(op.rawValue): \(error)")
    }
  }

  /// Appends a node of another graph for operands that have the types of those it had there: its
  /// shape rule would say the same again.
  fileprivate mutating func append(_ node: Node, of source: Graph, _ operands: [Value]) -> [Value] {
    let results = node.results.map { result in
      let value = source.values[result.index]
      var name = value.name
      return makeValue(unique(&name), value.type, .node)
    }
    graph.nodes.append(
      Node(
        op: node.op, operands: operands, attributes: node.attributes, results: results,
        location: location))
    return results
  }

  /// Groups nodes that were already remapped into one fused node; `results` are the values read outside.
  public mutating func fuse(_ body: [Node], results: [Value], location: String = "") {
    let made = Set(body.flatMap(\.results))
    var operands: [Value] = []
    for node in body {
      for operand in node.operands where !made.contains(operand) && !operands.contains(operand) {
        operands.append(operand)
      }
    }
    graph.nodes.append(
      Node(
        op: .fused, operands: operands, attributes: [:], results: results, body: body,
        location: location))
  }

  public mutating func write(_ target: Value, _ value: Value) {
    graph.writes.append(.init(target: target, value: value))
  }
  public mutating func output(_ name: String, _ value: Value) {
    graph.outputs.append(.init(name: name, value: value))
  }
  public mutating func output(_ port: Port, _ value: Value) { output(port.name, value) }
  public func type(_ value: Value) -> TensorType { graph.type(value) }

  private mutating func makeValue(
    _ name: String, _ type: TensorType, _ origin: ValueInfo.Origin
  ) -> Value {
    graph.values.append(ValueInfo(name: name, type: type, origin: origin))
    return Value(index: graph.values.count - 1)
  }

  private mutating func unique(_ name: inout String) -> String {
    if names.insert(name).inserted { return name }
    // `x~2` repeats within one call; counting per base name keeps names where they are when others go.
    let base = name
    repeat {
      let next = (repetitions[base] ?? 1) + 1
      repetitions[base] = next
      name = "\(base)~\(next)"
    } while !names.insert(name).inserted
    return name
  }
}

// MARK: - Rebuilding

/// Copies a graph node by node into a builder, with values renamed on the way: what every pass does.
public struct Rebuilder {
  public let source: Graph
  public var builder: Builder
  private let sizes: [String: Int]
  private var mapping: [Value?]

  /// Starts a copy: declarations (passed through `change`) and inputs are already there.
  public init(
    _ source: Graph, name: String? = nil, binding sizes: [String: Int] = [:],
    declaring change: (Parameter) -> Parameter = { $0 }
  ) {
    (self.source, self.sizes) = (source, sizes)
    builder = Builder(name: name ?? source.name, sizeOf: source)
    mapping = [Value?](repeating: nil, count: source.values.count)
    for (index, parameter) in source.parameters.enumerated() {
      mapping[source.parameterValues[index].index] = builder.declare(change(parameter))
    }
    for input in source.inputs {
      mapping[input.index] = builder.input(
        source.name(input), source.type(input).binding(sizes))
    }
  }

  /// The value in the copy that stands for `value` of the source.
  public subscript(_ value: Value) -> Value {
    guard let mapped = mapping[value.index] else {
      preconditionFailure("%\(source.name(value)) is used before it is made")
    }
    return mapped
  }

  public func has(_ value: Value) -> Bool { mapping[value.index] != nil }

  /// From now on `value` of the source means `replacement` of the copy.
  public mutating func map(_ value: Value, to replacement: Value) {
    mapping[value.index] = replacement
  }

  /// Copies a node of the source with its attributes, names and location. The node may have other
  /// attributes there, as long as they mean the same types.
  public mutating func copy(_ node: Node) {
    builder.location = node.location
    if node.op == .fused {
      let start = builder.graph.nodes.count
      for inner in node.body { copy(inner) }
      builder.regroup(from: start, results: node.results.map { self[$0] }, location: node.location)
      return
    }
    let operands = node.operands.map { self[$0] }
    let results: [Value]
    if sizes.isEmpty, haveEqualTypes(node.operands, operands) {
      results = builder.append(node, of: source, operands)
    } else {
      do {
        results = try builder.apply(
          node.op, operands, node.attributes.mapValues { $0.binding(sizes) },
          names: node.results.map { source.name($0) })
      } catch {
        preconditionFailure("copying \(node.op.rawValue): \(error)")
      }
    }
    for (old, new) in zip(node.results, results) { mapping[old.index] = new }
  }

  private func haveEqualTypes(_ old: [Value], _ new: [Value]) -> Bool {
    zip(old, new).allSatisfy { source.type($0) == builder.type($1) }
  }

  /// Copies writes and outputs and returns the copy.
  public mutating func finish() -> Graph {
    for write in source.writes { builder.write(self[write.target], self[write.value]) }
    for output in source.outputs { builder.output(output.name, self[output.value]) }
    return builder.graph
  }
}

extension Builder {
  /// Turns the nodes appended since `start` into one fused node.
  public mutating func regroup(from start: Int, results: [Value], location: String) {
    let body = Array(graph.nodes[start...])
    graph.nodes.removeSubrange(start...)
    fuse(body, results: results, location: location)
  }
}

extension Graph {
  /// The same graph without places in source files.
  public func withoutLocations() -> Graph {
    var graph = self
    for index in graph.nodes.indices { graph.nodes[index].location = "" }
    for index in graph.parameters.indices { graph.parameters[index].location = "" }
    return graph
  }
}
