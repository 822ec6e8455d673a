// SPDX-License-Identifier: Apache-2.0
// Every read rule against what the interpreter does: one element of an operand is changed, and the
// elements of the results that change are compared with those that the rule names.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct ReadRuleTests {
  static let samples = OpSample.all.filter { $0.op != .fused }
  /// A document hides what stands before it, and the first tokens of a row share a bucket.
  static let hidesTokens: [Op] = [.documents, .hashBigram, .hashTrigram]

  @Test(arguments: samples)
  func nothingOutsideOfTheRuleChanges(_ sample: OpSample) throws {
    #expect(try Experiment(sample).outside.isEmpty)
  }

  @Test(arguments: OpSample.positional)
  func nothingOutsideOfTheRuleChangesAtRandomShapes(_ op: Op) throws {
    var random = TestRandom(seed: 3)
    for _ in 0..<4 {
      let sample = try #require(OpSample.random(op, &random))
      let outside = try Experiment(sample).outside
      #expect(outside.isEmpty, "\(sample.types): \(outside.first ?? "")")
    }
  }

  /// A rule that named more than is read would refuse legal models: each index that it names along a
  /// row or position axis has an effect in some element.
  @Test(arguments: OpSample.positional.filter { !hidesTokens.contains($0) })
  func everythingThatTheRuleNamesHasAnEffect(_ op: Op) throws {
    var random = TestRandom(seed: 8)
    for _ in 0..<3 {
      let sample = try #require(OpSample.random(op, &random))
      let missing = try Experiment(sample).missing
      #expect(missing.isEmpty, "\(sample.types): \(missing.first ?? "")")
    }
  }

  @Test(arguments: Op.allCases.filter { $0 != .fused })
  func everyOperandThatARuleNamesIsRead(_ op: Op) throws {
    var read = Set<Int>()
    var named = Set<Int>()
    for sample in OpSample.samples(of: op) {
      let experiment = try Experiment(sample)
      read.formUnion(experiment.effective)
      named.formUnion(experiment.named)
    }
    #expect(read == named)
  }
}

/// All elements of all operands of a sample changed, one after the other.
private struct Experiment {
  /// Changes that the rule does not name.
  var outside: [String] = []
  /// Index pairs (operand, result) along an axis that the rule names and nothing showed.
  var missing: [String] = []
  /// Operands that had an effect, and operands that the rule names.
  var effective = Set<Int>()
  var named = Set<Int>()

  private struct Hit: Hashable {
    let result: Int
    let operand: Int
    let axis: Int
    let from: Int
    let to: Int
  }

  init(_ sample: OpSample) throws {
    let graph = try sample.graph()
    let node = graph.nodes[0]
    let rules = node.results.indices.map { graph.reads(node, result: $0) }
    let before = try Self.outputs(graph, sample.inputs)
    var hits = Set<Hit>()
    for (operand, content) in sample.operands.enumerated() {
      let shape = content.type.sizes
      if rules.contains(where: { $0[operand] != nil }) { named.insert(operand) }
      for element in 0..<content.type.count {
        var inputs = sample.inputs
        inputs["x\(operand)"] = content.content.changed(at: element, below: sample.tokenBound)
        let after = try Self.outputs(graph, inputs)
        let place = indices(of: element, in: shape)
        for (result, values) in after.enumerated() {
          let wide = graph.type(node.results[result]).sizes
          for index in values.indices where values[index] != before[result][index] {
            effective.insert(operand)
            let target = indices(of: index, in: wide)
            guard let access = rules[result][operand] else {
              outside.append("result \(result) reads operand \(operand)")
              continue
            }
            for (axis, read) in access.enumerated() {
              if !read.names(place[axis], for: target) {
                outside.append("result \(result)\(target) reads operand \(operand)\(place)")
              }
              if let own = read.axis {
                hits.insert(
                  Hit(
                    result: result, operand: operand, axis: axis, from: place[axis],
                    to: target[own]))
              }
            }
          }
        }
      }
    }
    for (result, rule) in rules.enumerated() {
      let wide = graph.type(node.results[result]).sizes
      for (operand, access) in rule.enumerated() {
        let shape = sample.operands[operand].type.sizes
        for (axis, read) in (access ?? []).enumerated() {
          guard let own = read.axis else { continue }
          for to in 0..<wide[own] {
            var target = [Int](repeating: 0, count: wide.count)
            target[own] = to
            for from in 0..<shape[axis] where read.names(from, for: target) {
              let hit = Hit(result: result, operand: operand, axis: axis, from: from, to: to)
              // A query that sees one key gives it all its weight, whatever both are.
              let seesOneKey = sample.op == .attention && operand < 2 && from == 0 && to == 0
              if !seesOneKey, !hits.contains(hit) {
                missing.append(
                  "result \(result) at \(to) of axis \(own): operand \(operand), axis \(axis), \(from)"
                )
              }
            }
          }
        }
      }
    }
  }

  private static func outputs(
    _ graph: Graph, _ inputs: [String: Interpreter.Content]
  ) throws -> [[Double]] {
    let result = try Interpreter(graph).run(parameters: [:], inputs: inputs)
    return graph.outputs.map { output in
      if case .ids(let ids)? = result.outputs[output.name] { return ids.map(Double.init) }
      return result.reals(output.name)
    }
  }
}

extension AxisRead {
  /// The axis of the result that the read follows.
  fileprivate var axis: Int? {
    switch self {
    case .same(let axis, _), .upTo(let axis, _), .window(let axis, _): return axis
    case .at, .all: return nil
    }
  }

  /// Whether the element at `target` of the result may read index `from`.
  fileprivate func names(_ from: Int, for target: [Int]) -> Bool {
    switch self {
    case .same(let axis, let offset): return from == target[axis] + offset
    case .upTo(let axis, let offset): return from <= target[axis] + offset
    case .window(let axis, let back): return (target[axis] - back...target[axis]).contains(from)
    case .at(let index): return from == index
    case .all: return true
    }
  }
}

extension Interpreter.Content {
  /// The content with another number at one place; identifiers stay below a bound.
  func changed(at index: Int, below bound: Int) -> Interpreter.Content {
    switch self {
    case .reals(var values):
      values[index] += 0.37
      return .reals(values)
    case .ids(var ids):
      ids[index] = (ids[index] + 1) % Int32(bound)
      return .ids(ids)
    }
  }
}

/// The place of the n-th element of a row-major tensor.
func indices(of element: Int, in shape: [Int]) -> [Int] {
  var rest = element
  var place = [Int](repeating: 0, count: shape.count)
  for axis in shape.indices.reversed() {
    place[axis] = rest % shape[axis]
    rest /= shape[axis]
  }
  return place
}
