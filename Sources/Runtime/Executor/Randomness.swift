// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: the value depends on seed, path and index, never on order or threads.

import CKernels
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
  public func normal(_ index: UInt64) -> Double { normals(index).0 }

  /// Both normal numbers of the transform.
  @inline(__always)
  func normals(_ index: UInt64) -> (Double, Double) {
    let radius = (-2 * log(uniform(2 * index))).squareRoot()
    let angle = 2 * Double.pi * uniform(2 * index + 1)
    return (radius * cos(angle), radius * sin(angle))
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

/// Orthonormal rows (or columns, where there are fewer) of a Gaussian matrix [rows, columns].
private func orthogonal(
  _ values: UnsafeMutableBufferPointer<Float>, rows: Int, columns: Int, gain: Double,
  stream: RandomStream
) {
  let (count, length) = (min(rows, columns), max(rows, columns))
  // The kernel takes multiples of eight; zeros are orthogonal to everything.
  let (paddedCount, padded) = ((count + 7) / 8 * 8, (length + 7) / 8 * 8)
  var vectors = [Double](repeating: 0, count: paddedCount * padded)
  vectors.withUnsafeMutableBufferPointer { v in
    for i in 0..<count {
      for k in stride(from: 0, to: length, by: 2) {
        let (first, second) = stream.normals(UInt64((i * padded + k) / 2))
        v[i * padded + k] = first
        if k + 1 < length { v[i * padded + k + 1] = second }
      }
    }
    kernels_orthonormalise(v.baseAddress, Int64(paddedCount), Int64(padded))
    for r in 0..<rows {
      for c in 0..<columns {
        let value = rows <= columns ? v[r * padded + c] : v[c * padded + r]
        values[r * columns + c] = Float(gain * value)
      }
    }
  }
}
