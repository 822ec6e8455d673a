// SPDX-License-Identifier: Apache-2.0
// Whether two samples have one mean: Welch's test.

import Foundation

/// A sample of measurements.
public struct Sample: Sendable, Equatable {
  public let values: [Double]

  public init(_ values: [Double]) { self.values = values }

  /// NaN of none.
  public var mean: Double { values.reduce(0, +) / Double(values.count) }

  /// With n - 1; nil of fewer than two.
  public var variance: Double? {
    guard values.count > 1 else { return nil }
    let mean = mean
    return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
  }

  public var deviation: Double? { variance?.squareRoot() }
}

/// Welch's t-test for samples of unequal variances (Welch 1947), two-sided.
public struct WelchTest: Sendable, Equatable {
  public let t: Double
  /// Degrees of freedom by Satterthwaite (1946).
  public let degrees: Double
  /// The probability of a |t| at least as large if the means are equal.
  public let p: Double

  /// Nil where a sample has fewer than two values, or none of them differ.
  public init?(_ first: Sample, _ second: Sample) {
    guard let a = first.variance, let b = second.variance else { return nil }
    let (n, m) = (Double(first.values.count), Double(second.values.count))
    let (x, y) = (a / n, b / m)
    guard x + y > 0 else { return nil }
    t = (second.mean - first.mean) / (x + y).squareRoot()
    degrees = (x + y) * (x + y) / (x * x / (n - 1) + y * y / (m - 1))
    p = incompleteBeta(degrees / 2, 0.5, at: degrees / (degrees + t * t))
  }
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (Press et al., Numerical
/// Recipes, 6.4; Lentz's method).
func incompleteBeta(_ a: Double, _ b: Double, at x: Double) -> Double {
  guard x > 0 else { return 0 }
  guard x < 1 else { return 1 }
  // The fraction converges fast below the mean; above it the function is the complement of the other one.
  guard x <= (a + 1) / (a + b + 2) else { return 1 - incompleteBeta(b, a, at: 1 - x) }
  let scale = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
  let tiny = 1e-300
  func away(_ value: Double) -> Double { abs(value) < tiny ? tiny : value }
  var (c, d) = (1.0, 1 / away(1 - (a + b) * x / (a + 1)))
  var fraction = d
  for step in 1...500 {
    let m = Double(step)
    let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / away(1 + even * d)
    c = away(1 + even / c)
    fraction *= d * c
    let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / away(1 + odd * d)
    c = away(1 + odd / c)
    fraction *= d * c
    if abs(d * c - 1) < 1e-15 { break }
  }
  return scale * fraction / a
}
