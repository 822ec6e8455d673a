// SPDX-License-Identifier: Apache-2.0
// All shards of one split as one sequence of tokens, mapped rather than read.

/// Tokens of several shards, one after the other. Every id is known to be inside the vocabulary.
public final class TokenStream: Sendable {
  /// Shard paths in stream order.
  public let paths: [String]
  /// Tokens in all shards.
  public let count: Int
  /// Ids are below this.
  public let vocab: Int
  private let shards: [(file: MappedFile, start: Int, count: Int)]

  /// Opens the shards of `folder` whose names begin with `prefix` and end in ".bin", in the
  /// order of their names' bytes.
  public convenience init(folder: String, prefix: String, vocab: Int) throws(FormatError) {
    let names = try Folder.names(in: folder).filter { $0.hasPrefix(prefix) && $0.hasSuffix(".bin") }
    guard !names.isEmpty else {
      throw FormatError(
        .notFound, file: folder,
        "no \(prefix)*.bin here; make a data folder with: graphc data prepare --text FILE... --out \(folder)"
      )
    }
    try self.init(paths: names.map { "\(folder)/\($0)" }, vocab: vocab)
  }

  /// Opens shards in the given order and checks every token.
  public init(paths: [String], vocab: Int) throws(FormatError) {
    var shards: [(file: MappedFile, start: Int, count: Int)] = []
    var total = 0
    for path in paths {
      let file = try MappedFile(path)
      let count = try Shard.checkHeader(file)
      if let (index, id) = TokenStream.firstToken(atLeast: vocab, in: file, count: count) {
        throw FormatError(
          .corrupt, file: path, field: "token", offset: Shard.headerBytes + 2 * index,
          "found id \(id), but the vocabulary has \(vocab) ids; "
            + "these shards belong to another tokenizer")
      }
      shards.append((file, total, count))
      total += count
    }
    self.paths = paths
    self.shards = shards
    self.vocab = vocab
    count = total
  }

  /// One token.
  public subscript(index: Int) -> UInt16 { self[index..<index + 1][0] }

  /// A copy of a range, which must lie inside the stream.
  public subscript(range: Range<Int>) -> [UInt16] {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the stream")
    return [UInt16](unsafeUninitializedCapacity: range.count) { buffer, filled in
      for shard in shards {
        let part = range.clamped(to: shard.start..<shard.start + shard.count)
        guard !part.isEmpty else { continue }
        shard.file.withBytes { raw in
          for index in part {
            let offset = Shard.headerBytes + 2 * (index - shard.start)
            buffer[filled] = UInt16(
              littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            filled += 1
          }
        }
      }
    }
  }

  /// SHA-256 over the tokens as little-endian bytes; it does not depend on the cut into shards.
  public func contentHash() -> String {
    var hasher = Hasher256()
    for shard in shards {
      shard.file.withBytes {
        hasher.update(UnsafeRawBufferPointer(rebasing: $0[Shard.headerBytes...]))
      }
    }
    return hasher.hex()
  }

  /// Reads the whole stream in pieces of bounded size.
  public func forEachBlock(of size: Int = 1 << 20, _ body: ([UInt16]) throws -> Void) rethrows {
    var start = 0
    while start < count {
      let end = min(start + size, count)
      try body(self[start..<end])
      start = end
    }
  }

  private static func firstToken(
    atLeast vocab: Int, in file: MappedFile, count: Int
  ) -> (index: Int, id: UInt16)? {
    guard let limit = UInt16(exactly: vocab) else { return nil }
    return file.withBytes { raw in
      // The header is 1024 bytes and maps begin on a page, so the tokens are aligned.
      let tokens = UnsafeRawBufferPointer(rebasing: raw[Shard.headerBytes...])
        .bindMemory(to: UInt16.self)
      var largest: UInt16 = 0
      for token in tokens { largest = max(largest, UInt16(littleEndian: token)) }
      guard count > 0, largest >= limit else { return nil }
      return tokens.firstIndex { UInt16(littleEndian: $0) >= limit }.map { ($0, tokens[$0]) }
    }
  }
}
