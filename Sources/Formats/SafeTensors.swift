// SPDX-License-Identifier: Apache-2.0
// The safetensors file: u64 header length, JSON header, raw data. Strict in, deterministic out.

/// Reads and writes safetensors files.
///
/// The reader takes no file that two readers could understand differently: it refuses blanks
/// before the header, duplicate names, gaps, overlaps, and data that no tensor covers.
public enum SafeTensors {
  static let metadataKey = "__metadata__"
  static let largestHeader = 100_000_000

  /// All tensors of a file.
  public static func read(_ path: String) throws(FormatError) -> [String: TensorBlob] {
    try contents(path).tensors
  }

  /// All tensors and the metadata of a file.
  public static func contents(
    _ path: String
  ) throws(FormatError) -> (tensors: [String: TensorBlob], metadata: [String: String]) {
    let file = try OpenFile(path)
    let headerCount = try headerLength(file)
    let start = 8 + headerCount
    let header = try Header(try file.bytes(8..<start), dataCount: file.count - start, file: path)
    var tensors: [String: TensorBlob] = [:]
    for entry in header.entries {
      let range = start + entry.range.lowerBound..<start + entry.range.upperBound
      tensors[entry.name] = try TensorBlob(
        dtype: entry.dtype, shape: entry.shape, bytes: try file.bytes(range))
    }
    return (tensors, header.metadata)
  }

  /// Writes a file; equal arguments give equal bytes. Returns the SHA-256 of the file.
  @discardableResult
  public static func write(
    _ path: String, _ tensors: [String: TensorBlob], metadata: [String: String] = [:]
  ) throws(FormatError) -> String {
    let file = try AtomicFile(path)
    try file.write(header(tensors, metadata))
    for name in tensors.keys.sortedByBytes() {
      guard let tensor = tensors[name] else { continue }
      try file.write(tensor.bytes)
    }
    return try file.commit()
  }

  /// Length and JSON text, padded with blanks so that the data begins at a multiple of 8.
  private static func header(_ tensors: [String: TensorBlob], _ metadata: [String: String])
    -> [UInt8]
  {
    var members: [String: JSONValue] = [:]
    var offset = 0
    for name in tensors.keys.sortedByBytes() {
      guard let tensor = tensors[name] else { continue }
      let end = offset + tensor.bytes.count
      members[name] = [
        "dtype": .string(tensor.dtype.rawValue),
        "shape": .array(tensor.shape.map { .int($0) }),
        "data_offsets": [.int(offset), .int(end)],
      ]
      offset = end
    }
    if !metadata.isEmpty { members[metadataKey] = .object(metadata.mapValues { .string($0) }) }
    var text = Array(JSONValue.object(members).text.utf8)
    text += Array(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
    var bytes: [UInt8] = []
    bytes.append(littleEndian: UInt64(text.count))
    return bytes + text
  }

  private static func headerLength(_ file: OpenFile) throws(FormatError) -> Int {
    func error(_ message: String) -> FormatError {
      FormatError(.corrupt, file: file.path, field: "header length", offset: 0, message)
    }
    guard file.count >= 8 else {
      throw error("the file has \(file.count) bytes; a safetensors file has at least 8")
    }
    var reader = ByteReader(try file.bytes(0..<8), file: file.path)
    let length = try reader.uint64("header length")
    guard length <= UInt64(min(file.count - 8, largestHeader)) else {
      throw error(
        "found \(length), but only \(file.count - 8) bytes follow (limit \(largestHeader)); "
          + "the file is cut off or not safetensors")
    }
    return Int(length)
  }

  /// One tensor of the header.
  private struct Entry {
    let name: String
    let dtype: DType
    let shape: [Int]
    let range: Range<Int>

    init(_ name: String, _ value: JSONValue, dataCount: Int, file: String) throws(FormatError) {
      func error(_ field: String, _ message: String) -> FormatError {
        FormatError(.corrupt, file: file, field: "\(field) of tensor \"\(name)\"", message)
      }
      guard let members = value.objectValue,
        Set(members.keys) == ["dtype", "shape", "data_offsets"]
      else { throw error("entry", "expected exactly dtype, shape and data_offsets") }
      let spelling = members["dtype"]?.stringValue
      guard let spelling, let dtype = DType(rawValue: spelling) else {
        let known = DType.allCases.map(\.rawValue).joined(separator: ", ")
        throw error("dtype", "found \(members["dtype"]?.text ?? "nothing"), known are \(known)")
      }
      guard let sizes = members["shape"]?.arrayValue?.map(\.intValue), !sizes.contains(nil) else {
        throw error("shape", "found \(members["shape"]?.text ?? ""), expected whole numbers")
      }
      let shape = sizes.compactMap { $0 }
      guard let needed = TensorBlob.byteCount(dtype, shape) else {
        throw error("shape", "\(shape) is negative or too large to exist")
      }
      let offsets = members["data_offsets"]?.arrayValue?.compactMap(\.intValue) ?? []
      guard offsets.count == 2, members["data_offsets"]?.arrayValue?.count == 2, offsets[0] >= 0,
        offsets[1] >= offsets[0], offsets[1] <= dataCount
      else {
        throw error(
          "data_offsets",
          "found \(members["data_offsets"]?.text ?? ""), expected [begin, end] within the "
            + "\(dataCount) data bytes of this file")
      }
      guard offsets[1] - offsets[0] == needed else {
        throw error(
          "data_offsets",
          "\(offsets[1] - offsets[0]) bytes, but \(spelling) \(shape) needs \(needed)")
      }
      (self.name, self.dtype, self.shape) = (name, dtype, shape)
      range = offsets[0]..<offsets[1]
    }
  }

  /// The header, checked against the number of data bytes.
  private struct Header {
    var entries: [Entry] = []
    var metadata: [String: String] = [:]

    init(_ bytes: [UInt8], dataCount: Int, file: String) throws(FormatError) {
      guard bytes.first == UInt8(ascii: "{") else {
        throw FormatError(
          .corrupt, file: file, field: "header", offset: 8, "the header must begin with '{'")
      }
      let document = try JSONValue.parse(bytes, file: file, base: 8)
      for (name, value) in document.objectValue ?? [:] {
        if name == metadataKey {
          metadata = try Header.metadata(value, file: file)
        } else {
          entries.append(try Entry(name, value, dataCount: dataCount, file: file))
        }
      }
      entries.sort {
        ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
      }
      var end = 0
      for entry in entries {
        guard entry.range.lowerBound == end else {
          let what = entry.range.lowerBound > end ? "leaves a gap after" : "overlaps what ends at"
          throw FormatError(
            .corrupt, file: file, field: "data_offsets of tensor \"\(entry.name)\"",
            "begins at \(entry.range.lowerBound) and \(what) \(end)")
        }
        end = entry.range.upperBound
      }
      guard end == dataCount else {
        throw FormatError(
          .corrupt, file: file, field: "data", offset: 8 + bytes.count + end,
          "\(dataCount - end) bytes belong to no tensor")
      }
    }

    private static func metadata(
      _ value: JSONValue, file: String
    ) throws(FormatError) -> [String: String] {
      var result: [String: String] = [:]
      for (key, value) in value.objectValue ?? ["": .null] {
        guard let text = value.stringValue else {
          throw FormatError(
            .corrupt, file: file, field: metadataKey, "expected an object of strings")
        }
        result[key] = text
      }
      return result
    }
  }
}
