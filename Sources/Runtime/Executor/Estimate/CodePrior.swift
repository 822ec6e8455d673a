// SPDX-License-Identifier: Apache-2.0
// How many bits codes take whose weights nobody has seen: those of rows of a normal distribution.

import Foundation
import IR

extension Quantizer {
  /// Bits of a code of normal rows, or groups, of so many columns, whose weights have the deviation `deviation`.
  ///
  /// -Σ p log2 p over the probabilities of the codes; for a step of r deviations, small and far from the clip,
  /// that is 2.047 - log2 r.
  package func expectedBits(columns: Int, deviation: Double) -> Double {
    guard deviation > 0 else { return 0 }
    let clip = expectedClip(columns: columns)
    let step = max(clip / Double(qmax), max(floor, halfFloor) / deviation)
    // The smallest weights are zeros, however small the step is.
    let zeros = pruned > 0 ? normalQuantile((1 + pruned) / 2) : 0
    return (qmin...qmax).reduce(0.0) { bits, code in
      var low = code == qmin ? -9 : (Double(code) - 0.5) * step
      var high = code == qmax ? 9 : (Double(code) + 0.5) * step
      if code == 0 { (low, high) = (min(low, -zeros), max(high, zeros)) }
      if code > 0 { low = max(low, zeros) }
      if code < 0 { high = min(high, -zeros) }
      let part = normalPart(below: high) - normalPart(below: low)
      return part > 0 ? bits - part * log2(part) : bits
    }
  }

  /// What the largest code stands for, in deviations of the row.
  func expectedClip(columns: Int) -> Double {
    /// The median of the largest of all |w|, or their quantile, whichever is nearer.
    func quantile(_ q: Double) -> Double {
      let largest = pow(0.5, 1 / Double(max(columns, 1)))
      return normalQuantile((1 + min(q, largest)) / 2)
    }
    switch clip.kind {
    case .max: return quantile(1)
    case .mean: return (2 / Double.pi).squareRoot()
    case .sdclip: return clip.parameters[0]
    case .quantile: return quantile(clip.parameters[0])
    case .search:
      let clips = clip.parameters.map(quantile)
      return clips.min { error(clip: $0) < error(clip: $1) } ?? quantile(1)
    }
  }

  /// The squared error of a code, on average: within the clip that of rounding, beyond it the distance.
  private func error(clip k: Double) -> Double {
    let step = k / Double(qmax)
    let density = exp(-k * k / 2) / (2 * Double.pi).squareRoot()
    let beyond = 2 * ((1 + k * k) * (1 - normalPart(below: k)) - k * density)
    return step * step / 12 + beyond
  }
}

/// The part of a standard normal distribution below x.
func normalPart(below x: Double) -> Double { 0.5 * erfc(-x / 2.0.squareRoot()) }

/// Where a part of a standard normal distribution ends, by halving.
func normalQuantile(_ part: Double) -> Double {
  var (low, high) = (-9.0, 9.0)
  for _ in 0..<60 {
    let middle = (low + high) / 2
    if normalPart(below: middle) < part { low = middle } else { high = middle }
  }
  return (low + high) / 2
}
