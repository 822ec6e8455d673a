// SPDX-License-Identifier: Apache-2.0
// A tensor as bytes with type and shape, and its conversions to Swift arrays.

/// Element types of tensor files, spelled as safetensors spells them.
public enum DType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"

  /// Bytes in one element.
  public var byteCount: Int {
    switch self {
    case .f64, .i64: 8
    case .f32, .i32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8, .bool: 1
    }
  }
}

/// A dense little-endian tensor in row-major order. Its byte count always fits its shape.
public struct TensorBlob: Sendable, Equatable {
  public let dtype: DType
  public let shape: [Int]
  public let bytes: [UInt8]

  public init(dtype: DType, shape: [Int], bytes: [UInt8]) throws(FormatError) {
    guard let needed = TensorBlob.byteCount(dtype, shape), needed == bytes.count else {
      throw FormatError(
        .corrupt, "\(dtype.rawValue) \(shape) does not fit \(bytes.count) bytes")
    }
    (self.dtype, self.shape, self.bytes) = (dtype, shape, bytes)
  }

  public init(_ values: [Float], shape: [Int]? = nil) {
    self.init(.f32, values.map(\.bitPattern), shape)
  }

  public init(_ values: [Double], shape: [Int]? = nil) {
    self.init(.f64, values.map(\.bitPattern), shape)
  }

  public init(_ values: [Int32], shape: [Int]? = nil) { self.init(.i32, values, shape) }
  public init(_ values: [Int64], shape: [Int]? = nil) { self.init(.i64, values, shape) }
  public init(_ values: [Int8], shape: [Int]? = nil) { self.init(.i8, values, shape) }
  public init(_ values: [UInt16], shape: [Int]? = nil) { self.init(.u16, values, shape) }
  public init(_ values: [UInt8], shape: [Int]? = nil) { self.init(.u8, values, shape) }

  private init<Element: FixedWidthInteger>(_ dtype: DType, _ values: [Element], _ shape: [Int]?) {
    let shape = shape ?? [values.count]
    precondition(TensorBlob.elementCount(shape) == values.count, "shape does not fit the values")
    (self.dtype, self.shape) = (dtype, shape)
    bytes = values.withUnsafeBytes { Array($0) }
  }

  /// Elements in the tensor; 1 for rank 0.
  public var count: Int { bytes.count / dtype.byteCount }

  /// The values of any floating-point tensor; doubles are rounded.
  public func floats() throws(FormatError) -> [Float] {
    switch dtype {
    case .f32: return elements(UInt32.self).map { Float(bitPattern: $0) }
    case .f64: return elements(UInt64.self).map { Float(Double(bitPattern: $0)) }
    case .f16: return elements(UInt16.self).map { Float(Float16(bitPattern: $0)) }
    case .bf16: return elements(UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
    default: throw wrongType("a floating-point tensor")
    }
  }

  /// The values of any floating-point tensor, exactly.
  public func doubles() throws(FormatError) -> [Double] {
    dtype == .f64
      ? elements(UInt64.self).map { Double(bitPattern: $0) } : try floats().map(Double.init)
  }

  /// The values of any integer tensor; those of I64 must fit 32 bits.
  public func int32s() throws(FormatError) -> [Int32] {
    switch dtype {
    case .i32: return elements(Int32.self)
    case .i16: return elements(Int16.self).map(Int32.init)
    case .u16: return elements(UInt16.self).map(Int32.init)
    case .i8: return elements(Int8.self).map(Int32.init)
    case .u8, .bool: return bytes.map(Int32.init)
    case .i64:
      let wide = elements(Int64.self)
      if let bad = wide.firstIndex(where: { Int32(exactly: $0) == nil }) {
        throw FormatError(.corrupt, "element \(bad) is \(wide[bad]), which does not fit 32 bits")
      }
      return wide.map { Int32(truncatingIfNeeded: $0) }
    default: throw wrongType("an integer tensor")
    }
  }

  /// Product of the sizes, or nil when one is negative or the product overflows.
  static func elementCount(_ shape: [Int]) -> Int? {
    var product = 1
    for size in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: size)
      guard size >= 0, !overflow else { return nil }
      product = next
    }
    return product
  }

  static func byteCount(_ dtype: DType, _ shape: [Int]) -> Int? {
    guard let count = elementCount(shape) else { return nil }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
    return overflow ? nil : bytes
  }

  private func wrongType(_ expected: String) -> FormatError {
    FormatError(.corrupt, "found element type \(dtype.rawValue), expected \(expected)")
  }

  private func elements<Element: FixedWidthInteger>(_: Element.Type) -> [Element] {
    bytes.withUnsafeBytes { raw in
      (0..<count).map {
        Element(
          littleEndian: raw.loadUnaligned(
            fromByteOffset: $0 * MemoryLayout<Element>.size, as: Element.self))
      }
    }
  }
}
