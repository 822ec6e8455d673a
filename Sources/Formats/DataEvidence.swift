// SPDX-License-Identifier: Apache-2.0
// What the shards of a data folder hold, found by reading all of them.

/// Facts about a data folder that come from the bytes of its shards and its tokenizer, not from what
/// its manifest says about them. Where there is a manifest, it says the same, or there is no evidence.
///
/// It proves that the shards are those that were hashed, that each document decodes to as many bytes,
/// and to the text, that were recorded when the folder was made, and that the byte table counts just
/// those bytes (`DataFolder.evidence` lists the checks). It does not prove which text that was: who
/// writes manifest, tokenizer and shards anew can describe another text consistently. Against that only
/// the source files help: `DataFolder.verifyDocuments(against:)`, or preparing them again and comparing
/// `content` and `tokenizer`.
public struct DataEvidence: Sendable, Equatable {
  /// The facts of one split.
  public struct Split: Sendable, Equatable {
    /// Shards in stream order, with the hashes of the files.
    public var shards: [DataManifest.ShardFile]
    /// The byte sidecar, likewise.
    public var sidecar: [DataManifest.ShardFile] = []
    /// SHA-256 over all tokens as little-endian bytes, whatever the cut into shards.
    public var content: String
    /// The same over the counts of the byte sidecar; nil where there is none.
    public var sidecarContent: String?
    /// Stretches between begin-of-document tokens.
    public var documents = 0
    public var tokens = 0
    /// Bytes of all tokens by the tokenizer's byte table, or by the sidecar: the denominator of bits per
    /// byte.
    public var tableBytes = 0
    /// Bytes that the tokens decode to, counted in the decoded text.
    public var textBytes = 0
    /// Tokens that stand for a character the tokenizer does not know.
    public var unknownTokens = 0
  }

  /// nil when the folder has no training shards.
  public var train: Split?
  /// nil when the folder has no validation shards.
  public var validation: Split?
  /// Validation documents whose text stands in the training shards: as a document, or, of documents of
  /// 256 bytes or more, at least nine tenths of their pieces of 128 bytes anywhere in the training text.
  public var sharedDocuments: Int
  /// SHA-256 of the tokenizer's file.
  public var tokenizer: String
  /// SHA-256 of the byte tables that its pieces give.
  public var byteTable: ByteTable.Hashes

  /// One hash for the tokens of both splits and the sidecar; a run's manifest names it as `data`.
  public var content: String {
    SHA256.hex(
      (train?.content ?? "") + (validation?.content ?? "") + (validation?.sidecarContent ?? ""))
  }

  /// The facts as a JSON document.
  public var json: JSONValue {
    [
      "schema": "graphc-data-evidence/1", "content": .string(content),
      "train": train?.json ?? nil, "validation": validation?.json ?? nil,
      "shared_documents": .int(sharedDocuments),
      "tokenizer": [
        "sha256": .string(tokenizer), "base_bytes": .string(byteTable.baseBytes),
        "leading_space": .string(byteTable.leadingSpace), "boundary": .string(byteTable.boundary),
      ],
    ]
  }
}

extension DataEvidence.Split {
  fileprivate var json: JSONValue {
    var members: [String: JSONValue] = [
      "content": .string(content), "documents": .int(documents), "tokens": .int(tokens),
      "table_bytes": .int(tableBytes), "text_bytes": .int(textBytes),
      "unknown_tokens": .int(unknownTokens),
      "shards": .array(shards.map(\.json)),
    ]
    if let sidecarContent {
      members["sidecar_content"] = .string(sidecarContent)
      members["sidecar"] = .array(sidecar.map(\.json))
    }
    return .object(members)
  }
}

extension DataFolder {
  /// Reads all shards and returns what is in them; the first call of a process does the work, which
  /// takes two to three seconds for 100 million tokens.
  ///
  /// With a manifest, these must agree with it: names, sizes and SHA-256 of the shards; the tokens of
  /// each document; bytes by the byte table or the sidecar; and of each document that the tokenizer keeps
  /// without loss, the bytes and the SHA-256 of the original text. A sidecar must count no byte at the
  /// begin of a document, never more than the document has, and what the tokens say where the tokenizer
  /// is exact. Anything else is a `.corrupt` error, except that a
  /// split of which no shard is there is nil: `train` and `validation` say that it is missing.
  public func evidence() throws(FormatError) -> DataEvidence {
    let (evidence, contradiction) = try examination()
    if let contradiction { throw contradiction }
    return evidence
  }

  /// Number of validation documents that also stand in the training shards; 0 proves them disjoint.
  /// It is found in the shards as they are, even if these contradict the manifest.
  public func verifyDisjoint() throws(FormatError) -> Int { try examination().0.sharedDocuments }

  /// Throws when all validation tokens, read again, or their bytes by the sidecar, are not those that
  /// `evidence` saw: a shard was written to in between. Before `evidence` was asked for there is nothing
  /// to compare with.
  public func requireUnchanged(
    validation tokens: [UInt16], bytes: [UInt16]
  ) throws(FormatError) {
    guard let seen = opened.examination?.0.validation else { return }
    func hash(_ words: [UInt16]) -> String {
      var hasher = Hasher256()
      hasher.update(tokens: words)
      return hasher.hex()
    }
    guard hash(tokens) == seen.content,
      seen.sidecarContent.map({ $0 == hash(bytes) }) ?? true
    else {
      throw FormatError(
        .corrupt, file: path,
        "the validation shards were changed since they were first read; leave the folder alone while "
          + "graphc runs, and run again")
    }
  }

  private func examination() throws(FormatError) -> (DataEvidence, FormatError?) {
    if let known = opened.examination { return known }
    // Validation first: training documents are compared with it as they pass.
    var examination = ShardExamination(self)
    let validation = try examination.examineValidation()
    let train = try examination.examineTraining()
    let evidence = DataEvidence(
      train: train, validation: validation, sharedDocuments: examination.sharedDocuments,
      tokenizer: tokenizer.sha256, byteTable: byteTable.sha256)
    let result = (evidence, examination.contradiction)
    opened.examination = result
    return result
  }
}
