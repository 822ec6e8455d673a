// SPDX-License-Identifier: Apache-2.0
// Stored forms of parameters: codes and scales, by the quantiser that the QAT node uses too.

import CKernels
import IR

/// A parameter as the artifact stores it.
public enum StoredTensor: Equatable, Sendable {
  case f32([Float])
  /// Bits of IEEE half precision.
  case f16([UInt16])
  /// Codes in rows, and the bits of one half-precision scale a row.
  case int(codes: [Int8], scales: [UInt16])
}

extension Precision {
  /// Quantises a parameter [rows, columns]; rank 1 counts as one row for f16 and f32.
  public func store(_ values: UnsafeMutableBufferPointer<Float>, rows: Int) -> StoredTensor {
    switch self {
    case .f32: return .f32(Array(values))
    case .f16: return .f16(values.map { quantise_half(Double($0)) })
    case .int(let quantizer):
      let columns = Int64(values.count / rows)
      var scales = [Float](repeating: 0, count: rows)
      var full = scales
      var clip = scales
      var codes = [Int8](repeating: 0, count: values.count)
      var arguments = quant_scale_args(
        rows: Int64(rows), cols: columns, clip: quantizer.clip.rule, qmax: Int32(quantizer.qmax),
        parameter: quantizer.clip.parameter, floor: quantizer.floor,
        half_floor: quantizer.halfFloor)
      var work = [Float](repeating: 0, count: Int(columns))
      quantise_scales(&scales, &full, &clip, values.baseAddress, &arguments, &work)
      let (qmin, qmax) = (Int32(quantizer.qmin), Int32(quantizer.qmax))
      if quantizer.codesFromUnrounded {
        quantise_codes(
          &codes, values.baseAddress, full, clip, Int64(rows), columns, qmin, qmax)
      } else {
        quantise_codes(
          &codes, values.baseAddress, scales, nil, Int64(rows), columns, qmin, qmax)
      }
      return .int(codes: codes, scales: scales.map { quantise_half(Double($0)) })
    }
  }
}

extension StoredTensor {
  /// Writes the values that the stored form stands for.
  public func restore(to values: UnsafeMutableBufferPointer<Float>) {
    switch self {
    case .f32(let stored): _ = values.update(from: stored)
    case .f16(let bits):
      for (index, bits) in bits.enumerated() { values[index] = quantise_from_half(bits) }
    case .int(let codes, let scales):
      let floats = scales.map { quantise_from_half($0) }
      quantise_dequantise(
        values.baseAddress, codes, floats, Int64(scales.count), Int64(codes.count / scales.count))
    }
  }
}

extension Quantizer.Clip {
  /// The number of the rule in the kernels' contract.
  var rule: Int32 {
    let rule =
      switch self {
      case .max: CLIP_MAX
      case .quantile: CLIP_QUANTILE
      case .sdclip: CLIP_DEVIATIONS
      }
    return Int32(rule.rawValue)
  }
}
