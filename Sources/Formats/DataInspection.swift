// SPDX-License-Identifier: Apache-2.0
// What a person wants to see about a data folder, as plain values.

/// The facts of a data folder.
public struct DataInspection: Sendable, Equatable {
  /// The facts of one split.
  public struct Split: Sendable, Equatable {
    public var shards: Int
    public var tokens: Int
    public var documents: Int
    /// Bytes by the tokenizer's byte table or the byte sidecar.
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
  /// Whether the tokenizer has case operators, so that bytes are those of the sidecar.
  public var hasCaseOperators: Bool
  public var bytePieces: Int
  public var sources: [DataManifest.Source]
  /// nil when there are no shards of this split.
  public var train: Split?
  public var validation: Split?
  /// Validation documents that also stand in the training data; nil when a split is not there.
  public var duplicates: Int?

  /// The facts as a JSON document.
  public var json: JSONValue {
    [
      "schema": "graphc-data-inspection/1", "path": .string(path), "manifest": .bool(hasManifest),
      "tokenizer": [
        "sha256": .string(tokenizer), "vocab": .int(vocab), "exact": .bool(isTokenizerExact),
        "case_ops": .bool(hasCaseOperators), "byte_pieces": .int(bytePieces),
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
  /// Gathers the facts; all shards are read and compared with the manifest, where there is one.
  public func inspect() throws(FormatError) -> DataInspection {
    let evidence = try evidence()
    // A folder may hold one split alone, but not against its manifest.
    if evidence.train == nil, manifest?.train.shards.isEmpty == false { _ = try train() }
    if evidence.validation == nil, manifest?.validation.shards.isEmpty == false {
      _ = try validation()
    }
    return DataInspection(
      path: path, hasManifest: manifest != nil, tokenizer: tokenizer.sha256,
      vocab: tokenizer.vocabSize, isTokenizerExact: tokenizer.isExact,
      hasCaseOperators: tokenizer.hasCaseOperators,
      bytePieces: (0..<tokenizer.vocabSize).count { tokenizer.type($0) == .byte },
      sources: manifest?.sources ?? [],
      train: evidence.train.map { DataInspection.Split($0, manifest?.train) },
      validation: evidence.validation.map { DataInspection.Split($0, manifest?.validation) },
      duplicates: manifest == nil && (evidence.train == nil || evidence.validation == nil)
        ? nil : evidence.sharedDocuments)
  }
}

extension DataInspection.Split {
  fileprivate init(_ found: DataEvidence.Split, _ recorded: DataManifest.Split?) {
    self.init(
      shards: found.shards.count, tokens: found.tokens, documents: found.documents,
      tableBytes: found.tableBytes, originalBytes: recorded?.bytes,
      unknownTokens: found.unknownTokens, lossyDocuments: recorded?.lossyDocuments)
  }
}
