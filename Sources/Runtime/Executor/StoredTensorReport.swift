// SPDX-License-Identifier: Apache-2.0
// What storing did to each param: its bytes, and how far it is from what it was.

import Foundation
import IR

/// One param of an artifact, beside the weights that it was made from.
public struct StoredTensorReport: Sendable, Equatable {
  public var path: String
  public var shape: String
  public var precision: String
  /// Of its codes by their entropy, of everything else as it is before compression.
  public var bytes: Int
  public var bitsPerWeight: Double
  /// ‖w - ŵ‖ / ‖w‖.
  public var weightError: Double
  /// ‖(w - ŵ) x‖ / ‖w x‖ over the text that second moments come from; nil without them.
  public var outputError: Double?
}

extension Packing.Packed {
  /// A row a param, in the order of the model.
  public func reports(madeFrom weights: ParameterBlock) throws -> [StoredTensorReport] {
    let restored = try artifact.parameters()
    return artifact.model.graph.parameters.compactMap { parameter in
      let path = parameter.path
      guard let tensor = artifact.tensors[path], let old = weights[path], let new = restored[path]
      else {
        return nil
      }
      let bytes = tensor.streams.reduce(0.0) { $0 + $1.entropyBytes }
      let whole = old.map(Double.init)
      let error = zip(whole, new).map { $0 - Double($1) }
      let sizes = parameter.type.sizes
      let moment = sizes.count == 2 ? moments?[path] : nil
      return StoredTensorReport(
        path: path, shape: sizes.map { "\($0)" }.joined(separator: " x "),
        precision: "\(precision[path] ?? tensor.precision)", bytes: Int(bytes.rounded()),
        bitsPerWeight: 8 * bytes / Double(max(old.count, 1)),
        weightError: ratio(
          error.reduce(0) { $0 + $1 * $1 }, whole.reduce(0) { $0 + $1 * $1 }),
        outputError: moment.map { h in
          ratio(
            quadratic(error, h, columns: sizes[1]), quadratic(whole, h, columns: sizes[1]))
        })
    }
  }
}

/// The root of a ratio of squares; 0 where there is nothing to be wrong about.
private func ratio(_ error: Double, _ whole: Double) -> Double {
  whole > 0 ? (max(error, 0) / whole).squareRoot() : 0
}

/// Σ v H vᵀ over rows v.
func quadratic(_ rows: [Double], _ h: [Float], columns: Int) -> Double {
  var sum = 0.0
  rows.withUnsafeBufferPointer { rows in
    h.withUnsafeBufferPointer { h in
      for start in stride(from: 0, to: rows.count, by: columns) {
        for i in 0..<columns where rows[start + i] != 0 {
          var along = 0.0
          for j in 0..<columns { along += Double(h[i * columns + j]) * rows[start + j] }
          sum += along * rows[start + i]
        }
      }
    }
  }
  return sum
}

extension StoredElements {
  /// Bytes of codes by their entropy (Shannon 1948), of other elements as they are.
  var entropyBytes: Double {
    guard case .codes(let codes) = self else { return Double(bytes.count) }
    return entropyBits(of: codes) / 8
  }
}

/// Bits that codes take at least if each is coded by itself: -Σ log2 p.
package func entropyBits(of codes: [Int8]) -> Double {
  var counts = [Int](repeating: 0, count: 256)
  for code in codes { counts[Int(code) + 128] += 1 }
  let total = Double(codes.count)
  return counts.reduce(0.0) { bits, count in
    count > 0 ? bits - Double(count) * log2(Double(count) / total) : bits
  }
}
