// SPDX-License-Identifier: Apache-2.0
// What a person wants to see about a data folder, as plain values.

/// The facts of a data folder.
public struct DataInspection: Sendable, Equatable {
  /// The facts of one split.
  public struct Split: Sendable, Equatable {
    public var shards: Int
    public var tokens: Int
    public var documents: Int
    /// Bytes by the tokenizer's byte table.
    public var tableBytes: Int
    /// Bytes of the original documents, when a manifest tells.
    public var originalBytes: Int?
    public var unknownTokens: Int
    /// Documents that do not decode to their original bytes, when a manifest tells.
    public var lossyDocuments: Int?

    /// Bytes that one token stands for on average.
    public var bytesPerToken: Double { tokens > 0 ? Double(tableBytes) / Double(tokens) : 0 }
  }

  public var path: String
  public var hasManifest: Bool
  public var tokenizer: String
  public var vocab: Int
  public var isTokenizerExact: Bool
  public var bytePieces: Int
  public var sources: [DataManifest.Source]
  /// nil when there are no shards of this split.
  public var train: Split?
  public var validation: Split?
  /// Validation documents that are also training documents, when a manifest tells.
  public var duplicates: Int?

  /// The facts as a JSON document.
  public var json: JSONValue {
    [
      "schema": "graphc-data-inspection/1", "path": .string(path), "manifest": .bool(hasManifest),
      "tokenizer": [
        "sha256": .string(tokenizer), "vocab": .int(vocab), "exact": .bool(isTokenizerExact),
        "byte_pieces": .int(bytePieces),
      ],
      "sources": .array(
        sources.map {
          [
            "name": .string($0.name), "sha256": .string($0.sha256), "bytes": .int($0.bytes),
            "split": .string($0.split),
          ]
        }),
      "train": train?.json ?? nil, "validation": validation?.json ?? nil,
      "duplicates": duplicates.map { .int($0) } ?? nil,
    ]
  }
}

extension DataInspection.Split {
  fileprivate var json: JSONValue {
    [
      "shards": .int(shards), "tokens": .int(tokens), "documents": .int(documents),
      "table_bytes": .int(tableBytes), "original_bytes": originalBytes.map { .int($0) } ?? nil,
      "bytes_per_token": .double(bytesPerToken), "unknown_tokens": .int(unknownTokens),
      "lossy_documents": lossyDocuments.map { .int($0) } ?? nil,
    ]
  }
}

extension DataFolder {
  /// Gathers the facts; shards are opened and their tokens checked.
  public func inspect() throws(FormatError) -> DataInspection {
    DataInspection(
      path: path, hasManifest: manifest != nil, tokenizer: tokenizer.sha256,
      vocab: tokenizer.vocabSize, isTokenizerExact: tokenizer.isExact,
      bytePieces: (0..<tokenizer.vocabSize).count { tokenizer.type($0) == .byte },
      sources: manifest?.sources ?? [],
      train: try inspect(manifest?.train) { () throws(FormatError) in try train() },
      validation: try inspect(manifest?.validation) { () throws(FormatError) in try validation() },
      duplicates: manifest?.duplicates)
  }

  private func inspect(
    _ recorded: DataManifest.Split?, _ open: () throws(FormatError) -> TokenStream
  ) throws(FormatError) -> DataInspection.Split? {
    if let recorded, recorded.shards.isEmpty { return nil }
    let stream: TokenStream
    do {
      stream = try open()
    } catch {
      guard error.kind == .notFound, recorded == nil else { throw error }
      return nil
    }
    if let recorded {
      return DataInspection.Split(
        shards: recorded.shards.count, tokens: recorded.tokens, documents: recorded.documents,
        tableBytes: recorded.tableBytes, originalBytes: recorded.bytes,
        unknownTokens: recorded.unknownTokens, lossyDocuments: recorded.lossyDocuments)
    }
    var facts = DataInspection.Split(
      shards: stream.paths.count, tokens: stream.count, documents: 0, tableBytes: 0,
      originalBytes: nil, unknownTokens: 0, lossyDocuments: nil)
    var last: [UInt16] = []
    stream.forEachBlock { block in
      facts.tableBytes += byteTable.bytes(of: last + block)
      facts.documents += block.count { Int32($0) == tokenizer.bos }
      facts.unknownTokens += block.count { tokenizer.type(Int($0)) == .unknown }
      last = block.suffix(1)
    }
    return facts
  }
}
