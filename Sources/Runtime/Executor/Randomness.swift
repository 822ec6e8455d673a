// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: the value depends on seed, path and index, never on order or threads.

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
    for entry in layout.entries {
      let parameter = entry.parameter
      fill(
        self[parameter.path]!, shape: parameter.type.sizes, by: parameter.initial,
        stream: RandomStream(seed: seed, path: parameter.path))
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

/// Orthonormal rows (or columns, where there are fewer) by Gram-Schmidt of a Gaussian matrix.
private func orthogonal(
  _ values: UnsafeMutableBufferPointer<Float>, rows: Int, columns: Int, gain: Double,
  stream: RandomStream
) {
  let (count, length) = (min(rows, columns), max(rows, columns))
  var vectors = (0..<count * length).map { stream.normal(UInt64($0)) }
  vectors.withUnsafeMutableBufferPointer { v in
    for i in 0..<count {
      // Twice is enough (Kahan): the second pass removes what rounding left.
      for _ in 0..<2 {
        for j in 0..<i {
          var dot = 0.0
          for k in 0..<length { dot += v[i * length + k] * v[j * length + k] }
          for k in 0..<length { v[i * length + k] -= dot * v[j * length + k] }
        }
      }
      var norm = 0.0
      for k in 0..<length { norm += v[i * length + k] * v[i * length + k] }
      let scale = 1 / norm.squareRoot()
      for k in 0..<length { v[i * length + k] *= scale }
    }
    for r in 0..<rows {
      for c in 0..<columns {
        let value = rows <= columns ? v[r * length + c] : v[c * length + r]
        values[r * columns + c] = Float(gain * value)
      }
    }
  }
}
