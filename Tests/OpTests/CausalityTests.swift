// SPDX-License-Identifier: Apache-2.0
// The composed rules against the interpreter: in random graphs, a token that is changed changes no
// value that the proof says cannot depend on it.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct CausalityTests {
  @Test(arguments: 0..<60)
  func changedTokensReachNothingThatTheProofRulesOut(_ seed: Int) throws {
    var random = TestRandom(seed: UInt64(seed))
    let graph = RandomForward(&random).graph
    let reads = TokenAxis.allCases.map { graph.tokenReads($0) }
    let parameters = graph.randomContents(seed: UInt64(seed))
    let shape = graph.type(graph.inputs[0]).sizes
    let ids = (0..<shape[0] * shape[1]).map { _ in Int32(random.uniform() * 7) }
    func run(_ ids: [Int32]) throws -> Interpreter.Result {
      try Interpreter(graph).run(parameters: parameters, inputs: ["ids": .ids(ids)])
    }
    let before = try run(ids)
    var changes = 0
    for token in ids.indices {
      var moved = ids
      moved[token] = (moved[token] + 3) % 7
      let after = try run(moved)
      let place = indices(of: token, in: shape)
      for output in graph.outputs {
        let (old, new) = (before.reals(output.name), after.reals(output.name))
        for element in old.indices where old[element] != new[element] {
          changes += 1
          let target = indices(of: element, in: graph.type(output.value).sizes)
          for axis in TokenAxis.allCases {
            let claim = reads[axis.rawValue][output.value.index]
            #expect(
              claim.names(place[axis.rawValue], for: target),
              "%\(output.name)\(target) reads \(place), which the proof rules out:\n\(graph.printed())"
            )
          }
        }
      }
    }
    #expect(changes > 0)
  }

  /// Of random graphs some leak and some do not, so that the test above tests both.
  @Test func randomGraphsAreOfBothKinds() {
    let leaks = (0..<60).map { seed -> Bool in
      var random = TestRandom(seed: UInt64(seed))
      return !RandomForward(&random).graph.leaks().isEmpty
    }
    #expect(leaks.contains(true))
    #expect(leaks.contains(false))
  }
}

extension TokenReads {
  /// Whether the element at `target` may depend on token `index` of the axis.
  fileprivate func names(_ index: Int, for target: [Int]) -> Bool {
    if let fixed, fixed.lower <= index, index <= fixed.upper { return true }
    guard let axis, let moved else { return false }
    let distance = index - target[axis]
    return moved.lower <= distance && distance <= moved.upper
  }
}

/// A function of tokens made of ops at random. Every value is returned, the last one first.
private struct RandomForward {
  private(set) var graph: Graph
  private var builder = Builder(name: "forward")
  private var values: [Value] = []

  init(_ random: inout TestRandom) {
    graph = Graph(name: "forward")
    // Equal sizes let axes line up that should not.
    let (rows, positions, width) = random.uniform() < 0.3 ? (4, 4, 4) : (2, 5, 4)
    let tokens = TensorType(.tokens, [.number(rows), .number(positions)])
    let ids = builder.input("ids", tokens)
    func parameter(_ path: String, _ sizes: [Int]) -> Value {
      builder.declare(
        Parameter(
          role: .param, path: path, type: .tensor(sizes), group: "matrix", initial: .normal(1)))
    }
    let table = parameter("table", [7, width])
    let parameters = [
      parameter("w", [width, width]), parameter("gain", [width]), parameter("heads", [2]),
    ]
    values = [builder.one(.embed, [table, ids])]
    var attempts = 0
    while values.count < 9, attempts < 400 {
      attempts += 1
      step(&random, parameters)
    }
    for (index, value) in values.reversed().enumerated() { builder.output("y\(index)", value) }
    graph = builder.graph
  }

  /// Applies an op to values of the pool; what its shape rule refuses adds nothing.
  private mutating func step(_ random: inout TestRandom, _ parameters: [Value]) {
    func pick<T>(_ items: [T]) -> T { items[Int(random.uniform() * Double(items.count))] }
    func number(_ count: Int) -> Int { Int(random.uniform() * Double(count)) }
    let op = pick([
      Op.add, .mul, .sub, .tanh, .rmsNorm, .linear, .splitHeads, .mergeHeads, .attention, .slice,
      .slice, .scaleHeads, .rope, .embed, .linearBackwardWeight, .dot, .unslice, .sumTo,
    ])
    let (a, b, c) = (pick(values), pick(values), pick(values))
    let type = builder.type(a)
    var operands = [a]
    var attributes: [AttributeName: AttributeValue] = [:]
    switch op {
    case .add, .mul, .sub: operands = random.uniform() < 0.3 ? [a, parameters[1]] : [a, b]
    case .linear: operands = [a, random.uniform() < 0.7 ? parameters[0] : b]
    case .linearBackwardWeight, .dot: operands = [a, b]
    case .splitHeads: attributes[.heads] = .int(2)
    case .attention:
      operands = random.uniform() < 0.5 ? [a, a, a] : [a, b, c]
      let (q, k) = (type, builder.type(operands[1]))
      if q.rank == 4, k.rank == 4, q.shape[1] != k.shape[1] {
        attributes[.count] = .int(q.sizes[1])
      }
    case .slice:
      guard type.rank > 0 else { return }
      let axis = number(type.rank)
      let start = number(type.sizes[axis])
      let squeezes = random.uniform() < 0.4
      attributes = [
        .axis: .int(axis), .start: .int(start), .squeeze: .bool(squeezes),
        .count: .int(squeezes ? 1 : 1 + number(type.sizes[axis] - start)),
      ]
    case .scaleHeads: operands = [a, random.uniform() < 0.5 ? parameters[2] : b]
    case .rope: attributes[.dims] = .int(2)
    case .embed: operands = [b, builder.graph.inputs[0]]
    case .unslice:
      guard type.rank == 3 else { return }
      let start = number(3)
      attributes = [
        .axis: .int(1), .start: .int(start),
        .shape: .dims([type.shape[0], .number(type.sizes[1] + start), type.shape[2]]),
      ]
    case .sumTo:
      guard type.rank > 1 else { return }
      attributes[.shape] = .dims(Array(type.shape.dropFirst(1 + number(type.rank - 1))))
    default: break
    }
    // A table must have a row for each of the seven tokens.
    if op == .embed, builder.type(b).rank != 2 || builder.type(b).sizes[0] < 7 { return }
    guard let results = try? builder.apply(op, operands, attributes) else { return }
    values.append(results[0])
  }
}
