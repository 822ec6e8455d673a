// SPDX-License-Identifier: Apache-2.0
// The FineWeb shard: 256 little-endian int32 header words, then uint16 tokens.

/// One token shard file. Header word 0 is 20240520, word 1 is 1, word 2 the token count.
public enum Shard {
  static let magic: UInt32 = 20_240_520
  static let version: UInt32 = 1
  static let headerBytes = 1024
  /// Tokens in a full shard.
  public static let tokensPerShard = 100_000_000

  /// All tokens of a shard.
  public static func read(_ path: String) throws(FormatError) -> [UInt16] {
    let file = try OpenFile(path)
    let count = try checkHeader(file)
    var tokens = [UInt16](repeating: 0, count: count)
    try read(0..<count, of: file, into: &tokens, at: 0)
    return tokens
  }

  /// Copies a range of a shard's tokens into `tokens`, beginning at `place`.
  static func read(
    _ range: Range<Int>, of file: OpenFile, into tokens: inout [UInt16], at place: Int
  ) throws(FormatError) {
    // The closure cannot say that it throws nothing else.
    var failure: FormatError?
    tokens.withUnsafeMutableBufferPointer { buffer in
      let part = UnsafeMutableBufferPointer(rebasing: buffer[place..<place + range.count])
      do throws(FormatError) {
        try file.read(
          at: headerBytes + 2 * range.lowerBound, into: UnsafeMutableRawBufferPointer(part))
      } catch {
        failure = error
        return
      }
      for index in part.indices { part[index] = UInt16(littleEndian: part[index]) }
    }
    if let failure { throw failure }
  }

  /// Writes a shard and returns the SHA-256 of the file.
  @discardableResult
  public static func write(_ path: String, _ tokens: some Collection<UInt16>) throws(FormatError)
    -> String
  {
    guard let count = Int32(exactly: tokens.count) else {
      throw FormatError(.usage, file: path, "\(tokens.count) tokens do not fit one shard")
    }
    var header: [UInt8] = []
    header.append(littleEndian: magic)
    header.append(littleEndian: version)
    header.append(littleEndian: count)
    header += Array(repeating: 0, count: headerBytes - header.count)
    let file = try AtomicFile(path)
    try file.write(header)
    try file.write(Array(tokens).map { $0.littleEndian }.withUnsafeBytes { Array($0) })
    return try file.commit()
  }

  /// Checks magic, version and count against the file's size; returns the token count.
  static func checkHeader(_ file: OpenFile) throws(FormatError) -> Int {
    func error(_ field: String, _ offset: Int, _ message: String) -> FormatError {
      FormatError(.corrupt, file: file.path, field: field, offset: offset, message)
    }
    guard file.count >= headerBytes else {
      throw error(
        "header", 0, "the file has \(file.count) bytes; a shard begins with \(headerBytes)")
    }
    var reader = ByteReader(try file.bytes(0..<12), file: file.path)
    let foundMagic = try reader.uint32("magic")
    guard foundMagic == magic else {
      throw error("magic", 0, "found \(foundMagic), expected \(magic); this is not a token shard")
    }
    let foundVersion = try reader.uint32("version")
    guard foundVersion == version else {
      throw error("version", 4, "found \(foundVersion), expected \(version)")
    }
    let count = Int(try reader.uint32("token count"))
    guard file.count == headerBytes + 2 * count else {
      throw error(
        "token count", 8,
        "\(count) tokens need \(headerBytes + 2 * count) bytes, the file has \(file.count); "
          + "it is cut off, or its download did not finish")
    }
    return count
  }
}
