// SPDX-License-Identifier: Apache-2.0
// The steps of a matrix's rows as the quantiser's kernel finds them, for all that makes codes.

import CKernels
import IR

/// The steps of the rows of a matrix, one number a row each, or of their groups, row by row.
public struct RowScales: Hashable, Sendable {
  /// What codes are multiplied by: rounded to f16 and raised to the half floor.
  public internal(set) var stored: [Float]
  /// max(clip / qmax, floor), before that.
  public internal(set) var unrounded: [Float]
  /// What the largest code stands for.
  public internal(set) var clips: [Float]

  init(rows: Int) {
    stored = [Float](repeating: 0, count: rows)
    (unrounded, clips) = (stored, stored)
  }

  /// The stored steps as bits of half precision, which hold them exactly.
  var halves: [UInt16] { stored.map { quantise_half(Double($0)) } }
}

extension Quantizer {
  /// The steps of weights [rows, columns]. Groups are rows of their own to the kernel.
  public func scales(of weights: UnsafeBufferPointer<Float>, rows: Int) -> RowScales {
    let rows = self.scales(rows: rows, columns: weights.count / max(rows, 1))
    var scales = RowScales(rows: rows)
    let columns = weights.count / max(rows, 1)
    let kernel = Kernel(Kernel.QuantScale(rows: rows, columns: columns, quantizer: self))
    var arguments = kernel_call(kernel).quant_scale
    var work = [Float](repeating: 0, count: columns)
    quantise_scales(
      &scales.stored, &scales.unrounded, &scales.clips, weights.baseAddress, &arguments, &work)
    return scales
  }

  /// The steps of weights [rows, columns] where the k of each row is the clip's times a factor. Only
  /// `sdclip` has a k.
  public func scales(
    of weights: UnsafeBufferPointer<Float>, rows: Int, factors: [Double]
  ) -> RowScales {
    precondition(clip.kind == .sdclip && factors.count == rows, "one factor a row, of sdclip's k")
    var scales = RowScales(rows: rows)
    let columns = weights.count / max(rows, 1)
    for row in 0..<rows {
      var quantizer = self
      quantizer.clip = .sdclip(clip.parameters[0] * factors[row])
      let weights = UnsafeBufferPointer(rebasing: weights[row * columns..<(row + 1) * columns])
      let one = quantizer.scales(of: weights, rows: 1)
      scales.stored[row] = one.stored[0]
      scales.unrounded[row] = one.unrounded[0]
      scales.clips[row] = one.clips[0]
    }
    return scales
  }
}

/// A matrix [rows, columns] in codes: w ≈ scale * code, with one scale a row or group.
public struct RowCodes: Hashable, Sendable {
  public internal(set) var codes: [Int8]
  public internal(set) var scales: RowScales

  /// Rounds weights [rows, columns] to the nearest codes.
  public init(
    rounding weights: UnsafeBufferPointer<Float>, _ scales: RowScales, _ quantizer: Quantizer
  ) {
    var codes = [Int8](repeating: 0, count: weights.count)
    let rows = Int64(scales.stored.count)
    let columns = Int64(weights.count) / max(rows, 1)
    let (qmin, qmax) = (Int32(quantizer.qmin), Int32(quantizer.qmax))
    let from = weights.baseAddress
    if quantizer.codesFromUnrounded {
      quantise_codes(&codes, from, scales.unrounded, scales.clips, rows, columns, qmin, qmax)
    } else {
      quantise_codes(&codes, from, scales.stored, nil, rows, columns, qmin, qmax)
    }
    self.init(codes: codes, scales: scales)
  }

  init(codes: [Int8], scales: RowScales) { (self.codes, self.scales) = (codes, scales) }

  /// The scales divided by the mean of |code|: rows whose step is the mean of |w| then keep that mean, however
  /// many of their codes are 0 (the shrinkage fix of Parameter Golf's ternary record).
  func keepingMeans() -> RowCodes {
    var result = self
    let columns = codes.count / max(scales.stored.count, 1)
    for row in scales.stored.indices {
      let sum = codes[row * columns..<(row + 1) * columns].reduce(0) { $0 + Int($1.magnitude) }
      guard sum > 0 else { continue }
      let step = Double(scales.unrounded[row]) * Double(columns) / Double(sum)
      result.scales.stored[row] = quantise_from_half(quantise_half(step))
    }
    return result
  }

  /// As an artifact stores integer codes: codes, and scales in half precision.
  public var streams: [StoredElements] { [.codes(codes), .halves(scales.halves)] }

  /// What the codes stand for, by rows.
  public var values: [Float] {
    let (rows, columns) = (scales.stored.count, codes.count / max(scales.stored.count, 1))
    var values = [Float](repeating: 0, count: codes.count)
    quantise_dequantise(&values, codes, scales.stored, Int64(rows), Int64(columns))
    return values
  }
}
