// SPDX-License-Identifier: Apache-2.0
// Sample applications of every op: types, attributes and operands away from kinks. Tests of ops and
// of kernels run over them; the switch is exhaustive, so that no op stays untested.

import IR
import Runtime

/// One application of an op.
package struct OpSample: Sendable, CustomStringConvertible {
  package struct Operand: Sendable {
    package var type: TensorType
    package var content: Interpreter.Content

    package init(type: TensorType, content: Interpreter.Content) {
      self.type = type
      self.content = content
    }
  }

  package var op: Op
  /// What is special about this one.
  package var note: String
  package var operands: [Operand]
  package var attributes: [AttributeName: AttributeValue] = [:]
  /// True if the gradient is not the derivative of the result but the incoming gradient itself.
  package var passesGradientThrough = false

  package init(
    op: Op, note: String, operands: [Operand],
    attributes: [AttributeName: AttributeValue] = [:]
  ) {
    self.op = op
    self.note = note
    self.operands = operands
    self.attributes = attributes
  }

  package var description: String { note.isEmpty ? op.rawValue : "\(op.rawValue) \(note)" }
  package var types: [TensorType] { operands.map(\.type) }

  /// Operand contents under the names of the graph's inputs.
  package var inputs: [String: Interpreter.Content] {
    var inputs: [String: Interpreter.Content] = [:]
    for (index, operand) in operands.enumerated() { inputs["x\(index)"] = operand.content }
    return inputs
  }

  /// A builder with the operands as inputs and the sample's node as the last one.
  package func built() throws -> (builder: Builder, operands: [Value], results: [Value]) {
    var builder = Builder(name: "sample")
    builder.location = "model.graph:3:4"
    let values = operands.enumerated().map { builder.input("x\($0.offset)", $0.element.type) }
    guard op == .fused else {
      let results = try builder.apply(op, values, attributes)
      return (builder, values, results)
    }
    // The body: the norm of a product.
    let product = try builder.apply(.mul, values)
    let results = try builder.apply(.rmsNorm, product)
    builder.regroup(from: 0, results: results, location: "model.graph:5:6")
    return (builder, values, results)
  }

  /// The graph of the sample with all results returned as y0, y1, ….
  package func graph() throws -> Graph {
    var (builder, _, results) = try built()
    for (index, result) in results.enumerated() { builder.output("y\(index)", result) }
    return builder.graph
  }

  package static let all = Op.allCases.flatMap { op in samples(of: op) }

  // MARK: Makers

  private static func make(
    _ op: Op, _ note: String = "", _ operands: [Operand],
    _ attributes: [AttributeName: AttributeValue] = [:]
  ) -> OpSample {
    OpSample(op: op, note: note, operands: distinct(operands), attributes: attributes)
  }

  /// Operands of one size hold the same numbers; turned by their places they differ.
  package static func distinct(_ operands: [Operand]) -> [Operand] {
    operands.enumerated().map { index, operand in
      guard case .reals(let values) = operand.content, values.count > index else { return operand }
      let turned = Array(values[index...] + values[..<index])
      return Operand(type: operand.type, content: .reals(turned))
    }
  }

  /// Random numbers of magnitude 0.1 to 1.1 and either sign: away from 0.
  private static func reals(_ sizes: Int..., scale: Double = 1) -> Operand {
    var random = TestRandom(seed: UInt64(sizes.reduce(7) { $0 * 31 + $1 }))
    let values = (0..<sizes.reduce(1, *)).map { _ in scale * random.awayFromZero() }
    return Operand(type: .tensor(sizes), content: .reals(values))
  }

  private static func positive(_ sizes: Int...) -> Operand {
    var random = TestRandom(seed: 11)
    let values = (0..<sizes.reduce(1, *)).map { _ in abs(random.awayFromZero()) }
    return Operand(type: .tensor(sizes), content: .reals(values))
  }

  private static func number(_ value: Double) -> Operand {
    Operand(type: .scalar, content: .reals([value]))
  }

  private static func tokens(_ sizes: [Int], below bound: Int) -> Operand {
    let ids = (0..<sizes.reduce(1, *)).map { Int32($0 * 7 % bound) }
    return Operand(type: TensorType(.tokens, sizes.map(Dim.number)), content: .ids(ids))
  }

  /// First positions of documents of so many tokens.
  package static func documents(_ batch: Int, _ positions: Int, of length: Int) -> Operand {
    let ids = (0..<batch * positions).map { Int32($0 % positions / length * length) }
    return Operand(
      type: TensorType(
        .index(bound: TensorType.documentBound), [.number(batch), .number(positions)]),
      content: .ids(ids))
  }

  private static func shape(_ sizes: Int...) -> AttributeValue { .dims(sizes.map(Dim.number)) }

  // MARK: Samples

  package static func samples(of op: Op) -> [OpSample] {
    switch op {
    case .add, .sub, .mul:
      return [
        make(op, "", [reals(3, 5), reals(3, 5)]),
        make(op, "with a vector", [reals(2, 3, 5), reals(5)]),
        make(op, "stretching both", [reals(3, 1, 5), reals(7, 1)]),
        make(op, "with a scalar at the left", [number(0.7), reals(1, 3)]),
        make(op, "with one number a row", [reals(2, 3, 5), reals(2, 3, 1)]),
      ]
    case .scale, .offset: return [make(op, "", [reals(3, 7)], [.by: .double(-1.25)])]
    case .square, .sigmoid, .tanh: return [make(op, "", [reals(3, 7)])]
    case .softcap: return [make(op, "", [reals(3, 7, scale: 3)], [.cap: .double(1.5)])]
    case .softcapBackward:
      return [make(op, "", [reals(3, 7), reals(3, 7)], [.cap: .double(1.5)])]
    case .leakyRelu:
      return [
        make(op, "", [reals(3, 7)], [.slope: .double(0.5)]), make(op, "as relu", [reals(3, 7)]),
      ]
    case .leakyReluBackward:
      return [make(op, "", [reals(3, 7), reals(3, 7)], [.slope: .double(0.5)])]

    case .lerp:
      return [
        make(op, "", [reals(3, 5), reals(3, 5), reals(3, 5)]),
        make(op, "by a vector", [reals(2, 3, 5), reals(2, 3, 5), reals(5)]),
        make(op, "from a vector", [reals(5), reals(2, 3, 5), reals(2, 3, 1)]),
      ]
    case .softcapQuintic: return [make(op, "", [reals(3, 7, scale: 2)], [.cap: .double(1.7)])]
    case .softcapQuinticBackward:
      return [make(op, "", [reals(3, 7), reals(3, 7, scale: 2)], [.cap: .double(1.7)])]
    case .softcapAsymmetric:
      return [make(op, "", [reals(3, 7, scale: 3), number(1.5), number(2.5)])]
    case .capOfSign: return [make(op, "", [reals(3, 7, scale: 0.3), number(1.5), number(2.5)])]
    case .softcapByBackward, .softcapByBackwardCap:
      return [make(op, "", [reals(3, 7), reals(3, 7), positive(3, 7)])]

    case .raw: return [make(op, "", [reals(3, 7)])]
    case .shift, .shiftBackward:
      return [
        make(op, "", [reals(2, 5, 3)], [.by: .int(1)]),
        make(op, "of heads by two", [reals(2, 5, 3, 2)], [.by: .int(2)]),
        make(op, "beyond the end", [reals(2, 2, 3)], [.by: .int(3)]),
      ]
    case .tokenMask: return [make(op, "", [tokens([2, 4], below: 5)], [.except: .int(2)])]
    case .hashBigram:
      return [
        make(op, "", [tokens([2, 5], below: 11)], [.buckets: .int(31)]),
        make(
          op, "as a sum", [tokens([2, 5], below: 11)],
          [.buckets: .int(31), .form: .word("sum")]),
      ]
    case .hashTrigram: return [make(op, "", [tokens([2, 5], below: 11)], [.buckets: .int(31)])]
    case .documents:
      return [
        make(op, "", [tokens([2, 9], below: 5)], [.start: .int(3)]),
        make(
          op, "of two tokens at most", [tokens([2, 9], below: 5)],
          [.start: .int(3), .limit: .int(2)]),
      ]

    case .slice:
      let middle: [AttributeName: AttributeValue] = [
        .axis: .int(1), .start: .int(2), .count: .int(3),
      ]
      let row: [AttributeName: AttributeValue] = [
        .axis: .int(0), .start: .int(1), .count: .int(1), .squeeze: .bool(true),
      ]
      return [
        make(op, "", [reals(2, 7, 3)], middle), make(op, "squeezed", [reals(3, 5)], row),
        make(op, "to a scalar", [reals(3)], row),
        make(
          op, "of features", [reals(2, 3, 7)], [.axis: .int(2), .start: .int(2), .count: .int(3)]),
      ]
    case .unslice:
      return [
        make(
          op, "", [reals(2, 3, 3)], [.axis: .int(1), .start: .int(2), .shape: shape(2, 7, 3)]),
        make(op, "squeezed", [reals(5)], [.axis: .int(0), .start: .int(1), .shape: shape(3, 5)]),
        make(
          op, "of features", [reals(2, 3, 3)],
          [.axis: .int(2), .start: .int(2), .shape: shape(2, 3, 7)]),
      ]
    case .splitHeads: return [make(op, "", [reals(2, 3, 10)], [.heads: .int(5)])]
    case .mergeHeads: return [make(op, "", [reals(2, 3, 5, 2)])]
    case .sumTo:
      return [
        make(op, "", [reals(2, 3, 5)], [.shape: shape(5)]),
        make(op, "keeping an axis of 1", [reals(2, 3, 5)], [.shape: shape(3, 1)]),
        make(op, "to a scalar", [reals(2, 3)], [.shape: shape()]),
        make(op, "to one number a row", [reals(2, 3, 5)], [.shape: shape(2, 3, 1)]),
      ]

    case .linear:
      return [
        make(op, "", [reals(2, 3, 5), reals(7, 5)]),
        make(op, "of a vector", [reals(5), reals(3, 5)]),
      ]
    case .linearBackwardInput: return [make(op, "", [reals(2, 3, 7), reals(7, 5)])]
    case .linearBackwardWeight: return [make(op, "", [reals(2, 3, 7), reals(2, 3, 5)])]
    case .embed: return [make(op, "", [reals(5, 3), tokens([2, 4], below: 5)])]
    case .embedBackward:
      return [make(op, "", [reals(2, 4, 3), tokens([2, 4], below: 5)], [.vocab: .int(5)])]

    case .rmsNorm:
      return [
        make(op, "", [reals(3, 7)]),
        make(op, "large epsilon", [reals(7)], [.epsilon: .double(0.5)]),
      ]
    case .rmsNormBackward: return [make(op, "", [reals(3, 7), reals(3, 7)])]

    case .rope, .ropeBackward:
      let ramp: [AttributeName: AttributeValue] = [
        .dims: .int(6), .base: .double(100), .train: .int(3), .rampFrom: .double(0.25),
        .rampFactor: .double(2),
      ]
      return [
        make(op, "", [reals(2, 5, 3, 6)], [.dims: .int(6)]),
        make(op, "of some features", [reals(2, 5, 3, 7)], [.dims: .int(4)]),
        make(op, "beyond train with a ramp", [reals(1, 5, 1, 6)], ramp),
        make(op, "of later positions", [reals(2, 3, 2, 6)], [.dims: .int(6), .start: .int(2)]),
      ]
    case .scaleHeads:
      return [
        make(op, "", [reals(2, 3, 5, 4), reals(5)]),
        make(op, "at each position", [reals(2, 3, 5, 4), reals(2, 3, 5)]),
      ]
    case .excludeSelf:
      return [
        make(op, "", [reals(2, 3, 2, 5), reals(2, 3, 2, 5)]),
        make(op, "of shared values", [reals(2, 3, 6, 5), reals(2, 3, 2, 5)]),
      ]
    case .excludeSelfBackward:
      return [make(op, "", [reals(2, 3, 6, 5), reals(2, 3, 6, 5), reals(2, 3, 2, 5)])]
    case .scaleHeadsBackwardGain, .scaleHeadsBackwardGate:
      return [make(op, "", [reals(2, 3, 5, 4), reals(2, 3, 5, 4)])]
    case .attention:
      return [
        make(op, "", [reals(2, 5, 3, 4), reals(2, 5, 3, 4), reals(2, 5, 3, 4)]),
        make(op, "grouped", [reals(1, 5, 6, 3), reals(1, 5, 2, 3), reals(1, 5, 2, 3)]),
        make(
          op, "of the last queries", [reals(2, 2, 6, 3), reals(2, 5, 2, 3), reals(2, 5, 2, 3)],
          [.count: .int(2)]),
        make(
          op, "of documents",
          [reals(2, 5, 6, 3), reals(2, 5, 2, 3), reals(2, 5, 2, 3), documents(2, 5, of: 2)]),
        make(
          op, "of the last queries and documents",
          [reals(2, 2, 6, 3), reals(2, 5, 2, 3), reals(2, 5, 2, 3), documents(2, 5, of: 3)],
          [.count: .int(2)]),
      ]
    case .attentionBackward:
      let q = reals(1, 5, 6, 3)
      let k = reals(1, 5, 2, 3)
      let operands = [q, k, k, q, positive(1, 6, 5), q]
      return [
        make(op, "", operands),
        make(op, "of documents", operands + [documents(1, 5, of: 2)]),
      ]

    case .softmax: return [make(op, "", [reals(3, 7, scale: 3)])]
    case .crossEntropy:
      return [
        make(op, "", [reals(2, 3, 7), tokens([2, 3], below: 7)]),
        make(op, "capped", [reals(2, 3, 7), tokens([2, 3], below: 7)], [.cap: .double(1.5)]),
      ]
    case .crossEntropyBackward:
      let operands = [reals(2, 3, 7), tokens([2, 3], below: 7), positive(2, 3), positive(2, 3)]
      return [
        make(op, "capped", operands, [.cap: .double(1.5)]),
        make(op, "of the sum too", operands + [positive(2, 3)]),
      ]
    case .dot: return [make(op, "", [reals(3, 5), reals(3, 5)])]

    case .fakeQuant:
      return fakeQuantSamples(op, [reals(3, 7), number(5)])
        + fakeQuantSamples(op, [reals(3, 6), number(5)], group: 3)
    case .fakeQuantBackward:
      return fakeQuantSamples(op, [reals(3, 7), reals(3, 7), number(5)])
        + fakeQuantSamples(op, [reals(3, 6), reals(3, 6), number(5)], group: 3)
    case .fakeFloat8:
      var through = make(op, "", [reals(3, 7, scale: 400), number(1)])
      through.passesGradientThrough = true
      var small = make(op, "of small weights", [reals(3, 7, scale: 0.01), number(1)])
      small.passesGradientThrough = true
      return [through, small, make(op, "off", [reals(3, 7), number(0)])]

    case .clipFactor:
      return [make(op, "", [reals(3, 5), reals(7), number(0.3)], [.limit: .double(0.5)])]
    case .adamwUpdate:
      let operands = [reals(7), reals(7), reals(7), positive(7), number(0.1), number(1), number(2)]
      let attributes: [AttributeName: AttributeValue] = [
        .beta1: .double(0.9), .beta2: .double(0.95), .epsilon: .double(1e-8),
      ]
      return [make(op, "", operands, attributes)]
    case .sgdUpdate:
      let operands = [reals(7), reals(7), reals(7), number(0.1), number(1)]
      return [
        make(op, "", operands, [.momentum: .double(0.9)]),
        make(op, "with nesterov", operands, [.momentum: .double(0.9), .nesterov: .bool(true)]),
      ]
    case .muonUpdate:
      let numbers = [number(0.1), number(1), number(0.9), number(0.7)]
      let operands = [reals(5, 3), reals(5, 3), reals(5, 3)] + numbers
      let polar: [AttributeName: AttributeValue] = [
        .iteration: .word("polar_express"), .rowNormalise: .bool(true), .decay: .double(0.1),
      ]
      return [make(op, "", operands), make(op, "polar express", operands, polar)]

    case .fused: return [make(op, "", [reals(3, 7), reals(7)])]
    }
  }

  /// A floor above every clip keeps the step constant, as the gradient rules take it to be.
  private static func fakeQuantSamples(
    _ op: Op, _ operands: [Operand], group: Int = 0
  ) -> [OpSample] {
    func attributes(_ form: String, _ floor: Double) -> [AttributeName: AttributeValue] {
      [
        .bits: .int(4), .clip: .word(group > 0 ? "mean" : "max"), .form: .word(form),
        .floor: .double(floor), .group: .int(group),
      ]
    }
    let note = group > 0 ? " in groups" : ""
    let searched = attributes("straight_through", 0.01).merging(
      [.clip: .word("search"), .parameters: .doubles([0.5, 0.9, 1])]) { $1 }
    var search = make(op, "search" + note, operands, searched)
    search.passesGradientThrough = true
    var through = make(op, "straight through" + note, operands, attributes("straight_through", 0.3))
    through.passesGradientThrough = true
    return [
      through, search, make(op, "soft" + note, operands, attributes("soft_round", 0.3)),
      make(op, "logistic" + note, operands, attributes("soft_round_logistic", 0.3)),
      make(op, "off" + note, operands.dropLast() + [number(0)], attributes("soft_round", 0.3)),
    ]
  }
}

/// Reproducible numbers (SplitMix64).
package struct TestRandom: Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  private mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// In 0 ..< 1.
  package mutating func uniform() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }

  /// Magnitude 0.1 to 1.1, either sign.
  package mutating func awayFromZero() -> Double {
    let magnitude = 0.1 + uniform()
    return next() & 1 == 0 ? magnitude : -magnitude
  }
}
