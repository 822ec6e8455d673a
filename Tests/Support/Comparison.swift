// SPDX-License-Identifier: Apache-2.0
// How far two results are apart.

/// The largest difference over the largest expected magnitude; infinite for other counts and NaN.
package func relativeDifference(_ found: [Double], _ expected: [Double]) -> Double {
  absoluteDifference(found, expected) / expected.reduce(1e-300) { max($0, abs($1)) }
}

/// The largest difference; infinite for other counts and NaN.
package func absoluteDifference(_ found: [Double], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  return zip(found, expected).reduce(0) { error, pair in
    let difference = abs(pair.0 - pair.1)
    return difference.isNaN ? .infinity : max(error, difference)
  }
}
