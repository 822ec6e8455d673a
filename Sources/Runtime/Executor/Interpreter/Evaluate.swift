// SPDX-License-Identifier: Apache-2.0
// The meaning of every op: one line of an exhaustive switch each. Longer formulas stand in the
// Reference files.

import Glibc
import IR

extension Interpreter {
  /// The results of one node, given its operands and the sizes of its results.
  func evaluate(_ node: Node, _ x: [Tensor], _ sizes: [[Int]]) throws -> [Tensor] {
    switch node.op {
    // Elementwise
    case .add: return [try Reference.combine(x[0], x[1], to: sizes[0]) { $0 + $1 }]
    case .sub: return [try Reference.combine(x[0], x[1], to: sizes[0]) { $0 - $1 }]
    case .mul: return [try Reference.combine(x[0], x[1], to: sizes[0]) { $0 * $1 }]
    case .scale:
      let by = node.double(.by)
      return [try Reference.map(x[0]) { by * $0 }]
    case .offset:
      let by = node.double(.by)
      return [try Reference.map(x[0]) { $0 + by }]
    case .square: return [try Reference.map(x[0]) { $0 * $0 }]
    case .sigmoid: return [try Reference.map(x[0]) { 1 / (1 + exp(-$0)) }]
    case .tanh: return [try Reference.map(x[0]) { Glibc.tanh($0) }]
    case .softcap:
      let cap = node.double(.cap)
      return [try Reference.map(x[0]) { cap * Glibc.tanh($0 / cap) }]
    case .softcapBackward:
      let cap = node.double(.cap)
      return [
        try Reference.combine(x[0], x[1], to: sizes[0]) { dy, y in dy * (1 - y / cap * (y / cap)) }
      ]
    case .leakyRelu:
      let slope = node.double(.slope)
      return [try Reference.map(x[0]) { $0 > 0 ? $0 : slope * $0 }]
    case .leakyReluBackward:
      let slope = node.double(.slope)
      return [try Reference.combine(x[0], x[1], to: sizes[0]) { dy, x in x > 0 ? dy : slope * dy }]
    case .lerp:
      let difference = try Reference.combine(x[1], x[0], to: sizes[0]) { $0 - $1 }
      let step = try Reference.combine(difference, x[2], to: sizes[0]) { $0 * $1 }
      return [try Reference.combine(x[0], step, to: sizes[0]) { $0 + $1 }]

    // Caps of logits
    case .softcapQuintic:
      let cap = node.double(.cap)
      return [try Reference.map(x[0]) { cap * Reference.quintic($0 / cap) }]
    case .softcapQuinticBackward:
      let cap = node.double(.cap)
      return [
        try Reference.combine(x[0], x[1], to: sizes[0]) { $0 * Reference.quinticSlope($1 / cap) }
      ]
    case .softcapAsymmetric:
      let cap = try Reference.capOfSign(x[0], x[1], x[2])
      return [try Reference.combine(x[0], cap, to: sizes[0]) { $1 * Glibc.tanh($0 / $1) }]
    case .capOfSign: return [try Reference.capOfSign(x[0], x[1], x[2])]
    case .softcapByBackward:
      let slope = try Reference.combine(x[1], x[2], to: sizes[0]) { 1 - $0 / $1 * ($0 / $1) }
      return [try Reference.combine(x[0], slope, to: sizes[0]) { $0 * $1 }]
    case .softcapByBackwardCap:
      let slope = try Reference.combine(x[1], x[2], to: sizes[0]) {
        let (u, t) = ($0 / $1, Glibc.tanh($0 / $1))
        return t - u * (1 - t * t)
      }
      return [try Reference.combine(x[0], slope, to: sizes[0]) { $0 * $1 }]

    // Layout
    case .slice:
      let (axis, start, count) = (node.int(.axis), node.int(.start), node.int(.count))
      return [try Reference.slice(x[0], axis: axis, start: start, count: count, to: sizes[0])]
    case .unslice:
      let (axis, start) = (node.int(.axis), node.int(.start))
      return [try Reference.unslice(x[0], axis: axis, start: start, to: sizes[0])]
    case .splitHeads, .mergeHeads:
      // Heads lie side by side in the last axis: the same elements in the same order.
      return [Tensor(sizes[0], try x[0].reals)]
    case .sumTo: return [try Reference.sumTo(x[0], sizes[0])]
    case .raw: return [x[0]]
    case .shift: return [try Reference.shift(x[0], by: node.int(.by))]
    case .shiftBackward: return [try Reference.shift(x[0], by: -node.int(.by))]

    // Tokens
    case .tokenMask: return [try Reference.tokenMask(x[0], except: node.int(.except), sizes[0])]
    case .hashBigram:
      let isSum = node.word(.form) == "sum"
      return [try Reference.hash(x[0], order: 2, buckets: node.int(.buckets), isSum: isSum)]
    case .hashTrigram:
      return [try Reference.hash(x[0], order: 3, buckets: node.int(.buckets), isSum: false)]
    case .documents:
      return [try Reference.documents(x[0], start: node.int(.start), limit: node.int(.limit))]

    // Matrix products
    case .linear: return [try Reference.linear(x[0], x[1])]
    case .linearBackwardInput: return [try Reference.linearBackwardInput(x[0], x[1])]
    case .linearBackwardWeight: return [try Reference.linearBackwardWeight(x[0], x[1])]
    case .embed: return [try Reference.embed(x[0], x[1])]
    case .embedBackward:
      return [try Reference.embedBackward(x[0], x[1], vocab: node.int(.vocab))]

    // Normalisation
    case .rmsNorm: return [try Reference.rmsNorm(x[0], epsilon: node.double(.epsilon))]
    case .rmsNormBackward:
      return [try Reference.rmsNormBackward(x[0], x[1], epsilon: node.double(.epsilon))]

    // Attention
    case .rope: return [try Reference.rope(x[0], RotaryTable(node, x[0].sizes), isInverse: false)]
    case .ropeBackward:
      return [try Reference.rope(x[0], RotaryTable(node, x[0].sizes), isInverse: true)]
    case .scaleHeads: return [try Reference.scaleHeads(x[0], x[1])]
    case .scaleHeadsBackwardGain: return [try Reference.scaleHeadsBackwardGain(x[0], x[1])]
    case .scaleHeadsBackwardGate:
      let product = try Reference.combine(x[0], x[1], to: x[0].sizes) { $0 * $1 }
      return [Tensor(sizes[0], try Reference.sumTo(product, sizes[0] + [1]).reals)]
    case .excludeSelf: return [try Reference.excludeSelf(x[0], x[1])]
    case .excludeSelfBackward: return try Reference.excludeSelfBackward(x[0], x[1], x[2])
    case .attention:
      return try Reference.attention(x[0], x[1], x[2], docs: x.count > 3 ? x[3] : nil)
    case .attentionBackward:
      return try Reference.attentionBackward(
        q: x[0], k: x[1], v: x[2], y: x[3], lse: x[4], dy: x[5], docs: x.count > 6 ? x[6] : nil)

    // Loss
    case .softmax: return [try Reference.softmax(x[0])]
    case .crossEntropy: return try Reference.crossEntropy(x[0], x[1], cap: node.double(.cap))
    case .crossEntropyBackward:
      return [
        try Reference.crossEntropyBackward(
          x[0], targets: x[1], lse: x[2], dnll: x[3], dlse: x.count > 4 ? x[4] : nil,
          cap: node.double(.cap))
      ]
    case .dot: return [try Reference.dot(x[0], x[1])]

    // Quantisation
    case .fakeQuant: return [try Reference.fakeQuant(x[0], alpha: x[1], FakeQuantRule(node))]
    case .fakeQuantBackward:
      return [try Reference.fakeQuantBackward(x[0], x[1], alpha: x[2], FakeQuantRule(node))]
    case .fakeFloat8: return [try Reference.fakeFloat8(x[0], alpha: x[1])]

    // Optimiser
    case .clipFactor: return try Reference.clipFactor(x, limit: node.double(.limit))
    case .adamwUpdate: return try Reference.adamwUpdate(x, node)
    case .sgdUpdate: return try Reference.sgdUpdate(x, node)
    case .muonUpdate: return try Reference.muonUpdate(x, node)

    case .fused: throw InterpreterError("a fused node stands inside another one")
    }
  }
}
