// SPDX-License-Identifier: Apache-2.0
// How numbers stand in texts and messages.

/// The shortest text that reads back to the same bits; whole numbers without a fraction.
public func shortest(_ value: Double) -> String {
  if value == value.rounded(), abs(value) < 1e15 {
    return value == 0 && value.sign == .minus ? "-0" : "\(Int(value))"
  }
  return "\(value)"
}

/// A whole number with thousands separated: 17,059,912.
public func grouped(_ number: Int) -> String {
  var digits = Array(String(abs(number)))
  var index = digits.count - 3
  while index > 0 {
    digits.insert(",", at: index)
    index -= 3
  }
  return (number < 0 ? "-" : "") + String(digits)
}

/// `1 axis`, `2 axes`: a number with its noun, for messages.
public func counted(_ number: Int, _ one: String, _ many: String) -> String {
  "\(number) \(number == 1 ? one : many)"
}
