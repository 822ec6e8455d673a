// SPDX-License-Identifier: Apache-2.0
// The quantiser in Float64: scale, codes and values of rows, and the soft rounds that train for it.

import Glibc
import IR

/// Quantises rows as `Quantizer` defines it: w ≈ scale * code.
public struct ReferenceQuantizer: Hashable, Sendable {
  public let quantizer: Quantizer

  public init(_ quantizer: Quantizer) { self.quantizer = quantizer }

  /// The steps of one row.
  public struct Scale: Hashable, Sendable {
    /// What the largest code stands for.
    public var clip: Double
    /// max(clip / qmax, floor).
    public var unrounded: Double
    /// The stored step: `unrounded` as f16, raised to the half floor.
    public var stored: Double
  }

  /// One row in stored form.
  public struct Row: Hashable, Sendable {
    public var scale: Double
    public var codes: [Int]

    /// What the loader makes of it.
    public var dequantised: [Double] { codes.map { Double($0) * scale } }
  }

  public func scale(of row: [Double]) -> Scale {
    let scales = clips(of: row).map { scale(clip: $0) }
    var (best, least) = (scales[0], Double.infinity)
    for scale in scales where scales.count > 1 {
      let values = quantised(row, scale).dequantised
      let error = zip(row, values).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      if error < least { (best, least) = (scale, error) }
    }
    return best
  }

  private func scale(clip: Double) -> Scale {
    let unrounded = max(clip / Double(quantizer.qmax), quantizer.floor)
    let stored = max(Self.roundedToHalf(unrounded), quantizer.halfFloor)
    return Scale(clip: clip, unrounded: unrounded, stored: stored)
  }

  /// The codes of a row, from the stored step or, where the rule says so, from the unrounded one.
  public func quantised(_ row: [Double]) -> Row { quantised(row, scale(of: row)) }

  private func quantised(_ row: [Double], _ scale: Scale) -> Row {
    let codes: [Int]
    if quantizer.codesFromUnrounded {
      let clipped = row.map { min(max($0, -scale.clip), scale.clip) }
      codes = clipped.map { code($0, step: scale.unrounded) }
    } else {
      codes = row.map { code($0, step: scale.stored) }
    }
    return Row(scale: scale.stored, codes: codes)
  }

  /// clamp(round half to even(w / step), qmin, qmax); 0 where the step is 0.
  public func code(_ w: Double, step: Double) -> Int {
    let quotient = (w / step).rounded(.toNearestOrEven)
    guard step != 0, !quotient.isNaN else { return 0 }
    return Int(min(max(quotient, Double(quantizer.qmin)), Double(quantizer.qmax)))
  }

  /// The row's clip, or those among which a search chooses.
  private func clips(of row: [Double]) -> [Double] {
    guard !row.isEmpty else { return [0] }
    let parameters = quantizer.clip.parameters
    switch quantizer.clip.kind {
    case .max: return [row.reduce(0) { max($0, abs($1)) }]
    case .mean: return [row.reduce(0) { $0 + abs($1) } / Double(row.count)]
    case .quantile, .search: return parameters.map { Self.quantile(row.map { abs($0) }, $0) }
    case .sdclip: return parameters.map { $0 * Self.standardDeviation(row) }
    }
  }

  /// The q-quantile, linearly interpolated at place q (n - 1) of the sorted values. Not empty.
  static func quantile(_ values: [Double], _ q: Double) -> Double {
    let sorted = values.sorted()
    let place = min(max(q, 0), 1) * Double(sorted.count - 1)
    let lower = Int(place)
    let upper = min(lower + 1, sorted.count - 1)
    return sorted[lower] + (place - Double(lower)) * (sorted[upper] - sorted[lower])
  }

  /// The standard deviation with n - 1; 0 of a single value.
  static func standardDeviation(_ values: [Double]) -> Double {
    guard values.count > 1 else { return 0 }
    let mean = values.reduce(0, +) / Double(values.count)
    let sum = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return sqrt(sum / Double(values.count - 1))
  }

  /// The nearest number that f16 holds, half to even, in one rounding.
  public static func roundedToHalf(_ value: Double) -> Double {
    guard value.isFinite, value != 0 else { return value }
    // 11 significant bits; below 2^-14 f16 is subnormal and its steps stay 2^-24.
    let step = scalbn(1, max(Int(value.exponent), -14) - 10)
    let rounded = (value / step).rounded(.toNearestOrEven) * step
    return abs(rounded) > 65504 ? (value < 0 ? -.infinity : .infinity) : rounded
  }

  /// The nearest number of E4M3, half to even; what is larger than 448 becomes that.
  public static func roundedToFloat8(_ value: Double) -> Double {
    guard value.isFinite, value != 0 else { return value }
    // 4 significant bits; below 2^-6 steps stay 2^-9.
    let step = scalbn(1, max(Int(value.exponent), -6) - 3)
    return min(max((value / step).rounded(.toNearestOrEven) * step, -448), 448)
  }
}

/// A differentiable staircase that sharpens with alpha: rounding for training.
public enum SoftRound: Sendable {
  /// floor y + 1/2 + tanh(alpha (r - 1/2)) / (2 tanh(alpha/2)), r = y - floor y (Agustsson, Theis).
  case exact
  /// floor y + logistic(alpha (r - 1/2)): jumps at whole numbers.
  case logistic

  public func value(_ y: Double, alpha: Double) -> Double {
    let whole = y.rounded(.down)
    let place = alpha * (y - whole - 0.5)
    switch self {
    case .exact: return whole + 0.5 + tanh(place) / (2 * tanh(alpha / 2))
    case .logistic: return whole + 1 / (1 + exp(-place))
    }
  }

  /// d value / d y.
  public func slope(_ y: Double, alpha: Double) -> Double {
    let place = alpha * (y - y.rounded(.down) - 0.5)
    switch self {
    case .exact: return alpha / (cosh(place) * cosh(place)) / (2 * tanh(alpha / 2))
    case .logistic:
      let logistic = 1 / (1 + exp(-place))
      return alpha * logistic * (1 - logistic)
    }
  }
}
