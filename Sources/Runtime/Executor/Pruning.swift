// SPDX-License-Identifier: Apache-2.0
// Weights and codes that are set to zero because it costs little. Whether an artifact shrinks by it, its
// compressor says: published results differ in sign.

/// Sets a share of the weights to zero, the smallest by magnitude; of equal ones the first.
///
/// The number of zeros is share times the count, rounded down; those that are zero already count. Returns
/// the largest magnitude that went.
@discardableResult
public func pruneSmallest(_ weights: inout [Float], share: Double) -> Float {
  let count = Int(share * Double(weights.count))
  let order = weights.indices.sorted {
    (weights[$0].magnitude, $0) < (weights[$1].magnitude, $1)
  }
  let largest = order.prefix(count).last.map { weights[$0].magnitude } ?? 0
  for index in order.prefix(count) { weights[index] = 0 }
  return largest
}

/// Sets codes of 1 and -1 to zero, the cheapest of all tensors first: the squared error that each adds is
/// about its row's scale squared. Of equal ones those of the first tensor and row go.
///
/// Returns how many went, which is less than `count` where there are not so many.
@discardableResult
public func pruneUnits(_ tensors: inout [RowCodes], count: Int) -> Int {
  var rows: [(scale: Float, tensor: Int, row: Int)] = []
  for (tensor, codes) in tensors.enumerated() {
    for (row, scale) in codes.scales.stored.enumerated() { rows.append((scale, tensor, row)) }
  }
  rows.sort { ($0.scale, $0.tensor, $0.row) < ($1.scale, $1.tensor, $1.row) }
  var left = count
  for (_, tensor, row) in rows where left > 0 {
    let columns = tensors[tensor].codes.count / tensors[tensor].scales.stored.count
    for place in row * columns..<(row + 1) * columns
    where left > 0 && tensors[tensor].codes[place].magnitude == 1 {
      tensors[tensor].codes[place] = 0
      left -= 1
    }
  }
  return count - left
}
