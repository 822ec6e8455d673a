// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy file, versions 1 and 2: little-endian, C order, plain numbers.

/// Reads and writes .npy files.
public enum Npy {
  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  private static let spellings: [(String, DType)] = [
    ("<f8", .f64), ("<f4", .f32), ("<f2", .f16), ("<i8", .i64), ("<i4", .i32), ("<i2", .i16),
    ("<u2", .u16), ("|i1", .i8), ("|u1", .u8), ("|b1", .bool),
  ]

  /// Reads an array.
  public static func read(_ path: String) throws(FormatError) -> TensorBlob {
    var reader = ByteReader(try readFile(path), file: path)
    let found = try reader.take(6, "magic")
    guard Array(found) == magic else {
      throw FormatError(
        .corrupt, file: path, field: "magic", offset: 0, "this is not a .npy file")
    }
    let version = try reader.take(2, "version")
    let length: Int
    switch version.first {
    case 1: length = Int(try reader.uint16("header length"))
    case 2: length = Int(try reader.uint32("header length"))
    default:
      throw FormatError(
        .corrupt, file: path, field: "version", offset: 6,
        "found \(version.first ?? 0), graphc reads 1 and 2")
    }
    let start = reader.offset
    let text = Array(try reader.take(length, "header"))
    var header = HeaderScanner(text: text, file: path, base: start)
    let (dtype, shape) = try header.read()
    guard let needed = TensorBlob.byteCount(dtype, shape), needed == reader.remaining else {
      throw reader.error(
        "data", "\(dtype.rawValue) \(shape) does not fit the \(reader.remaining) bytes")
    }
    let data = Array(try reader.take(needed, "data"))
    return try TensorBlob(dtype: dtype, shape: shape, bytes: data)
  }

  /// Writes an array as version 1.
  public static func write(_ path: String, _ tensor: TensorBlob) throws(FormatError) {
    guard let spelling = spellings.first(where: { $0.1 == tensor.dtype })?.0 else {
      throw FormatError(.usage, file: path, ".npy has no element type \(tensor.dtype.rawValue)")
    }
    let sizes = tensor.shape.map(String.init).joined(separator: ", ")
    let tuple = tensor.shape.count == 1 ? "(\(sizes),)" : "(\(sizes))"
    var header = "{'descr': '\(spelling)', 'fortran_order': False, 'shape': \(tuple), }"
    header += String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
    guard let length = UInt16(exactly: header.utf8.count) else {
      throw FormatError(.usage, file: path, "a shape of \(tensor.shape.count) sizes is too long")
    }
    var bytes = magic + [1, 0]
    bytes.append(littleEndian: length)
    try AtomicFile.write(path, bytes + Array(header.utf8) + tensor.bytes)
  }

  /// Scans the Python literal of the header; it knows only what NumPy writes.
  private struct HeaderScanner {
    let text: [UInt8]
    let file: String
    let base: Int
    var offset = 0

    mutating func read() throws(FormatError) -> (DType, [Int]) {
      var dtype: DType?
      var order: Bool?
      var shape: [Int]?
      try expect("{")
      while !accept("}") {
        let key = try string()
        try expect(":")
        switch key {
        case "descr" where dtype == nil:
          let spelling = try string()
          dtype = spellings.first { $0.0 == spelling }?.1
          guard dtype != nil else {
            let known = spellings.map(\.0).joined(separator: " ")
            throw error("element type '\(spelling)' is unknown; known are \(known)")
          }
        case "fortran_order" where order == nil:
          order = accept("True")
          if order == false { try expect("False") }
        case "shape" where shape == nil: shape = try tuple()
        default: throw error("key '\(key)' is unknown or appears twice")
        }
        if !accept(",") {
          try expect("}")
          break
        }
      }
      skipBlanks()
      guard offset == text.count, let dtype, let order, let shape else {
        throw error("expected exactly descr, fortran_order and shape")
      }
      guard !order else { throw error("Fortran order; save a C-contiguous copy") }
      return (dtype, shape)
    }

    func error(_ message: String) -> FormatError {
      FormatError(.corrupt, file: file, field: "header", offset: base + offset, message)
    }

    mutating func skipBlanks() {
      while offset < text.count, text[offset] == 0x20 || text[offset] == 0x0a { offset += 1 }
    }

    mutating func accept(_ word: String) -> Bool {
      skipBlanks()
      guard text[offset...].starts(with: word.utf8) else { return false }
      offset += word.utf8.count
      return true
    }

    mutating func expect(_ word: String) throws(FormatError) {
      guard accept(word) else { throw error("expected \(word)") }
    }

    mutating func string() throws(FormatError) -> String {
      try expect("'")
      guard let end = text[offset...].firstIndex(of: UInt8(ascii: "'")) else {
        throw error("a string is not closed")
      }
      defer { offset = end + 1 }
      return String(decoding: text[offset..<end], as: UTF8.self)
    }

    mutating func tuple() throws(FormatError) -> [Int] {
      var sizes: [Int] = []
      try expect("(")
      while !accept(")") {
        skipBlanks()
        let digits = text[offset...].prefix { (0x30...0x39).contains($0) }
        guard let size = Int(String(decoding: digits, as: UTF8.self)) else {
          throw error("a size is expected")
        }
        offset += digits.count
        sizes.append(size)
        if !accept(",") {
          try expect(")")
          break
        }
      }
      return sizes
    }
  }
}
