// SPDX-License-Identifier: Apache-2.0
// A cursor over bytes that checks every length before it is used.

/// Reads little-endian fields in order; each read names its field, so that errors can.
struct ByteReader {
  let bytes: [UInt8]
  let file: String?
  private(set) var offset = 0

  init(_ bytes: [UInt8], file: String?) {
    (self.bytes, self.file) = (bytes, file)
  }

  var remaining: Int { bytes.count - offset }

  /// The next `count` bytes. `count` may come from the file: it is compared before use.
  mutating func take(_ count: Int, _ field: String) throws(FormatError) -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else {
      throw error(
        field, "needs \(count) bytes, but only \(remaining) are left; the file is cut off")
    }
    defer { offset += count }
    return bytes[offset..<offset + count]
  }

  mutating func uint8(_ field: String) throws(FormatError) -> UInt8 {
    UInt8(truncatingIfNeeded: try unsigned(1, field))
  }

  mutating func uint16(_ field: String) throws(FormatError) -> UInt16 {
    UInt16(truncatingIfNeeded: try unsigned(2, field))
  }

  mutating func uint32(_ field: String) throws(FormatError) -> UInt32 {
    UInt32(truncatingIfNeeded: try unsigned(4, field))
  }

  mutating func uint64(_ field: String) throws(FormatError) -> UInt64 {
    try unsigned(8, field)
  }

  func error(_ field: String, _ message: String) -> FormatError {
    FormatError(.corrupt, file: file, field: field, offset: offset, message)
  }

  private mutating func unsigned(_ width: Int, _ field: String) throws(FormatError) -> UInt64 {
    try take(width, field).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}

extension [UInt8] {
  /// Appends an integer as little-endian bytes.
  mutating func append<Integer: FixedWidthInteger>(littleEndian value: Integer) {
    for index in 0..<Integer.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: value >> (8 * index)))
    }
  }
}
