// SPDX-License-Identifier: Apache-2.0
// Applications of ops at random shapes, for rules that must hold at every shape.

import IR
import Runtime
import TestSupport

extension OpSample {
  /// Tokens of a sample are below this.
  var tokenBound: Int {
    for (operand, type) in zip(operands, types) {
      if case .ids(let ids) = operand.content { return max(Int(ids.max() ?? 0) + 1, 2) }
      if op == .embed, type.rank == 2 { return type.sizes[0] }
      if op == .crossEntropy || op == .crossEntropyBackward { return type.sizes.last! }
    }
    return attributes[.vocab].flatMap { if case .int(let bound) = $0 { bound } else { nil } } ?? 2
  }

  /// Ops whose operands can have rows and positions.
  static let positional = Op.allCases.filter { op in
    var any = TestRandom(seed: 1)
    return random(op, &any) != nil
  }

  /// One application of a positional op on [batch, positions, features] of random sizes;
  /// none for an op that has no rows.
  static func random(_ op: Op, _ random: inout TestRandom) -> OpSample? {
    func size(_ range: ClosedRange<Int>) -> Int {
      range.lowerBound + Int(random.uniform() * Double(range.count))
    }
    let (b, t, f, o) = (size(1...3), size(2...5), size(2...5), size(2...4))
    let (heads, groups) = (size(1...2), size(1...2))
    func reals(_ sizes: Int...) -> Operand {
      Operand(
        type: .tensor(sizes),
        content: .reals((0..<sizes.reduce(1, *)).map { _ in random.awayFromZero() }))
    }
    func tokens(_ sizes: [Int], _ bound: Int) -> Operand {
      let ids = (0..<sizes.reduce(1, *)).map { _ in Int32(random.uniform() * Double(bound)) }
      return Operand(type: TensorType(.tokens, sizes.map(Dim.number)), content: .ids(ids))
    }
    func sample(
      _ operands: [Operand], _ attributes: [AttributeName: AttributeValue] = [:]
    ) -> OpSample {
      OpSample(op: op, note: "random", operands: operands, attributes: attributes)
    }
    switch op {
    case .add, .sub, .mul:
      switch size(0...4) {
      case 0: return sample([reals(b, t, f), reals(b, t, f)])
      case 1: return sample([reals(b, t, f), reals(t, f)])
      case 2: return sample([reals(b, 1, f), reals(b, t, f)])
      case 3: return sample([reals(1, t, f), reals(b, t, 1)])
      default: return sample([reals(), reals(b, t, f)])
      }
    case .scale, .offset: return sample([reals(b, t, f)], [.by: .double(0.7)])
    case .square, .sigmoid, .tanh, .softmax, .rmsNorm: return sample([reals(b, t, f)])
    case .softcap: return sample([reals(b, t, f)], [.cap: .double(2)])
    case .softcapBackward: return sample([reals(b, t, f), reals(b, t, f)], [.cap: .double(2)])
    case .leakyRelu: return sample([reals(b, t, f)], [.slope: .double(0.5)])
    case .leakyReluBackward:
      // The slope changes with the sign alone, which a small change may leave as it is.
      let signs = (0..<(b * t * f)).map { _ in -0.2 }
      let x = Operand(type: .tensor([b, t, f]), content: .reals(signs))
      return sample([reals(b, t, f), x], [.slope: .double(0.5)])
    case .rmsNormBackward: return sample([reals(b, t, f), reals(b, t, f)])
    case .lerp:
      return sample(
        [
          [reals(b, t, f), reals(b, t, f), reals(b, t, f)],
          [reals(b, t, f), reals(t, f), reals(b, t, 1)], [reals(f), reals(b, t, f), reals()],
        ][size(0...2)])
    case .softcapQuintic: return sample([reals(b, t, f)], [.cap: .double(2)])
    case .softcapQuinticBackward:
      return sample([reals(b, t, f), reals(b, t, f)], [.cap: .double(2)])
    case .softcapAsymmetric:
      // Each cap is read on its side of zero.
      return sample([reals(b, t, f), reals(), reals()])
    case .capOfSign: return nil
    case .softcapByBackward, .softcapByBackwardCap:
      return sample([reals(b, t, f), reals(b, t, f), reals(b, t, f)])
    case .raw: return sample([reals(b, t, f)])
    case .shift, .shiftBackward: return sample([reals(b, t, f)], [.by: .int(size(1...(t - 1)))])
    case .tokenMask: return sample([tokens([b, t], 2)], [.except: .int(1)])
    case .hashBigram:
      let form = ["xor", "sum"][size(0...1)]
      return sample([tokens([b, t], 9)], [.buckets: .int(101), .form: .word(form)])
    case .hashTrigram: return sample([tokens([b, t], 9)], [.buckets: .int(101)])
    case .documents:
      return sample([tokens([b, t], 2)], [.start: .int(1), .limit: .int([0, 2][size(0...1)])])
    case .slice:
      let axis = size(0...2)
      let extent = [b, t, f][axis]
      let start = size(0...(extent - 1))
      let squeezes = size(0...1) == 1
      let count = squeezes ? 1 : size(1...(extent - start))
      return sample(
        [reals(b, t, f)],
        [.axis: .int(axis), .start: .int(start), .count: .int(count), .squeeze: .bool(squeezes)])
    case .unslice:
      let start = size(0...3)
      return sample(
        [reals(b, t, f)],
        [
          .axis: .int(1), .start: .int(start),
          .shape: .dims([b, t + start + 1, f].map(Dim.number)),
        ])
    case .splitHeads: return sample([reals(b, t, heads * f)], [.heads: .int(heads)])
    case .mergeHeads: return sample([reals(b, t, heads, f)])
    case .sumTo:
      let shape = [[f], [t, f], [t, 1], [b, 1, f]][size(0...3)]
      return sample([reals(b, t, f)], [.shape: .dims(shape.map(Dim.number))])
    case .linear: return sample([reals(b, t, f), reals(o, f)])
    case .linearBackwardInput: return sample([reals(b, t, o), reals(o, f)])
    case .linearBackwardWeight: return sample([reals(b, t, o), reals(b, t, f)])
    case .embed: return sample([reals(o, f), tokens([b, t], o)])
    case .embedBackward:
      return sample([reals(b, t, f), tokens([b, t], o)], [.vocab: .int(o)])
    case .rope, .ropeBackward:
      // Position 0 turns by nothing.
      return sample([reals(b, t, heads, 4)], [.dims: .int(4), .start: .int(1)])
    case .scaleHeads:
      return sample(
        [reals(b, t, heads, f), size(0...1) == 0 ? reals(heads) : reals(b, t, heads)])
    case .excludeSelf:
      return sample([reals(b, t, heads * groups, f), reals(b, t, groups, f)])
    case .excludeSelfBackward:
      let y = (0..<2).map { _ in reals(b, t, heads * groups, f) }
      return sample(y + [reals(b, t, groups, f)])
    case .scaleHeadsBackwardGain, .scaleHeadsBackwardGate:
      return sample([reals(b, t, heads, f), reals(b, t, heads, f)])
    case .attention:
      let count = size(1...t)
      return sample(
        [reals(b, count, heads * groups, f), reals(b, t, groups, f), reals(b, t, groups, f)],
        [.count: .int(count == t ? 0 : count)])
    case .attentionBackward:
      let q = (0..<3).map { _ in reals(b, t, heads * groups, f) }
      let k = (0..<2).map { _ in reals(b, t, groups, f) }
      return sample([q[0], k[0], k[1], q[1], reals(b, heads * groups, t), q[2]])
    case .crossEntropy: return sample([reals(b, t, f), tokens([b, t], f)])
    case .crossEntropyBackward:
      return sample([reals(b, t, f), tokens([b, t], f), reals(b, t), reals(b, t)])
    case .dot: return sample([reals(b, t, f), reals(b, t, f)])
    case .fakeFloat8: return sample([reals(b, t, f), reals()])
    case .fakeQuant, .fakeQuantBackward, .clipFactor, .adamwUpdate, .sgdUpdate, .muonUpdate, .fused:
      return nil
    }
  }
}
