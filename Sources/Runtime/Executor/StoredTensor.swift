// SPDX-License-Identifier: Apache-2.0
// A parameter as an artifact stores it: elements in memory, and their bytes in a group.

import IR

/// What the elements of a stream are.
public enum StoredElement: Sendable {
  case float
  /// Bits of IEEE half precision.
  case half
  /// Bits of E4M3.
  case float8
  /// A code of a rule, for messages, that has these.
  case code(ClosedRange<Int>, rule: String)

  var bytes: Int {
    switch self {
    case .float: return 4
    case .half: return 2
    case .float8, .code: return 1
    }
  }

  /// Elements from little-endian bytes.
  func elements(_ bytes: ArraySlice<UInt8>) -> StoredElements {
    switch self {
    case .float: return .floats(UInt32.littleEndian(bytes).map(Float.init(bitPattern:)))
    case .half: return .halves(UInt16.littleEndian(bytes))
    case .float8: return .floats8(Array(bytes))
    case .code: return .codes(bytes.map { Int8(bitPattern: $0) })
    }
  }
}

/// The elements of one stream.
public enum StoredElements: Equatable, Sendable {
  case floats([Float])
  case halves([UInt16])
  case floats8([UInt8])
  case codes([Int8])

  public var floats: [Float] { if case .floats(let values) = self { values } else { [] } }
  public var halves: [UInt16] { if case .halves(let bits) = self { bits } else { [] } }
  public var floats8: [UInt8] { if case .floats8(let bits) = self { bits } else { [] } }
  public var codes: [Int8] { if case .codes(let codes) = self { codes } else { [] } }

  /// Little-endian.
  var bytes: [UInt8] {
    switch self {
    case .floats(let values): return values.map(\.bitPattern).littleEndianBytes
    case .halves(let bits): return bits.littleEndianBytes
    case .floats8(let bits): return bits
    case .codes(let codes): return codes.map { UInt8(bitPattern: $0) }
    }
  }
}

/// A parameter in its stored form.
public struct StoredTensor: Equatable, Sendable {
  public let precision: Precision
  /// As many as the form has, in its order.
  public internal(set) var streams: [StoredElements]

  /// Writes the values that the stored form stands for.
  public func restore(to values: UnsafeMutableBufferPointer<Float>) {
    precision.form.restore(streams, values)
  }

  /// Why these cannot be the weights that the rule `precision` stores; nil when they can.
  func damage(_ precision: Precision) -> String? {
    // Scales stand behind codes and say more about what is wrong.
    for (form, elements) in zip(precision.form.streams, streams).reversed() {
      if let damage = elements.damage(form.element, form.what) { return damage }
    }
    return nil
  }
}

extension StoredElements {
  fileprivate func damage(_ element: StoredElement, _ what: String) -> String? {
    switch self {
    case .floats(let values):
      return values.firstIndex { !$0.isFinite }.map { "\(what) \($0) is not finite" }
    case .halves(let bits):
      // All bits of the exponent are set in infinities and NaN.
      return bits.firstIndex { $0 & 0x7c00 == 0x7c00 }.map { "\(what) \($0) is not finite" }
    case .floats8(let bits):
      // The one pattern that is no number; there are no infinities.
      return bits.firstIndex { $0 & 0x7f == 0x7f }.map { "\(what) \($0) is not finite" }
    case .codes(let codes):
      guard case .code(let range, let rule) = element else { return nil }
      return codes.firstIndex { !range.contains(Int($0)) }.map {
        "\(what) \($0) is \(codes[$0]), \(rule) has \(range.lowerBound) to \(range.upperBound)"
      }
    }
  }
}

// MARK: Bytes

/// All first bytes of the elements, then all second ones: equal exponents stand together.
func planes(_ bytes: [UInt8], of size: Int) -> [UInt8] {
  guard size > 1 else { return bytes }
  return (0..<size).flatMap { byte in
    stride(from: byte, to: bytes.count, by: size).map { bytes[$0] }
  }
}

/// The elements whose bytes stand in planes.
func merged(_ bytes: [UInt8], of size: Int) -> [UInt8] {
  guard size > 1 else { return bytes }
  let count = bytes.count / size
  var result = [UInt8](repeating: 0, count: bytes.count)
  for byte in 0..<size {
    for index in 0..<count { result[index * size + byte] = bytes[byte * count + index] }
  }
  return result
}

extension Array where Element: FixedWidthInteger {
  fileprivate var littleEndianBytes: [UInt8] {
    flatMap { element in
      (0..<(Element.bitWidth / 8)).map { UInt8(truncatingIfNeeded: element >> ($0 * 8)) }
    }
  }
}

extension FixedWidthInteger {
  fileprivate static func littleEndian(_ bytes: ArraySlice<UInt8>) -> [Self] {
    let size = bitWidth / 8
    return stride(from: bytes.startIndex, to: bytes.endIndex, by: size).map { start in
      (0..<size).reduce(0) { $0 | Self(truncatingIfNeeded: bytes[start + $1]) << ($1 * 8) }
    }
  }
}
