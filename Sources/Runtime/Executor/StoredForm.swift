// SPDX-License-Identifier: Apache-2.0
// How tensors of each precision lie in an artifact: the one place that knows their streams.

import CKernels
import Formats
import IR

/// The stored form of a tensor: named streams of elements, made from weights and back.
///
/// Everything that packs, reads, checks or shows an artifact goes by this record.
public struct StoredForm: Sendable {
  /// One stream of a tensor. Streams of a name lie behind one another in one group of the container.
  public struct Stream: Sendable {
    public let element: StoredElement
    /// What one element is, for messages.
    let what: String
    let group: @Sendable (_ path: String) -> String
    let count: @Sendable (TensorType) -> Int
    /// Of codes, the rows that they lie in.
    var rows: @Sendable (TensorType) -> Int = { $0.sizes[0] }

    /// The group of the container that a parameter's stream lies in.
    public func group(of parameter: Parameter) -> String { group(parameter.path) }

    /// Bytes of a parameter's stream before compression.
    public func bytes(of parameter: Parameter) -> Int {
      count(parameter.type) * element.bytes
    }

    /// The codes that a parameter's stream holds, in rows; nil if it holds other numbers.
    public func matrix(of parameter: Parameter) -> CodeMatrix? {
      guard case .code(let range, _) = element else { return nil }
      let rows = rows(parameter.type)
      return CodeMatrix(rows: rows, columns: count(parameter.type) / max(1, rows), codes: range)
    }
  }

  /// In the order in which a tensor's streams enter the container.
  public let streams: [Stream]
  /// The streams' elements from weights in so many rows; the solver makes codes where the form asks for one.
  let store:
    @Sendable (UnsafeMutableBufferPointer<Float>, _ rows: Int, CodeSolver?) -> [StoredElements]
  /// The weights that the streams' elements stand for.
  let restore: @Sendable ([StoredElements], UnsafeMutableBufferPointer<Float>) -> Void
}

extension Precision {
  /// The form of tensors of this precision.
  public var form: StoredForm {
    switch self {
    case .f32: return .f32
    case .f16: return .f16
    case .fp8: return .fp8
    case .int(let quantizer): return .codes(quantizer, name: description)
    }
  }

  /// Stores weights [rows, columns]; forms without scales take a tensor of rank 1 as any rows. Codes are
  /// rounded to nearest without a solver.
  public func store(
    _ values: UnsafeMutableBufferPointer<Float>, rows: Int, solver: CodeSolver? = nil
  ) -> StoredTensor {
    StoredTensor(precision: nearest, streams: form.store(values, rows, solver))
  }
}

extension StoredForm {
  static let f32 = StoredForm(
    streams: [Stream(element: .float, what: "weight", group: { _ in "f32" }, count: \.count)],
    store: { values, _, _ in [.floats(Array(values))] },
    restore: { streams, values in _ = values.update(from: streams[0].floats) })

  static let f16 = StoredForm(
    streams: [Stream(element: .half, what: "weight", group: { _ in "f16" }, count: \.count)],
    store: { values, _, _ in [.halves(values.map { quantise_half(Double($0)) })] },
    restore: { streams, values in
      for (index, bits) in streams[0].halves.enumerated() {
        values[index] = quantise_from_half(bits)
      }
    })

  static let fp8 = StoredForm(
    streams: [Stream(element: .float8, what: "weight", group: { _ in "fp8" }, count: \.count)],
    store: { values, _, _ in [.floats8(values.map { quantise_float8($0) })] },
    restore: { streams, values in
      for (index, bits) in streams[0].floats8.enumerated() {
        values[index] = quantise_from_float8(bits)
      }
    })

  /// Codes and scales, and what else the quantiser asks for.
  static func codes(_ quantizer: Quantizer, name: String) -> StoredForm {
    StoredForm(
      streams: quantizer.streams(rule: name),
      store: { quantizer.elements(of: UnsafeBufferPointer($0), rows: $1, $2) },
      restore: { quantizer.restore($0, to: $1) })
  }
}

/// What a quantiser knows of the text that a matrix reads.
public struct CodeSolver: Sendable {
  /// For codes that make up for each other.
  let gptq: GPTQ?
  /// Second moments of each column's input, up to a factor.
  let diagonal: [Double]
  let threads: Int
}
