// SPDX-License-Identifier: Apache-2.0
// Every gradient rule against central differences in Float64, on the samples of OpSamples.swift.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct OpGradientTests {
  static let samples = OpSample.all.filter { sample in
    if case .rule = sample.op.definition.gradient { return true }
    return false
  }

  @Test(arguments: samples)
  func ruleAgreesWithCentralDifferences(_ sample: OpSample) throws {
    let weights = lossWeights(try sample.built().builder.type(sample.built().results[0]).count)
    let gradients = try gradients(of: sample, weights)
    #expect(gradients.contains { $0 != nil })
    let forward = Interpreter(try sample.graph())
    for (index, gradient) in gradients.enumerated() {
      guard case .reals(let point) = sample.operands[index].content else {
        #expect(gradient == nil, "operand \(index) holds identifiers")
        continue
      }
      guard let gradient else { continue }
      var expected = weights
      if !sample.passesGradientThrough {
        expected = try point.indices.map { element in
          try derivative { move in
            var inputs = sample.inputs
            var moved = point
            moved[element] += move
            inputs["x\(index)"] = .reals(moved)
            let result = try forward.run(parameters: [:], inputs: inputs)
            return zip(result.reals("y0"), weights).reduce(0) { $0 + $1.0 * $1.1 }
          }
        }
      }
      let error = largestRelativeError(gradient, expected)
      #expect(error < 1e-6, "operand \(index) of \(sample): relative error \(error)")
    }
  }

  @Test func everyOpSaysWhyItHasNoGradient() {
    for op in Op.allCases {
      guard case .none(let reason) = op.definition.gradient else { continue }
      #expect(!reason.isEmpty, "\(op.rawValue)")
    }
  }

  @Test func attentionHasNoGradientWithoutOneOfItsFirstResult() throws {
    let sample = OpSample.samples(of: .attention)[0]
    var (builder, _, _) = try sample.built()
    guard case .rule(let rule) = sample.op.definition.gradient else { return }
    let lse = builder.input("dlse", .tensor([2, 3, 5]))
    let node = builder.graph.nodes[0]
    #expect(rule(&builder, node, [nil, lse]) == [nil, nil, nil])
  }

  /// A loss reads the nll alone or, with a z-loss, the log of the sum as well.
  @Test(arguments: OpSample.samples(of: .crossEntropy), [true, false])
  func theLogOfTheSumHasAGradient(_ sample: OpSample, beside hasLoss: Bool) throws {
    var (builder, _, results) = try sample.built()
    guard case .rule(let rule) = sample.op.definition.gradient else { return }
    let node = try #require(builder.graph.nodes.last)
    let type = builder.type(results[0])
    var inputs = sample.inputs
    let weights = lossWeights(type.count)
    let incoming = ["dnll", "dlse"].filter { hasLoss || $0 == "dlse" }
    for name in incoming { inputs[name] = .reals(weights) }
    let values = incoming.map { builder.input($0, type) }
    let gradients = rule(&builder, node, hasLoss ? values : [nil] + values)
    builder.output("d0", try #require(gradients[0]))
    let gradient = try Interpreter(builder.graph).run(parameters: [:], inputs: inputs).reals("d0")
    guard case .reals(let point) = sample.operands[0].content else { return }
    let forward = Interpreter(try sample.graph())
    let expected = try point.indices.map { element in
      try derivative { move in
        var inputs = sample.inputs
        var moved = point
        moved[element] += move
        inputs["x0"] = .reals(moved)
        let result = try forward.run(parameters: [:], inputs: inputs)
        let read = hasLoss ? [result.reals("y0"), result.reals("y1")] : [result.reals("y1")]
        return read.flatMap { zip($0, weights) }.reduce(0) { $0 + $1.0 * $1.1 }
      }
    }
    #expect(largestRelativeError(gradient, expected) < 1e-6)
  }

  /// The gradients of the operands by the op's rule, for the loss Σ weights y.
  ///
  /// Only the first result has a gradient: the others (lse) are there for the rule itself.
  private func gradients(of sample: OpSample, _ weights: [Double]) throws -> [[Double]?] {
    var (builder, operands, results) = try sample.built()
    guard case .rule(let rule) = sample.op.definition.gradient else { return [] }
    let incoming = builder.input("dy", builder.type(results[0]))
    let node = try #require(builder.graph.nodes.last)
    let missing = [Value?](repeating: nil, count: results.count - 1)
    let gradients = rule(&builder, node, [incoming] + missing)
    #expect(gradients.count == operands.count)
    for (index, gradient) in gradients.enumerated() {
      guard let gradient else { continue }
      #expect(builder.type(gradient).shape == builder.type(operands[index]).shape)
      builder.output("d\(index)", gradient)
    }
    #expect(builder.graph.violations().isEmpty)
    var inputs = sample.inputs
    inputs["dy"] = .reals(weights)
    let result = try Interpreter(builder.graph).run(parameters: [:], inputs: inputs)
    return gradients.indices.map { index in
      gradients[index] == nil ? nil : result.reals("d\(index)")
    }
  }

  private func lossWeights(_ count: Int) -> [Double] {
    var random = TestRandom(seed: 5)
    return (0..<count).map { _ in random.awayFromZero() }
  }

  /// The slope at 0 by four points; the error falls with the fourth power of the step.
  private func derivative(_ f: (Double) throws -> Double) rethrows -> Double {
    let step = 1e-3
    let near = try f(step) - f(-step)
    let far = try f(2 * step) - f(-2 * step)
    return (8 * near - far) / (12 * step)
  }
}

extension Interpreter.Result {
  /// A real output; empty if there is none of this name.
  func reals(_ name: String) -> [Double] {
    guard case .reals(let reals)? = outputs[name] else { return [] }
    return reals
  }
}

/// The largest difference over the largest expected magnitude.
func largestRelativeError(_ found: [Double], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  let largest = expected.reduce(1e-300) { max($0, abs($1)) }
  return zip(found, expected).reduce(0) { error, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(error, difference / largest)
  }
}
