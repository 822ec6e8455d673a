// SPDX-License-Identifier: Apache-2.0
// How a parameter is stored in the artifact: the one definition of the quantiser's settings.

/// The stored form of a parameter.
public enum Precision: Hashable, Sendable, CustomStringConvertible {
  case f32
  case f16
  /// Integer codes, one scale a row.
  case int(Quantizer)

  public var description: String {
    switch self {
    case .f32: return "f32"
    case .f16: return "f16"
    case .int(let quantizer): return quantizer.description
    }
  }
}

/// A row quantiser: w ≈ scale * code, with one scale a row.
///
/// scale = max(clip / qmax, floor), rounded to f16 and raised to `halfFloor`;
/// code = clamp(round half to even(w / scale), qmin, qmax). QAT node, export and loader read this.
public struct Quantizer: Hashable, Sendable, CustomStringConvertible {
  /// What the largest code stands for, from the row of weights.
  public enum Clip: Hashable, Sendable {
    /// max |w|.
    case max
    /// The q-quantile of |w|, linearly interpolated at q (n - 1).
    case quantile(Double)
    /// k times the standard deviation (n - 1).
    case sdclip(Double)

    public static let words = ["max", "quantile", "sdclip"]

    /// The clip of a word in text, nil if no clip is called so.
    public init?(_ word: String, _ parameter: Double) {
      switch word {
      case "max": self = .max
      case "quantile": self = .quantile(parameter)
      case "sdclip": self = .sdclip(parameter)
      default: return nil
      }
    }

    /// The word in text.
    public var word: String {
      switch self {
      case .max: return "max"
      case .quantile: return "quantile"
      case .sdclip: return "sdclip"
      }
    }
    /// q or k; 0 for max.
    public var parameter: Double {
      switch self {
      case .max: return 0
      case .quantile(let q): return q
      case .sdclip(let k): return k
      }
    }
  }

  /// 2 to 8.
  public var bits: Int
  public var clip: Clip
  /// Smallest step before rounding to f16.
  public var floor: Double
  /// Smallest step after rounding to f16.
  public var halfFloor: Double
  /// Whether the code -2^(bits-1) is used.
  public var isAsymmetric: Bool
  /// Whether codes come from the scale before rounding to f16, of weights clamped to the clip.
  public var codesFromUnrounded: Bool

  public init(
    bits: Int, clip: Clip, floor: Double = 1e-10, halfFloor: Double = 0, isAsymmetric: Bool = false,
    codesFromUnrounded: Bool = false
  ) {
    (self.bits, self.clip, self.floor, self.halfFloor) = (bits, clip, floor, halfFloor)
    (self.isAsymmetric, self.codesFromUnrounded) = (isAsymmetric, codesFromUnrounded)
  }

  public var qmax: Int { (1 << (bits - 1)) - 1 }
  public var qmin: Int { isAsymmetric ? -qmax - 1 : -qmax }

  /// The rule as it stands in a `quantize` section.
  public var description: String {
    var text = "int\(bits) per_row "
    text += clip == .max ? "max" : "\(clip.word)(\(shortest(clip.parameter)))"
    if floor != 1e-10 { text += " floor(\(shortest(floor)))" }
    if halfFloor != 0 { text += " half_floor(\(shortest(halfFloor)))" }
    if isAsymmetric { text += " asymmetric" }
    if codesFromUnrounded { text += " unrounded" }
    return text
  }
}
