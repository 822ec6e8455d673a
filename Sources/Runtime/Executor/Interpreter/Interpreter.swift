// SPDX-License-Identifier: Apache-2.0
// The reference interpreter: runs any core graph in Float64, node by node. What each op computes
// stands in Evaluate.swift; nothing here knows an op except the fused one.

import IR

/// What the interpreter was given does not fit the graph, or the graph is not valid.
public struct InterpreterError: Error, Hashable, Sendable, CustomStringConvertible {
  public var message: String
  public var description: String { message }
  public init(_ message: String) { self.message = message }
}

/// Runs a graph in Float64: the oracle for kernels, passes and gradients.
///
/// Written to be obviously right. Every sum runs in the order of its index, one thread, no reuse of
/// memory.
public struct Interpreter: Sendable {
  /// Content of one value: reals as Double, identifiers as Int32, both row-major.
  public enum Content: Hashable, Sendable {
    case reals([Double])
    case ids([Int32])
  }

  /// What one run computed.
  public struct Result: Hashable, Sendable {
    /// By output name.
    public var outputs: [String: Content]
    /// New content of the written parameters and states, by path.
    public var writes: [String: [Double]]
  }

  private let graph: Graph
  private let sizes: [String: Int]

  /// Prepares a graph. `sizes` binds its open sizes.
  public init(_ graph: Graph, sizes: [String: Int] = [:]) {
    (self.graph, self.sizes) = (graph, sizes)
  }

  /// Runs the graph once.
  ///
  /// `parameters` holds parameters and states by path; entries that the graph does not declare are
  /// ignored, so one dictionary serves all functions of a model. `inputs` must name exactly the
  /// inputs of the graph. Throws `InterpreterError`.
  public func run(parameters: [String: [Double]], inputs: [String: Content]) throws -> Result {
    let violations = graph.violations()
    guard violations.isEmpty else {
      let list = violations.joined(separator: "; ")
      throw InterpreterError("function \(graph.name) breaks a rule of the core form: \(list)")
    }
    var values = [Tensor?](repeating: nil, count: graph.values.count)
    try bind(parameters, in: &values)
    try bind(inputs, in: &values)
    for node in graph.nodes { try run(node, in: &values) }

    var result = Result(outputs: [:], writes: [:])
    for output in graph.outputs {
      result.outputs[output.name] = try content(of: output.value, in: values).content
    }
    for write in graph.writes {
      result.writes[graph.name(write.target)] = try content(of: write.value, in: values).reals
    }
    return result
  }

  // MARK: Binding

  private func bind(_ parameters: [String: [Double]], in values: inout [Tensor?]) throws {
    for (parameter, value) in zip(graph.parameters, graph.parameterValues) {
      guard let reals = parameters[parameter.path] else {
        throw InterpreterError("\(parameter.role.rawValue) @\(parameter.path) is missing")
      }
      let tensor = Tensor(try boundSizes(of: value), reals)
      try tensor.checkCount("\(parameter.role.rawValue) @\(parameter.path)")
      values[value.index] = tensor
    }
  }

  private func bind(_ inputs: [String: Content], in values: inout [Tensor?]) throws {
    let names = graph.inputs.map(graph.name)
    if let unknown = inputs.keys.filter({ !names.contains($0) }).min() {
      let known = names.isEmpty ? "none" : names.map { "%" + $0 }.joined(separator: ", ")
      throw InterpreterError("%\(unknown) is not an input; the inputs are \(known)")
    }
    for value in graph.inputs {
      let name = graph.name(value)
      guard let content = inputs[name] else { throw InterpreterError("input %\(name) is missing") }
      let tensor = Tensor(sizes: try boundSizes(of: value), content: content)
      try tensor.checkCount("input %\(name)")
      try checkKind(of: tensor, graph.type(value), "input %\(name)")
      values[value.index] = tensor
    }
  }

  private func checkKind(of tensor: Tensor, _ type: TensorType, _ what: String) throws {
    switch (type.kind, tensor.content) {
    case (.tensor, .reals), (.dist, .reals), (.tokens, .ids): break
    case (.index(let bound), .ids(let ids)):
      if let id = ids.first(where: { $0 < 0 || $0 >= bound }) {
        throw InterpreterError("\(what): \(id) is not in 0 ..< \(bound)")
      }
    case (_, .reals): throw InterpreterError("\(what) is \(type), found real numbers")
    case (_, .ids): throw InterpreterError("\(what) is \(type), found identifiers")
    }
  }

  private func boundSizes(of value: Value) throws -> [Int] {
    try bound(graph.type(value).shape, "%\(graph.name(value))")
  }

  /// The numbers of a shape.
  func bound(_ shape: [Dim], _ what: String) throws -> [Int] {
    try TensorType(.tensor, shape).binding(sizes).shape.map { dim in
      guard let number = dim.number else {
        throw InterpreterError("\(what): size \(dim) is open, give its number")
      }
      guard number >= 0 else { throw InterpreterError("\(what): size \(number) is negative") }
      return number
    }
  }

  // MARK: Nodes

  private func run(_ node: Node, in values: inout [Tensor?]) throws {
    if node.op == .fused {
      for inner in node.body { try run(inner, in: &values) }
      return
    }
    let operands = try node.operands.map { try content(of: $0, in: values) }
    let place = "%\(graph.name(node.result)) = \(node.op.rawValue)"
    let results: [Tensor]
    do {
      let sizes = try node.results.map { try boundSizes(of: $0) }
      results = try evaluate(node, operands, sizes)
    } catch let error as InterpreterError {
      let location = node.location.isEmpty ? "" : " at \(node.location)"
      throw InterpreterError("\(place): \(error.message)\(location)")
    }
    for (value, result) in zip(node.results, results) {
      guard result.sizes == (try boundSizes(of: value)) else {
        throw InterpreterError("\(place) makes \(result.sizes), not \(graph.type(value))")
      }
      try result.checkCount(place)
      values[value.index] = result
    }
  }

  private func content(of value: Value, in values: [Tensor?]) throws -> Tensor {
    guard let tensor = values[value.index] else {
      throw InterpreterError("%\(graph.name(value)) is read before it is made")
    }
    return tensor
  }
}
