// SPDX-License-Identifier: Apache-2.0
// manifest.json of a data folder: where the tokens came from and what was lost on the way.

/// What `prepare` recorded about a data folder.
public struct DataManifest: Sendable, Equatable {
  public static let schema = "graphc-data/1"
  static let fileName = "manifest.json"

  /// One input file.
  public struct Source: Sendable, Equatable {
    public var name: String
    public var sha256: String
    public var bytes: Int
    /// "train", "validation", or "both" when the file was cut into documents.
    public var split: String
  }

  /// One shard file.
  public struct ShardFile: Sendable, Equatable {
    public var name: String
    public var tokens: Int
    public var sha256: String
  }

  /// The documents of one split, in stream order.
  public struct Split: Sendable, Equatable {
    public var shards: [ShardFile] = []
    /// The byte sidecar: shards of bytes a token in place of ids. Validation data of a tokenizer with
    /// case operators have one, others none.
    public var sidecar: [ShardFile] = []
    /// SHA-256 of each document without white space at its ends.
    public var documentHashes: [String] = []
    /// Bytes of each original document.
    public var documentBytes: [Int] = []
    /// Tokens of each document, with its begin-of-document token.
    public var documentTokens: [Int] = []
    /// Bytes by the tokenizer's byte table, which differ from the original bytes if text was lost. With
    /// case operators: those of the sidecar; where there is none, of the decoded text.
    public var tableBytes = 0
    /// Tokens that stand for a character the tokenizer does not know.
    public var unknownTokens = 0
    /// Documents that do not decode to their original bytes.
    public var lossyDocuments = 0

    public init() {}

    public var documents: Int { documentBytes.count }
    public var tokens: Int { documentTokens.reduce(0, +) }
    public var bytes: Int { documentBytes.reduce(0, +) }
  }

  /// SHA-256 over everything the folder's content depends on.
  public var inputs: String
  public var tokenizer: String
  public var vocab: Int
  /// Whether the tokenizer was trained on this folder's training documents.
  public var isTokenizerTrained: Bool
  public var sources: [Source]
  public var train: Split
  public var validation: Split
  /// Validation documents that are also training documents.
  public var duplicates: Int

  /// Whether some document does not decode to its original bytes.
  public var isLossy: Bool { train.lossyDocuments + validation.lossyDocuments > 0 }
}

extension DataManifest {
  /// The manifest as a JSON document.
  public var json: JSONValue {
    [
      "schema": .string(DataManifest.schema), "inputs": .string(inputs),
      "tokenizer": [
        "sha256": .string(tokenizer), "vocab": .int(vocab), "trained": .bool(isTokenizerTrained),
      ],
      "sources": .array(
        sources.map {
          [
            "name": .string($0.name), "sha256": .string($0.sha256), "bytes": .int($0.bytes),
            "split": .string($0.split),
          ]
        }),
      "train": train.json, "validation": validation.json, "duplicates": .int(duplicates),
      "lossy": .bool(isLossy),
    ]
  }

  /// Reads a manifest file.
  static func read(_ path: String) throws(FormatError) -> DataManifest {
    let json = try JSONValue.parse(try readFile(path, limit: 1 << 31), file: path)
    guard json["schema"]?.stringValue == schema else {
      throw FormatError(
        .corrupt, file: path, field: "schema",
        "found \(json["schema"]?.text ?? "nothing"), expected \(schema)")
    }
    let tokenizer = json["tokenizer"]
    guard let inputs = json["inputs"]?.stringValue, let hash = tokenizer?["sha256"]?.stringValue,
      let vocab = tokenizer?["vocab"]?.intValue, let trained = tokenizer?["trained"]?.boolValue,
      let sources = json["sources"]?.arrayValue?.map(Source.init), !sources.contains(nil),
      let duplicates = json["duplicates"]?.intValue, (1...65536).contains(vocab)
    else { throw FormatError(.corrupt, file: path, "a member is missing or of the wrong type") }
    return DataManifest(
      inputs: inputs, tokenizer: hash, vocab: vocab, isTokenizerTrained: trained,
      sources: sources.compactMap { $0 },
      train: try Split(json["train"], name: "train", file: path),
      validation: try Split(json["validation"], name: "validation", file: path),
      duplicates: duplicates)
  }
}

extension DataManifest.Source {
  fileprivate init?(_ json: JSONValue) {
    guard let name = json["name"]?.stringValue, let sha256 = json["sha256"]?.stringValue,
      let bytes = json["bytes"]?.intValue, let split = json["split"]?.stringValue
    else { return nil }
    self.init(name: name, sha256: sha256, bytes: bytes, split: split)
  }
}

extension DataManifest.ShardFile {
  var json: JSONValue {
    ["name": .string(name), "tokens": .int(tokens), "sha256": .string(sha256)]
  }

  fileprivate init?(_ json: JSONValue) {
    guard let name = json["name"]?.stringValue, let sha256 = json["sha256"]?.stringValue,
      let tokens = json["tokens"]?.intValue, !name.contains("/")
    else { return nil }
    self.init(name: name, tokens: tokens, sha256: sha256)
  }
}

extension DataManifest.Split {
  fileprivate var json: JSONValue {
    var members: [String: JSONValue] = [
      "documents": .int(documents), "tokens": .int(tokens), "bytes": .int(bytes),
      "table_bytes": .int(tableBytes), "unknown_tokens": .int(unknownTokens),
      "lossy_documents": .int(lossyDocuments),
      "shards": .array(shards.map(\.json)),
      "document_sha256": .array(documentHashes.map { .string($0) }),
      "document_bytes": .array(documentBytes.map { .int($0) }),
      "document_tokens": .array(documentTokens.map { .int($0) }),
    ]
    if !sidecar.isEmpty { members["sidecar"] = .array(sidecar.map(\.json)) }
    return .object(members)
  }

  fileprivate init(_ json: JSONValue?, name: String, file: String) throws(FormatError) {
    self.init()
    func error(_ message: String) -> FormatError {
      FormatError(.corrupt, file: file, field: name, message)
    }
    guard let json, let shards = json["shards"]?.arrayValue?.map(DataManifest.ShardFile.init),
      let sidecar = (json["sidecar"] ?? []).arrayValue?.map(DataManifest.ShardFile.init),
      !shards.contains(nil), !sidecar.contains(nil),
      let hashes = json["document_sha256"]?.arrayValue?.map(\.stringValue),
      let bytes = json["document_bytes"]?.arrayValue?.map(\.intValue),
      let tokens = json["document_tokens"]?.arrayValue?.map(\.intValue), !hashes.contains(nil),
      let tableBytes = json["table_bytes"]?.intValue,
      let unknownTokens = json["unknown_tokens"]?.intValue,
      let lossyDocuments = json["lossy_documents"]?.intValue
    else { throw error("a member is missing or of the wrong type") }
    let counts = bytes + tokens
    guard counts.allSatisfy({ $0.map { (0...1 << 32).contains($0) } ?? false }) else {
      throw error("a count is not a whole number in range")
    }
    guard hashes.count == bytes.count, tokens.count == bytes.count,
      (shards + sidecar).allSatisfy({ (0...1 << 32).contains($0?.tokens ?? -1) })
    else { throw error("the lists of documents differ in length") }
    self.shards = shards.compactMap { $0 }
    self.sidecar = sidecar.compactMap { $0 }
    documentHashes = hashes.compactMap { $0 }
    documentBytes = bytes.compactMap { $0 }
    documentTokens = tokens.compactMap { $0 }
    (self.tableBytes, self.unknownTokens) = (tableBytes, unknownTokens)
    self.lossyDocuments = lossyDocuments
    guard self.tokens == self.shards.reduce(0, { $0 + $1.tokens }),
      json["documents"]?.intValue == documents, json["tokens"]?.intValue == self.tokens,
      json["bytes"]?.intValue == self.bytes
    else { throw error("its sums do not match its lists") }
  }
}
