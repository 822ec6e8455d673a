// SPDX-License-Identifier: Apache-2.0
// Samples for kernels: those of the ops, and larger ones of odd sizes that need several tiles,
// panels and blocks.

import IR
import Runtime
import TestSupport

extension OpSample {
  /// Larger samples of the ops whose kernels cut their work into pieces.
  static let large: [OpSample] = [
    large(.add, "of many rows", [reals(67, 515), reals(515)]),
    large(.mul, "of many rows", [reals(2, 67, 515), reals(2, 67, 515)]),
    large(.sigmoid, "of many rows", [reals(3, 67, 515)]),
    large(.rmsNorm, "of many rows", [reals(131, 515)]),
    large(.rmsNorm, "of one wide row", [reals(1, 40_001)]),
    large(.rmsNormBackward, "of many rows", [reals(131, 515), reals(131, 515)]),
    large(.sumTo, "of several tiles", [reals(3, 67, 515)], [.shape: shape(515)]),
    large(.sumTo, "of several tiles to a scalar", [reals(3, 67, 515)], [.shape: shape()]),
    large(.sumTo, "of wide rows", [reals(5, 40_001)], [.shape: shape(40_001)]),
    large(.scaleHeads, "of several tiles", [reals(2, 53, 9, 64), reals(9)]),
    large(
      .scaleHeadsBackwardGain, "of several tiles",
      [reals(2, 53, 9, 64), reals(2, 53, 9, 64)]),
    large(.linear, "of odd sizes", [reals(3, 47, 129), reals(131, 129)]),
    large(.linear, "of many rows", [reals(2051, 33), reals(65, 33)]),
    large(.linear, "of one row", [reals(1, 65), reals(257, 65)]),
    large(.linearBackwardInput, "of odd sizes", [reals(3, 47, 131), reals(131, 129)]),
    large(.linearBackwardWeight, "of odd sizes", [reals(3, 47, 131), reals(3, 47, 129)]),
    large(.linearBackwardWeight, "of many rows", [reals(2051, 65), reals(2051, 33)]),
    large(.embed, "of odd sizes", [reals(67, 129), ids([3, 47], below: 67)]),
    large(
      .embedBackward, "of repeated ids", [reals(3, 47, 129), ids([3, 47], below: 5)],
      [.vocab: .int(67)]),
    large(.rope, "of odd sizes", [reals(3, 67, 3, 34)], [.dims: .int(34)]),
    large(.ropeBackward, "of odd sizes", [reals(3, 67, 3, 34)], [.dims: .int(30)]),
    large(
      .attention, "of odd sizes",
      [reals(2, 131, 6, 24), reals(2, 131, 2, 24), reals(2, 131, 2, 24)]),
    large(
      .attention, "of documents that begin anywhere",
      [
        reals(2, 331, 6, 24), reals(2, 331, 2, 24), reals(2, 331, 2, 24),
        documents(2, 331, of: 45),
      ]),
    large(
      .attention, "of the last queries of documents",
      [
        reals(1, 70, 2, 24), reals(1, 331, 1, 24), reals(1, 331, 1, 24), documents(1, 331, of: 81),
      ],
      [.count: .int(70)]),
    large(
      .attention, "of documents of one token",
      [reals(1, 131, 2, 24), reals(1, 131, 1, 24), reals(1, 131, 1, 24), documents(1, 131, of: 1)]),
    large(.excludeSelf, "of odd sizes", [reals(2, 53, 9, 35), reals(2, 53, 3, 35)]),
    large(
      .excludeSelfBackward, "of odd sizes",
      [reals(2, 53, 9, 35), reals(2, 53, 9, 35), reals(2, 53, 3, 35)]),
    large(
      .scaleHeads, "at each position of several tiles", [reals(2, 53, 9, 64), reals(2, 53, 9)]),
    large(
      .scaleHeadsBackwardGate, "of several tiles", [reals(2, 53, 9, 64), reals(2, 53, 9, 64)]),
    large(.mul, "with one number a row", [reals(2, 67, 515), reals(2, 67, 1)]),
    large(
      .sumTo, "of several tiles to one number a row", [reals(2, 67, 515)], [.shape: shape(2, 67, 1)]
    ),
    large(.lerp, "of many rows", [reals(2, 67, 515), reals(2, 67, 515), reals(2, 67, 1)]),
    large(.shift, "of several tiles", [reals(3, 67, 515)], [.by: .int(3)]),
    large(.shiftBackward, "of several tiles", [reals(3, 67, 515)], [.by: .int(3)]),
    large(
      .slice, "of features", [reals(3, 67, 129)],
      [.axis: .int(2), .start: .int(3), .count: .int(61)]),
    large(
      .softcapAsymmetric, "of many rows", [reals(3, 17, 1031, scale: 40), number(25), number(35)]),
    large(.softcapQuintic, "of many rows", [reals(3, 17, 1031, scale: 20)], [.cap: .double(10)]),
    large(.hashTrigram, "of many tokens", [ids([3, 1031], below: 8191)], [.buckets: .int(1537)]),
    large(
      .documents, "of many tokens", [ids([3, 1031], below: 5)], [.start: .int(1), .limit: .int(3)]),
    large(
      .crossEntropy, "of odd sizes", [reals(3, 17, 1031, scale: 4), ids([3, 17], below: 1031)],
      [.cap: .double(3)]),
    large(
      .crossEntropyBackward, "of odd sizes",
      [reals(3, 17, 1031, scale: 4), ids([3, 17], below: 1031), positive(3, 17), reals(3, 17)]),
    large(
      .crossEntropyBackward, "of the sum too",
      [
        reals(3, 17, 1031, scale: 4), ids([3, 17], below: 1031), positive(3, 17), reals(3, 17),
        reals(3, 17),
      ], [.cap: .double(3)]),
    large(.dot, "of many elements", [reals(100_003), reals(100_003)]),
    large(.fakeQuant, "of odd sizes", [reals(67, 515), number(1)], quantizer("straight_through")),
    large(.fakeFloat8, "of many numbers", [reals(67, 515, scale: 30), number(1)]),
    large(
      .fakeQuant, "in groups", [reals(67, 515), number(1)],
      quantizer("straight_through").merging([
        .group: .int(103), .clip: .word("mean"), .parameters: .doubles([]),
      ]) { $1 }),
    large(.fakeQuant, "softly", [reals(67, 515), number(4)], quantizer("soft_round")),
    large(
      .fakeQuantBackward, "softly", [reals(67, 515), reals(67, 515), number(4)],
      quantizer("soft_round_logistic")),
    large(
      .adamwUpdate, "of several tiles",
      [
        reals(40_003), reals(40_003), reals(40_003), positive(40_003), number(0.1), number(0.5),
        number(3),
      ],
      [.beta1: .double(0.9), .beta2: .double(0.95), .epsilon: .double(1e-8), .decay: .double(0.1)]),
    large(
      .sgdUpdate, "of several tiles",
      [reals(40_003), reals(40_003), reals(40_003), number(0.1), number(0.5)],
      [.momentum: .double(0.9), .decay: .double(0.1)]),
    large(.muonUpdate, "of a tall matrix", muon(131, 65)),
    large(.muonUpdate, "of a wide matrix", muon(33, 129)),
    large(
      .slice, "of positions", [reals(3, 67, 129)],
      [.axis: .int(1), .start: .int(3), .count: .int(61)]),
    large(
      .unslice, "of positions", [reals(3, 61, 129)],
      [.axis: .int(1), .start: .int(3), .shape: shape(3, 67, 129)]),
    large(
      .clipFactor, "of large gradients", [reals(67, 515), reals(1), reals(40_003)],
      [.limit: .double(1)]),
  ]

  private static func large(
    _ op: Op, _ note: String, _ operands: [Operand],
    _ attributes: [AttributeName: AttributeValue] = [:]
  ) -> OpSample {
    OpSample(op: op, note: note, operands: distinct(operands), attributes: attributes)
  }

  static func reals(_ sizes: Int..., scale: Double = 1) -> Operand {
    var random = TestRandom(seed: UInt64(sizes.reduce(3) { $0 * 31 + $1 }))
    let values = (0..<sizes.reduce(1, *)).map { _ in scale * random.awayFromZero() }
    return Operand(type: .tensor(sizes), content: .reals(values))
  }

  private static func positive(_ sizes: Int...) -> Operand {
    var random = TestRandom(seed: 5)
    let values = (0..<sizes.reduce(1, *)).map { _ in abs(random.awayFromZero()) }
    return Operand(type: .tensor(sizes), content: .reals(values))
  }

  private static func number(_ value: Double) -> Operand {
    Operand(type: .scalar, content: .reals([value]))
  }

  private static func ids(_ sizes: [Int], below bound: Int) -> Operand {
    var random = TestRandom(seed: 17)
    let ids = (0..<sizes.reduce(1, *)).map { _ in Int32(random.uniform() * Double(bound)) }
    return Operand(type: TensorType(.tokens, sizes.map(Dim.number)), content: .ids(ids))
  }

  private static func shape(_ sizes: Int...) -> AttributeValue { .dims(sizes.map(Dim.number)) }

  private static func muon(_ rows: Int, _ columns: Int) -> [Operand] {
    [
      reals(rows, columns), reals(rows, columns, scale: 0.3), reals(rows, columns, scale: 0.7),
      number(0.1), number(0.5), number(0.9), number(0.7),
    ]
  }

  private static func quantizer(_ form: String) -> [AttributeName: AttributeValue] {
    [
      .bits: .int(6), .clip: .word("sdclip"), .parameters: .doubles([1.7]), .form: .word(form),
      .floor: .double(1e-10),
    ]
  }
}

extension OpSample {
  /// The sample as a function of its own, with its operands as inputs or, where they are real, as
  /// parameters. What an update updates is always a parameter or state.
  func function(readingParameters: Bool) throws -> (graph: Graph, contents: Contents) {
    var builder = Builder(name: "sample")
    var contents = Contents()
    let states = isUpdate ? (op == .adamwUpdate ? [0, 2, 3] : [0, 2]) : []
    var values: [Value] = []
    for (index, operand) in operands.enumerated() {
      let name = "x\(index)"
      let content = operand.content.rounded
      if case .reals(let reals) = content, readingParameters || states.contains(index) {
        let role: Parameter.Role = states.dropFirst().contains(index) ? .state : .param
        values.append(
          builder.declare(
            Parameter(role: role, path: name, type: operand.type, group: "", initial: .zeros)))
        contents.parameters[name] = reals
      } else {
        values.append(builder.input(name, operand.type))
        contents.inputs[name] = content
      }
    }
    let results: [Value]
    if op == .fused {
      let start = builder.graph.nodes.count
      let product = try builder.apply(.mul, values)
      results = try builder.apply(.rmsNorm, product)
      builder.regroup(from: start, results: results, location: "")
    } else {
      results = try builder.apply(op, values, attributes)
    }
    for (target, result) in zip(states, results) { builder.write(values[target], result) }
    if states.isEmpty {
      for (index, result) in results.enumerated() { builder.output("y\(index)", result) }
    }
    return (builder.graph, contents)
  }

  struct Contents {
    var parameters: [String: [Double]] = [:]
    var inputs: [String: Interpreter.Content] = [:]
  }
}
