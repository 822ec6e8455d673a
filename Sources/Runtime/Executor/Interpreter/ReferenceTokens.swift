// SPDX-License-Identifier: Apache-2.0
// Masks, hashes and documents of tokens, moved positions, caps of logits and self-exclusion in the
// reference interpreter.

import Glibc
import IR

extension Reference {
  // MARK: Tokens

  /// 0 where the token is `except`, 1 elsewhere.
  static func tokenMask(_ ids: Tensor, except: Int, _ sizes: [Int]) throws -> Tensor {
    Tensor(sizes, try ids.ids(below: Int(Int32.max)).map { $0 == except ? 0 : 1 })
  }

  /// The bucket of each token and those before it in its row.
  static func hash(_ ids: Tensor, order: Int, buckets: Int, isSum: Bool) throws -> Tensor {
    let tokens = try ids.ids(below: Int(Int32.max))
    let factors = [36313, 27191, 51497]
    let hashes = tokens.indices.map { place -> Int32 in
      let position = place % ids.width
      if isSum {
        return Int32((92821 * (position > 0 ? tokens[place - 1] : 0) + tokens[place]) % buckets)
      }
      guard position >= order - 1 else { return Int32(buckets - 1) }
      let hash = (0..<order).reduce(0) { $0 ^ (factors[$1] * tokens[place - $1]) }
      return Int32(hash % (buckets - 1))
    }
    return Tensor(sizes: ids.sizes, content: .ids(hashes))
  }

  /// Where the document of each token begins in its row.
  static func documents(_ ids: Tensor, start: Int, limit: Int) throws -> Tensor {
    let tokens = try ids.ids(below: Int(Int32.max))
    var begins: [Int32] = []
    for (place, token) in tokens.enumerated() {
      let position = place % ids.width
      let begin = position == 0 ? 0 : Int(begins[place - 1])
      let isNew = token == start || (limit > 0 && position - begin == limit)
      begins.append(Int32(isNew ? position : begin))
    }
    return Tensor(sizes: ids.sizes, content: .ids(begins))
  }

  // MARK: Positions

  /// y[b, t] = x[b, t - by], zero where there is no such position.
  static func shift(_ x: Tensor, by: Int) throws -> Tensor {
    let (reals, positions) = (try x.reals, x.sizes[1])
    let width = x.sizes[2...].reduce(1, *)
    let y = reals.indices.map { place in
      (0..<positions).contains(place / width % positions - by) ? reals[place - by * width] : 0
    }
    return Tensor(x.sizes, y)
  }

  // MARK: Caps of logits

  /// clamp(u (1 - u²/3 + u⁴/15), -1, 1), u clamped to -2 ... 2.
  static func quintic(_ x: Double) -> Double {
    let u = max(-2, min(2, x))
    return max(-1, min(1, u * (1 - u * u / 3 + u * u * u * u / 15)))
  }

  /// Its slope, 0 where something is clamped.
  static func quinticSlope(_ u: Double) -> Double {
    let y = u * (1 - u * u / 3 + u * u * u * u / 15)
    return abs(u) < 2 && abs(y) < 1 ? 1 - u * u + u * u * u * u / 3 : 0
  }

  /// above where x > 0, below elsewhere.
  static func capOfSign(_ x: Tensor, _ above: Tensor, _ below: Tensor) throws -> Tensor {
    let (above, below) = (try above.scalar, try below.scalar)
    return try map(x) { $0 > 0 ? above : below }
  }

  // MARK: Self-exclusion

  /// z = y - (y·u) u, u = v / max(|v|, 1e-12), for each head and the value that it reads.
  static func excludeSelf(_ y: Tensor, _ v: Tensor) throws -> Tensor {
    let heads = try rows(of: y)
    let (directions, share) = (try directions(of: v), y.sizes[2] / v.sizes[2])
    let z = heads.enumerated().flatMap { index, head in
      without(directions[index / share].unit, head)
    }
    return Tensor(y.sizes, z)
  }

  /// dy and dv of dz.
  static func excludeSelfBackward(_ dz: Tensor, _ y: Tensor, _ v: Tensor) throws -> [Tensor] {
    let (slopes, heads) = (try rows(of: dz), try rows(of: y))
    let (directions, share) = (try directions(of: v), y.sizes[2] / v.sizes[2])
    var dy: [Double] = []
    var dv: [Double] = []
    for (group, (unit, length)) in directions.enumerated() {
      var sum = [Double](repeating: 0, count: unit.count)
      for head in group * share..<(group + 1) * share {
        dy += without(unit, slopes[head])
        let (ofY, ofSlope) = (dot(unit, heads[head]), dot(unit, slopes[head]))
        for (d, (slope, y)) in zip(slopes[head], heads[head]).enumerated() {
          sum[d] += ofY * slope + ofSlope * y
        }
      }
      dv += without(unit, sum[...]).map { -$0 / length }
    }
    return [Tensor(y.sizes, dy), Tensor(v.sizes, dv)]
  }

  private static func directions(of v: Tensor) throws -> [(unit: [Double], length: Double)] {
    try rows(of: v).map { row in
      let length = max(row.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
      return (row.map { $0 / length }, length)
    }
  }

  /// x without its part along a unit vector.
  private static func without(_ unit: [Double], _ x: ArraySlice<Double>) -> [Double] {
    let along = dot(unit, x)
    return zip(x, unit).map { $0 - along * $1 }
  }

  private static func dot(_ a: [Double], _ b: ArraySlice<Double>) -> Double {
    zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
  }
}
