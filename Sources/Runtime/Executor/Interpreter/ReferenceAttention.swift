// SPDX-License-Identifier: Apache-2.0
// Rotary positions, gains of heads and attention in the reference interpreter. Tensors of heads are
// [batch, positions, heads, width].

import Glibc
import IR

/// Cosines and sines of rope, for each position and each pair of features.
struct RotaryTable {
  let pairs: Int
  /// The position of the first row.
  private let start: Int
  private let frequencies: [Double]

  /// Reads the attributes of a rope node over a tensor of heads.
  ///
  /// frequency_i = base^(-2i/dims). With more positions than `train` > 0 the base grows by
  /// (positions / train)^(dims / (dims - 2)). With a ramp factor other than 1, frequency_i is divided
  /// by t (factor - 1) + 1, where t = clamp((2i/dims - from) / (1 - from), 0, 1).
  init(_ node: Node, _ sizes: [Int]) {
    start = node.int(.start)
    let (positions, dims, train) = (start + sizes[1], node.int(.dims), node.int(.train))
    let (from, factor) = (node.double(.rampFrom), node.double(.rampFactor))
    pairs = dims / 2
    var base = node.double(.base)
    if train > 0, positions > train {
      base *= pow(Double(positions) / Double(train), Double(dims) / Double(dims - 2))
    }
    frequencies = (0..<pairs).map { pair in
      let exponent = Double(2 * pair) / Double(dims)
      let frequency = pow(base, -exponent)
      if factor == 1 { return frequency }
      let t = min(max((exponent - from) / (1 - from), 0), 1)
      return frequency / (t * (factor - 1) + 1)
    }
  }

  func angle(_ row: Int, _ pair: Int) -> Double { Double(start + row) * frequencies[pair] }
}

extension Reference {
  /// (u, w) -> (u cos + w sin, w cos - u sin), halves of the first dims; the inverse turns back.
  static func rope(_ x: Tensor, _ table: RotaryTable, isInverse: Bool) throws -> Tensor {
    let (batch, positions, heads, width) = (x.sizes[0], x.sizes[1], x.sizes[2], x.sizes[3])
    var y = try x.reals
    for row in 0..<(batch * positions) {
      for pair in 0..<table.pairs {
        let angle = table.angle(row % positions, pair)
        let (cosine, sine) = (cos(angle), isInverse ? -sin(angle) : sin(angle))
        for head in 0..<heads {
          let first = (row * heads + head) * width + pair
          let (u, w) = (y[first], y[first + table.pairs])
          y[first] = u * cosine + w * sine
          y[first + table.pairs] = w * cosine - u * sine
        }
      }
    }
    return Tensor(x.sizes, y)
  }

  /// y[b, t, h, :] = gain[h] x[b, t, h, :], or gain[b, t, h] x[b, t, h, :].
  static func scaleHeads(_ x: Tensor, _ gain: Tensor) throws -> Tensor {
    try combine(x, Tensor(gain.sizes + [1], gain.reals), to: x.sizes) { $0 * $1 }
  }

  /// dgain[h] = Σ over b, t, d of dy x.
  static func scaleHeadsBackwardGain(_ dy: Tensor, _ x: Tensor) throws -> Tensor {
    guard x.sizes.count == 4 else { throw InterpreterError("x must have 4 axes: \(x.sizes)") }
    let product = try combine(dy, x, to: x.sizes) { $0 * $1 }
    return Tensor([x.sizes[2]], try sumTo(product, [x.sizes[2], 1]).reals)
  }

  /// Extents of one attention and where its vectors start.
  struct HeadLayout {
    let batch, queries, positions, heads, groups, width: Int
    /// The first key of each position; empty where all begin at the first.
    let firstKeys: [Int]

    init(_ q: Tensor, _ k: Tensor, docs: Tensor?) throws {
      (batch, queries, heads, width) = (q.sizes[0], q.sizes[1], q.sizes[2], q.sizes[3])
      (positions, groups) = (k.sizes[1], k.sizes[2])
      firstKeys = try docs?.ids(below: TensorType.documentBound) ?? []
    }
    /// The keys that a query sees: never none.
    func keys(_ item: Int, _ position: Int) -> ClosedRange<Int> {
      let first = firstKeys.isEmpty ? 0 : firstKeys[item * positions + position]
      return min(first, position)...position
    }
    /// The position of the first query.
    var first: Int { positions - queries }
    /// 1 / sqrt(width).
    var scale: Double { 1 / sqrt(Double(width)) }
    var lseSizes: [Int] { [batch, heads, queries] }

    func query(_ item: Int, _ position: Int, _ head: Int) -> Int {
      ((item * queries + position - first) * heads + head) * width
    }
    /// The key or value that a query head reads: of kv head `head / (heads / groups)`.
    func key(_ item: Int, _ position: Int, _ head: Int) -> Int {
      ((item * positions + position) * groups + head / (heads / groups)) * width
    }
    func lse(_ item: Int, _ position: Int, _ head: Int) -> Int {
      (item * heads + head) * queries + position - first
    }
  }

  /// y = softmax(scale q kᵀ + mask) v per head, and the log of the sum of exp.
  static func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, docs: Tensor?
  ) throws -> [Tensor] {
    let layout = try HeadLayout(q, k, docs: docs)
    let (width, values) = (layout.width, try v.reals)
    var y = [Double](repeating: 0, count: q.count)
    var lse = [Double](repeating: 0, count: layout.lseSizes.reduce(1, *))
    try read(q, k) { q, k in
      values.withUnsafeBufferPointer { v in
        for item in 0..<layout.batch {
          for head in 0..<layout.heads {
            for position in layout.first..<layout.positions {
              let query = layout.query(item, position, head)
              let keys = layout.keys(item, position)
              let scores = keys.map { past in
                layout.scale * product(q, query, k, layout.key(item, past, head), width)
              }
              let total = logSumExp(scores[...])
              lse[layout.lse(item, position, head)] = total
              for past in keys {
                let weight = exp(scores[past - keys.lowerBound] - total)
                let value = layout.key(item, past, head)
                for d in 0..<width { y[query + d] += weight * v[value + d] }
              }
            }
          }
        }
      }
    }
    return [Tensor(q.sizes, y), Tensor(layout.lseSizes, lse)]
  }

  /// With p = exp(scale q kᵀ - lse): dv = pᵀ dy, ds = p (dy vᵀ - dy·y), dq = scale ds k,
  /// dk = scale dsᵀ q.
  static func attentionBackward(
    q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, dy: Tensor, docs: Tensor?
  ) throws -> [Tensor] {
    let layout = try HeadLayout(q, k, docs: docs)
    try y.check(q.sizes, "y")
    try dy.check(q.sizes, "dy")
    try lse.check(layout.lseSizes, "lse")
    let (width, totals) = (layout.width, try lse.reals)
    var dq = [Double](repeating: 0, count: q.count)
    var dk = [Double](repeating: 0, count: k.count)
    var dv = [Double](repeating: 0, count: v.count)
    try read(q, k) { q, k in
      try read(y, dy) { y, dy in
        try v.reals.withUnsafeBufferPointer { v in
          for item in 0..<layout.batch {
            for head in 0..<layout.heads {
              for position in 0..<layout.positions {
                let query = layout.query(item, position, head)
                let total = totals[layout.lse(item, position, head)]
                let mean = product(dy, query, y, query, width)
                for past in layout.keys(item, position) {
                  let key = layout.key(item, past, head)
                  let p = exp(layout.scale * product(q, query, k, key, width) - total)
                  let ds = layout.scale * p * (product(dy, query, v, key, width) - mean)
                  for d in 0..<width {
                    dv[key + d] += p * dy[query + d]
                    dq[query + d] += ds * k[key + d]
                    dk[key + d] += ds * q[query + d]
                  }
                }
              }
            }
          }
        }
      }
    }
    return [Tensor(q.sizes, dq), Tensor(k.sizes, dk), Tensor(v.sizes, dv)]
  }

  /// Σ of a[i + d] b[j + d] over d in 0 ..< width.
  private static func product(
    _ a: UnsafeBufferPointer<Double>, _ i: Int, _ b: UnsafeBufferPointer<Double>, _ j: Int,
    _ width: Int
  ) -> Double {
    var sum = 0.0
    for d in 0..<width { sum += a[i + d] * b[j + d] }
    return sum
  }
}
