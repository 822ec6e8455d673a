// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: the value depends on seed, path and index, never on order or threads.

import Dispatch
import Glibc
import IR

/// A stream of random numbers for one purpose.
///
/// Each draw hashes (key, index) with the finaliser of SplitMix64 (Steele, Lea and Flood 2014),
/// twice, so that any element can be drawn alone.
public struct RandomStream: Sendable {
  private let key: UInt64

  public init(seed: UInt64, path: String) {
    var key = Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15)
    for byte in path.utf8 { key = Self.mix(key ^ UInt64(byte)) }
    self.key = key
  }

  /// 64 random bits for an index.
  public func bits(_ index: UInt64) -> UInt64 {
    Self.mix(Self.mix(index &* 0x9E37_79B9_7F4A_7C15 &+ key) &+ key)
  }

  /// Uniform in (0, 1), never 0 or 1.
  public func uniform(_ index: UInt64) -> Double {
    (Double(bits(index) >> 11) + 0.5) / 9_007_199_254_740_992
  }

  /// A standard normal number, by the Box-Muller transform of two draws.
  public func normal(_ index: UInt64) -> Double {
    let radius = (-2 * log(uniform(2 * index))).squareRoot()
    return radius * cos(2 * Double.pi * uniform(2 * index + 1))
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

extension ParameterBlock {
  /// Gives every parameter its initial values.
  public func initialise(seed: UInt64) {
    // Each parameter has a place and random numbers of its own, so their order is nobody's matter.
    nonisolated(unsafe) let places = layout.entries.map { self[$0.parameter.path]! }
    let parameters = layout.entries.map(\.parameter)
    DispatchQueue.concurrentPerform(iterations: parameters.count) { index in
      fill(
        places[index], shape: parameters[index].type.sizes, by: parameters[index].initial,
        stream: RandomStream(seed: seed, path: parameters[index].path))
    }
  }
}

/// Writes initial values of a tensor [rows…, width].
func fill(
  _ values: UnsafeMutableBufferPointer<Float>, shape: [Int], by initial: Initializer,
  stream: RandomStream
) {
  switch initial {
  case .zeros: values.update(repeating: 0)
  case .ones: values.update(repeating: 1)
  case .constant(let value): values.update(repeating: Float(value))
  case .normal(let deviation):
    for index in values.indices { values[index] = Float(deviation * stream.normal(UInt64(index))) }
  case .uniform:
    let bound = 1 / Double(shape.last ?? 1).squareRoot()
    for index in values.indices {
      values[index] = Float((2 * stream.uniform(UInt64(index)) - 1) * bound)
    }
  case .rows(let constants):
    let width = values.count / constants.count
    for index in values.indices { values[index] = Float(constants[index / width]) }
  case .overtone(let deviation):
    fill(values, shape: shape, by: .normal(deviation), stream: stream)
    giveHarmonicSpectrum(values, rows: shape[0], columns: shape[1])
  case .orthogonal(let gain):
    orthogonal(values, rows: shape[0], columns: shape[1], gain: gain, stream: stream)
  }
}

/// Orthonormal rows (or columns, where there are fewer) by modified Gram-Schmidt of a Gaussian matrix, whose
/// rows are far enough from dependent for one pass in Double.
private func orthogonal(
  _ values: UnsafeMutableBufferPointer<Float>, rows: Int, columns: Int, gain: Double,
  stream: RandomStream
) {
  let (count, length) = (min(rows, columns), max(rows, columns))
  var vectors = (0..<count * length).map { stream.normal(UInt64($0)) }
  vectors.withUnsafeMutableBufferPointer { v in
    // A block takes each earlier vector out of four at once, while that is in cache.
    for block in stride(from: 0, to: count, by: 4) {
      let end = min(block + 4, count)
      for j in 0..<block { removePart(along: j, from: block..<end, v.baseAddress!, length) }
      for i in block..<end {
        for j in block..<i { removePart(along: j, from: i..<i + 1, v.baseAddress!, length) }
        let row = v.baseAddress! + i * length
        let scale = 1 / product(row, row, length).squareRoot()
        for k in 0..<length { row[k] *= scale }
      }
    }
    for r in 0..<rows {
      for c in 0..<columns {
        let value = rows <= columns ? v[r * length + c] : v[c * length + r]
        values[r * columns + c] = Float(gain * value)
      }
    }
  }
}

/// Takes what some rows have along a unit row out of them.
private func removePart(
  along j: Int, from rows: Range<Int>, _ v: UnsafeMutablePointer<Double>, _ length: Int
) {
  let unit = v + j * length
  for i in rows {
    let row = v + i * length
    let along = product(row, unit, length)
    for k in 0..<length { row[k] -= along * unit[k] }
  }
}

/// The sum of products in eight lanes, so that the order does not depend on the machine.
private func product(
  _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ length: Int
) -> Double {
  var sum = SIMD8<Double>.zero
  var k = 0
  while k + 8 <= length {
    let x = UnsafeRawPointer(a + k).loadUnaligned(as: SIMD8<Double>.self)
    sum += x * UnsafeRawPointer(b + k).loadUnaligned(as: SIMD8<Double>.self)
    k += 8
  }
  var rest = 0.0
  while k < length {
    rest += a[k] * b[k]
    k += 1
  }
  return sum.sum() + rest
}
