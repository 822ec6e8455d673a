// SPDX-License-Identifier: Apache-2.0
// The core IR: storage only. Graphs are made by `Builder` and rewritten by rebuilding.

/// The result of a node, a parameter, a state or an input of one graph.
public struct Value: Hashable, Sendable {
  public let index: Int
  public init(index: Int) { self.index = index }
}

/// A trained tensor or a persistent state of an update.
public struct Parameter: Hashable, Sendable {
  public enum Role: String, Hashable, Sendable {
    /// A weight of the model: in checkpoints and in the artifact.
    case param
    /// Memory of an update, such as its moments: in checkpoints only.
    case state
    /// The moving average of a weight, exported in its place: in checkpoints only.
    case average
  }

  /// The group of params of rank 2 and up that name none.
  public static let matrixGroup = "matrix"

  public var role: Role
  /// The path, `blocks.3.attn.c_q`; equals the state-dict name without `.weight`.
  public var path: String
  public var type: TensorType
  /// Optimiser and precision group: `matrix`, `embedding`, `scalar`. Empty for states.
  public var group: String
  public var initial: Initializer
  /// The stored form, once precision was assigned.
  public var precision: Precision?
  public var location: String

  public init(
    role: Role, path: String, type: TensorType, group: String, initial: Initializer,
    precision: Precision? = nil, location: String = ""
  ) {
    (self.role, self.path, self.type, self.group) = (role, path, type, group)
    (self.initial, self.precision, self.location) = (initial, precision, location)
  }

  /// The moving average of a weight.
  public static func average(of weight: Parameter) -> Parameter {
    Parameter(
      role: .average, path: averagePath(of: weight.path), type: weight.type, group: "",
      initial: weight.initial)
  }

  /// The path of a weight's moving average, in checkpoints too.
  public static func averagePath(of path: String) -> String { averagePrefix + path }
  private static let averagePrefix = "ema."

  /// The path of the weight whose moving average this is.
  public var averagedPath: String? {
    role == .average ? String(path.dropFirst(Self.averagePrefix.count)) : nil
  }
}

/// How a parameter starts.
public enum Initializer: Hashable, Sendable, CustomStringConvertible {
  case zeros
  case ones
  case constant(Double)
  /// Normal with the standard deviation given.
  case normal(Double)
  /// Uniform in ±1/sqrt(fan_in), fan_in the last extent.
  case uniform
  /// Orthonormal rows or columns times the gain.
  case orthogonal(Double)
  /// Normal with the standard deviation given, then singular values S_k = S_1 / sqrt(k).
  case overtone(Double)
  /// One constant a row.
  case rows([Double])

  public var description: String {
    switch self {
    case .zeros: return "zeros"
    case .ones: return "ones"
    case .constant(let value): return "constant(\(shortest(value)))"
    case .normal(let value): return "normal(\(shortest(value)))"
    case .uniform: return "uniform"
    case .orthogonal(let gain): return gain == 1 ? "orthogonal" : "orthogonal(\(shortest(gain)))"
    case .overtone(let value): return "overtone(\(shortest(value)))"
    case .rows(let values): return "rows(" + values.map(shortest).joined(separator: ", ") + ")"
    }
  }
}

/// One operation. Immutable once built.
public struct Node: Attributed, Hashable, Sendable {
  public var op: Op
  public var operands: [Value]
  public var attributes: [AttributeName: AttributeValue]
  public var results: [Value]
  /// The fused nodes in order, for `Op.fused` only. Its operands are the outer values they read, its
  /// results the values that others read.
  public var body: [Node]
  public var location: String

  public init(
    op: Op, operands: [Value], attributes: [AttributeName: AttributeValue], results: [Value],
    body: [Node] = [], location: String = ""
  ) {
    (self.op, self.operands, self.attributes, self.results) = (op, operands, attributes, results)
    (self.body, self.location) = (body, location)
  }

  public var definition: OpDefinition { op.definition }

  /// The only result. The verifier has checked that there is one.
  public var result: Value { results[0] }
}

/// What is known of a value.
public struct ValueInfo: Hashable, Sendable {
  public enum Origin: Hashable, Sendable {
    case parameter(Int)
    case input
    case node
  }
  /// Name without the sigil: a path and a local name.
  public var name: String
  public var type: TensorType
  public var origin: Origin
}

/// One function: declarations, nodes in topological order, writes and returned values.
public struct Graph: Hashable, Sendable {
  /// What it computes: `forward`, `loss`, `train`, `score`, `adapt`.
  public var name: String
  public internal(set) var values: [ValueInfo] = []
  public internal(set) var parameters: [Parameter] = []
  /// Values of the parameters, in the order of `parameters`.
  public internal(set) var parameterValues: [Value] = []
  public internal(set) var inputs: [Value] = []
  public internal(set) var nodes: [Node] = []
  public internal(set) var writes: [Write] = []
  public internal(set) var outputs: [Output] = []

  /// The new content of a parameter or state after the function ran.
  public struct Write: Hashable, Sendable {
    public var target: Value
    public var value: Value
  }
  public struct Output: Hashable, Sendable {
    public var name: String
    public var value: Value
  }

  public init(name: String) { self.name = name }

  public func type(_ value: Value) -> TensorType { values[value.index].type }
  public func name(_ value: Value) -> String { values[value.index].name }

  /// The parameter or state a value stands for, or nil.
  public func parameter(_ value: Value) -> Parameter? {
    if case .parameter(let index) = values[value.index].origin { return parameters[index] }
    return nil
  }

  public func input(named name: String) -> Value? { inputs.first { self.name($0) == name } }
  public func output(_ port: Port) -> Value? { output(named: port.name) }
  public func output(named name: String) -> Value? {
    outputs.first { $0.name == name }?.value
  }

  /// The node that makes each value, by value index.
  public func producers() -> [Value: Int] {
    var producers: [Value: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for result in node.results { producers[result] = index }
    }
    return producers
  }

  /// How often each value is read by nodes, writes and outputs.
  public func useCounts() -> [Int] {
    var counts = [Int](repeating: 0, count: values.count)
    for node in nodes { for operand in node.operands { counts[operand.index] += 1 } }
    for write in writes { counts[write.value.index] += 1 }
    for output in outputs { counts[output.value.index] += 1 }
    return counts
  }

  /// Parameters, states, and the values computed from them, and from `inputs`, alone.
  public func parameterOnlyValues(with inputs: [Value] = []) -> Set<Value> {
    var values = Set(parameterValues + inputs)
    for node in nodes where node.operands.allSatisfy(values.contains) {
      values.formUnion(node.results)
    }
    return values
  }

  /// Elements of all parameters of the model (states not counted).
  public var parameterCount: Int {
    parameters.filter { $0.role == .param }.reduce(0) { $0 + $1.type.count }
  }
}
