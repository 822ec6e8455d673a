// SPDX-License-Identifier: Apache-2.0
// A log of one JSON document per line, such as log.jsonl.

/// Appends JSON documents to a file, one per line.
public final class JSONLines {
  private let file: AppendFile

  /// Opens the log, or creates it. What is there stays.
  public init(_ path: String) throws(FormatError) { file = try AppendFile(path) }

  public var path: String { file.path }

  /// Bytes in the file; a checkpoint stores this to resume from.
  public var offset: Int { file.offset }

  /// Appends one line.
  public func append(_ value: JSONValue) throws(FormatError) {
    try file.append(Array((value.text + "\n").utf8))
  }

  /// Forces what was appended to disk.
  public func sync() throws(FormatError) { try file.sync() }

  /// Forgets everything behind the first `count` bytes.
  public func truncate(toBytes count: Int) throws(FormatError) { try file.truncate(to: count) }

  /// All documents of a file. An incomplete last line, as a crash leaves it, is an error.
  public static func read(_ path: String) throws(FormatError) -> [JSONValue] {
    try lines(of: try readFile(path), file: path).map { (line) throws(FormatError) in
      try JSONValue.parse(Array(line.bytes), file: path, base: line.bytes.startIndex)
    }
  }

  /// Lines with their numbers, from 1. The file must end with a newline.
  static func lines(
    of bytes: [UInt8], file: String
  ) throws(FormatError) -> [(number: Int, bytes: ArraySlice<UInt8>)] {
    guard bytes.isEmpty || bytes.last == 0x0a else {
      throw FormatError(
        .corrupt, file: file, field: "last line", offset: bytes.count,
        "the line has no end; the program that wrote it was interrupted")
    }
    let lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false).dropLast()
    return lines.enumerated().map { ($0.offset + 1, $0.element) }
  }
}
