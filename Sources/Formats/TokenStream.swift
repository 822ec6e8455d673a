// SPDX-License-Identifier: Apache-2.0
// All shards of one split as one sequence of tokens, read from the files when asked for.

/// Tokens of several shards, one after the other. Every id that it gives is below `vocab`: all are
/// checked when the shards are opened, and again whenever they are read, because another program may
/// have written to the files in between.
public final class TokenStream: Sendable {
  /// Shard paths in stream order.
  public let paths: [String]
  /// Tokens in all shards.
  public let count: Int
  /// Ids are below this.
  public let vocab: Int
  private let shards: [(file: OpenFile, start: Int, count: Int)]

  /// Opens the shards of `folder` whose names begin with `prefix` and end in ".bin", in the
  /// order of their names' bytes.
  public convenience init(folder: String, prefix: String, vocab: Int) throws(FormatError) {
    let names = try TokenStream.names(in: folder, prefix: prefix)
    guard !names.isEmpty else {
      throw FormatError(
        .notFound, file: folder,
        "no \(prefix)*.bin here; make a data folder with: graphc data prepare --text FILE... --out \(folder)"
      )
    }
    try self.init(paths: names.map { "\(folder)/\($0)" }, vocab: vocab)
  }

  /// Names of the shards of a folder that begin with `prefix`, in stream order. The byte sidecar begins
  /// as the validation shards do and is none of them.
  static func names(in folder: String, prefix: String) throws(FormatError) -> [String] {
    let isSidecar = prefix == DataFolder.sidecarPrefix
    return try Folder.names(in: folder).filter {
      $0.hasPrefix(prefix) && $0.hasSuffix(".bin")
        && $0.hasPrefix(DataFolder.sidecarPrefix) == isSidecar
    }
  }

  /// Opens shards in the given order and checks every token.
  public init(paths: [String], vocab: Int) throws(FormatError) {
    var shards: [(file: OpenFile, start: Int, count: Int)] = []
    var total = 0
    for path in paths {
      let file = try OpenFile(path)
      let count = try Shard.checkHeader(file)
      shards.append((file, total, count))
      total += count
    }
    (self.paths, self.shards, self.vocab) = (paths, shards, vocab)
    count = total
    try forEachBlock { (_: [UInt16]) in }
  }

  /// A copy of a range, which must lie inside the stream.
  public func read(_ range: Range<Int>) throws(FormatError) -> [UInt16] {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the stream")
    var tokens = [UInt16](repeating: 0, count: range.count)
    for shard in shards {
      let part = range.clamped(to: shard.start..<shard.start + shard.count)
      guard !part.isEmpty else { continue }
      let first = part.lowerBound - shard.start
      let place = part.lowerBound - range.lowerBound
      try Shard.read(first..<first + part.count, of: shard.file, into: &tokens, at: place)
      try check(tokens[place..<place + part.count], of: shard.file, first: first)
    }
    return tokens
  }

  /// The place of the first token with an id; nil if there is none.
  public func first(_ id: Int) throws(FormatError) -> Int? {
    let block = 1 << 16
    for start in stride(from: 0, to: count, by: block) {
      let tokens = try read(start..<min(start + block, count))
      if let place = tokens.firstIndex(where: { Int($0) == id }) { return start + place }
    }
    return nil
  }

  /// Paths of the shards with the tokens of each, in stream order.
  var shardFiles: [(path: String, tokens: Int)] { shards.map { ($0.file.path, $0.count) } }

  /// SHA-256 over the tokens as little-endian bytes; it does not depend on the cut into shards.
  public func contentHash() throws(FormatError) -> String {
    var hasher = Hasher256()
    try forEachBlock { hasher.update(tokens: $0) }
    return hasher.hex()
  }

  /// Reads the whole stream in pieces of bounded size.
  public func forEachBlock(
    of size: Int = 1 << 20, _ body: ([UInt16]) throws(FormatError) -> Void
  ) throws(FormatError) {
    for start in stride(from: 0, to: count, by: size) {
      try body(try read(start..<min(start + size, count)))
    }
  }

  private func check(
    _ tokens: ArraySlice<UInt16>, of file: OpenFile, first: Int
  ) throws(FormatError) {
    guard let limit = UInt16(exactly: vocab) else { return }
    var largest: UInt16 = 0
    for token in tokens { largest = max(largest, token) }
    guard largest >= limit, let index = tokens.firstIndex(where: { $0 >= limit }) else { return }
    throw FormatError(
      .corrupt, file: file.path, field: "token",
      offset: Shard.headerBytes + 2 * (first + index - tokens.startIndex),
      "found id \(tokens[index]), but the vocabulary has \(vocab) ids; "
        + "these shards belong to another tokenizer")
  }
}

extension Hasher256 {
  /// Feeds tokens as little-endian bytes.
  mutating func update(tokens: [UInt16]) {
    #if _endian(little)
      tokens.withUnsafeBytes { update($0) }
    #else
      tokens.map { $0.littleEndian }.withUnsafeBytes { update($0) }
    #endif
  }
}
