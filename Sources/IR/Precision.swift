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

extension Precision {
  /// What QAT sees of it: the same scales, codes rounded to nearest.
  public mutating func roundToNearest() {
    guard case .int(var quantizer) = self else { return }
    quantizer.isSolved = false
    self = .int(quantizer)
  }
}

/// A row quantiser: w ≈ scale * code, with one scale a row.
///
/// scale = max(clip / qmax, floor), rounded to f16 and raised to `halfFloor`;
/// code = clamp(round half to even(w / scale), qmin, qmax). QAT node, export and loader read this.
public struct Quantizer: Hashable, Sendable, CustomStringConvertible {
  /// What the largest code stands for, from the row of weights.
  public struct Clip: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
      /// max |w|.
      case max
      /// The q-quantile of |w|, linearly interpolated at q (n - 1).
      case quantile
      /// k times the standard deviation (n - 1).
      case sdclip

      /// The number that it takes.
      public var argument: (name: String, range: NumberRange)? {
        switch self {
        case .max: nil
        case .quantile: ("q", .share)
        case .sdclip: ("k", .positive)
        }
      }
    }

    public var kind: Kind
    /// q or k; 0 for max.
    public var parameter: Double

    public init(_ kind: Kind, _ parameter: Double = 0) {
      (self.kind, self.parameter) = (kind, parameter)
    }

    public static let max = Self(.max)
    public static func quantile(_ q: Double) -> Self { Self(.quantile, q) }
    public static func sdclip(_ k: Double) -> Self { Self(.sdclip, k) }
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
  /// Whether the codes of an artifact make up for each other's errors (GPTQ) instead of being nearest. QAT
  /// rounds to nearest.
  public var isSolved = false

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
    text += clip.kind.rawValue
    if clip.kind.argument != nil { text += "(\(shortest(clip.parameter)))" }
    if floor != 1e-10 { text += " floor(\(shortest(floor)))" }
    if halfFloor != 0 { text += " half_floor(\(shortest(halfFloor)))" }
    if isAsymmetric { text += " asymmetric" }
    if codesFromUnrounded { text += " unrounded" }
    if isSolved { text += " gptq" }
    return text
  }
}
