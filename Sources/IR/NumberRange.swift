// SPDX-License-Identifier: Apache-2.0
// Which numbers a setting of a file accepts.

/// The numbers that a setting accepts.
public enum NumberRange: Hashable, Sendable {
  case any
  /// Greater than zero.
  case positive
  /// Zero and up.
  case nonnegative
  /// 0 ..< 1.
  case fraction
  /// Above 0, up to 1.
  case share
  /// 0 ... 1.
  case atMostOne
  /// Whole, from the bound on.
  case whole(atLeast: Int)
  /// Whole, from 1 to the bound.
  case wholeUpTo(Int)

  /// What is accepted, for messages.
  public var text: String {
    switch self {
    case .any: "a number"
    case .positive: "a number above 0"
    case .nonnegative: "a number from 0 on"
    case .fraction: "a number from 0 to below 1"
    case .share: "a number above 0, at most 1"
    case .atMostOne: "a number from 0 to 1"
    case .whole(let least): "a whole number from \(least) on"
    case .wholeUpTo(let most): "a whole number from 1 to \(most)"
    }
  }

  /// Whether only whole numbers are accepted.
  public var isWhole: Bool {
    switch self {
    case .whole, .wholeUpTo: true
    default: false
    }
  }

  /// Whether the number is accepted.
  public func contains(_ value: Double) -> Bool {
    switch self {
    case .any: true
    case .positive: value > 0
    case .nonnegative: value >= 0
    case .fraction: value >= 0 && value < 1
    case .share: value > 0 && value <= 1
    case .atMostOne: value >= 0 && value <= 1
    case .whole(let least):
      value == value.rounded(.down) && value >= Double(least) && value < 9e15
    case .wholeUpTo(let most): value == value.rounded(.down) && value >= 1 && value <= Double(most)
    }
  }
}
