// SPDX-License-Identifier: Apache-2.0
// How a parameter is stored in the artifact: the one definition of the quantiser's settings.

/// The stored form of a parameter.
public enum Precision: Hashable, Sendable, CustomStringConvertible {
  case f32
  case f16
  /// Eight bits each, E4M3 without infinities (Micikevicius et al., 2022), without a scale.
  case fp8
  /// Integer codes, one scale a row or group.
  case int(Quantizer)

  public var description: String {
    switch self {
    case .f32: return "f32"
    case .f16: return "f16"
    case .fp8: return "fp8"
    case .int(let quantizer): return quantizer.description
    }
  }
}

extension Precision {
  /// Whether codes make up for each other's errors.
  public var isSolved: Bool {
    if case .int(let quantizer) = self { quantizer.isSolved } else { false }
  }

  /// Whether training can see the rounding.
  public var isRounded: Bool {
    switch self {
    case .f32, .f16: false
    case .fp8, .int: true
    }
  }

  /// Whether the moments of what a param multiplies decide how it is stored.
  public var needsMoments: Bool {
    if case .int(let quantizer) = self {
      quantizer.isSolved || quantizer.sensitivity > 0
    } else {
      false
    }
  }

  /// The same form without what decides its codes alone: what QAT and readers see of it.
  public var nearest: Precision {
    guard case .int(var quantizer) = self else { return self }
    (quantizer.isSolved, quantizer.sensitivity, quantizer.pruned) = (false, 0, 0)
    return .int(quantizer)
  }
}

/// A quantiser: w ≈ scale * code, with one scale for each row, or for each group of its columns. What is
/// said of a row below holds for a group where there are some.
///
/// scale = max(clip / qmax, floor), rounded to f16 and raised to `halfFloor`;
/// code = clamp(round half to even(w / scale), qmin, qmax). QAT node, export and loader read this.
public struct Quantizer: Hashable, Sendable, CustomStringConvertible {
  /// What the largest code stands for, from the row of weights.
  public struct Clip: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
      /// max |w|.
      case max
      /// The mean of |w|: with codes of -1, 0 and 1 the ternary weights of BitNet b1.58 (Ma et al., 2024).
      case mean
      /// The q-quantile of |w|, linearly interpolated at q (n - 1).
      case quantile
      /// k times the standard deviation (n - 1).
      case sdclip
      /// Of several quantiles of |w| the one whose codes leave the least squared error of the row; of
      /// equal ones the first.
      case search

      /// The numbers that it takes: how many, and which.
      public var argument: (name: String, range: NumberRange, count: ClosedRange<Int>)? {
        switch self {
        case .max, .mean: nil
        case .quantile: ("q", .share, 1...1)
        case .sdclip: ("k", .positive, 1...1)
        case .search: ("q", .share, 2...8)
        }
      }
    }

    public var kind: Kind
    /// q, k or the quantiles of a search; none for max.
    public var parameters: [Double]

    public init(_ kind: Kind, _ parameters: [Double] = []) {
      (self.kind, self.parameters) = (kind, parameters)
    }

    public static let max = Self(.max)
    public static func quantile(_ q: Double) -> Self { Self(.quantile, [q]) }
    public static func sdclip(_ k: Double) -> Self { Self(.sdclip, [k]) }
    public static func search(_ quantiles: [Double]) -> Self { Self(.search, quantiles) }

    /// As it stands in a rule: `max`, `sdclip(12.85)`.
    public var description: String {
      let numbers = parameters.map { shortest($0) }.joined(separator: ", ")
      return parameters.isEmpty ? kind.rawValue : "\(kind.rawValue)(\(numbers))"
    }
  }

  public static let allBits = 2...8

  /// Adjacent columns that are stored in more bits (AWQ-lite, pull request #1908 of Parameter Golf).
  public struct FineRange: Hashable, Sendable {
    public var (start, count, bits): (Int, Int, Int)

    public init(start: Int, count: Int, bits: Int) {
      (self.start, self.count, self.bits) = (start, count, bits)
    }
  }

  /// Factors A [rows, rank] and B [rank, columns] whose product is added to what codes stand for (LQER, Zhang
  /// et al., 2024).
  public struct LowRank: Hashable, Sendable {
    public var (rank, aBits, bBits): (Int, Int, Int)
    /// Numbers of B that share a scale, while A has one; 0: each row of both has one.
    public var group: Int

    public init(rank: Int, aBits: Int, bBits: Int, group: Int) {
      (self.rank, self.aBits, self.bBits, self.group) = (rank, aBits, bBits, group)
    }
  }

  /// One of `allBits`.
  public var bits: Int
  public var clip: Clip
  /// Adjacent columns that share a scale, which divide a row; 0: the whole row does.
  public var group = 0
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
  /// The share of weights, the smallest, that are zeros before anything else.
  public var pruned = 0.0
  /// λ of clips that are wider for rows which act on larger inputs (Hessian-aware SDClip, pull request #1412 of
  /// Parameter Golf): k (1 + λ (r - 1)); 0: all alike.
  public var sensitivity = 0.0
  /// Columns with more bits and scales of their own.
  public var fine: FineRange?
  /// A low-rank part of what codes leave.
  public var correction: LowRank?
  /// Whether the stored scale is divided by the mean of |code|, so that rows whose clip is their mean keep it. It
  /// is for weights that were not trained with the rounding.
  public var keepsMean = false

  public init(
    bits: Int, clip: Clip, floor: Double = 1e-10, halfFloor: Double = 0, isAsymmetric: Bool = false,
    codesFromUnrounded: Bool = false
  ) {
    (self.bits, self.clip, self.floor, self.halfFloor) = (bits, clip, floor, halfFloor)
    (self.isAsymmetric, self.codesFromUnrounded) = (isAsymmetric, codesFromUnrounded)
  }

  public var qmax: Int { (1 << (bits - 1)) - 1 }
  public var qmin: Int { isAsymmetric ? -qmax - 1 : -qmax }

  /// Scales of a matrix [rows, columns].
  public func scales(rows: Int, columns: Int) -> Int {
    group == 0 ? rows : rows * (columns / group)
  }

  /// The quantiser of the fine columns, if there are some: another range for the same clip.
  public var finer: Quantizer? {
    fine.map { fine in
      var quantizer = self
      quantizer.bits = fine.bits
      return quantizer
    }
  }

  private var isTernary: Bool { bits == 2 && clip.kind == .mean && group > 0 && !isAsymmetric }

  /// Ternary codes of groups.
  public static func ternary(group: Int) -> Quantizer {
    var quantizer = Quantizer(bits: 2, clip: Clip(.mean))
    quantizer.group = group
    return quantizer
  }

  /// The rule as it stands in a `quantize` section.
  public var description: String {
    var text =
      isTernary
      ? "ternary(\(group))" : "int\(bits) \(group == 0 ? "per_row" : "groups(\(group))") \(clip)"
    if floor != 1e-10 { text += " floor(\(shortest(floor)))" }
    if halfFloor != 0 { text += " half_floor(\(shortest(halfFloor)))" }
    if isAsymmetric { text += " asymmetric" }
    if codesFromUnrounded { text += " unrounded" }
    if isSolved { text += " gptq" }
    if keepsMean { text += " shrink_fix" }
    if pruned != 0 { text += " prune(\(shortest(pruned)))" }
    if sensitivity != 0 { text += " sensitive(\(shortest(sensitivity)))" }
    if let fine { text += " fine(\(fine.start), \(fine.count), \(fine.bits))" }
    if let correction {
      text +=
        " lqer(\(correction.rank), \(correction.aBits), \(correction.bBits), \(correction.group))"
    }
    return text
  }
}
