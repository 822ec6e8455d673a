// SPDX-License-Identifier: Apache-2.0
// The documents of one split as shards, and as the byte sidecar where the tokenizer has case operators.

/// Encodes the documents of a corpus into the shards of a folder.
struct SplitWriter {
  private let tokenizer: Tokenizer
  private let table: ByteTable
  private let corpus: Corpus
  private let folder: String
  private let tokensPerShard: Int

  init(_ tokenizer: Tokenizer, _ corpus: Corpus, _ folder: String, _ tokensPerShard: Int) {
    (self.tokenizer, self.corpus, self.folder) = (tokenizer, corpus, folder)
    self.tokensPerShard = tokensPerShard
    table = ByteTable(tokenizer)
  }

  /// Writes a split and returns what the manifest says about it.
  func write(
    heldOut: Bool, _ progress: (String) -> Void
  ) throws(FormatError) -> DataManifest.Split {
    var split = DataManifest.Split()
    let prefix = heldOut ? DataFolder.validationPrefix : DataFolder.trainPrefix
    var shards = ShardWriter(folder: folder, prefix: prefix, capacity: tokensPerShard)
    var sidecar = ShardWriter(
      folder: folder, prefix: DataFolder.sidecarPrefix, capacity: tokensPerShard)
    for document in corpus.documents(heldOut: heldOut) {
      let text = try corpus.text(document)
      let (ids, bytes) = try encode(document, text)
      let tokens = ids.map { UInt16(truncatingIfNeeded: $0) }
      let decoded = tokenizer.decode(ids)
      split.lossyDocuments += decoded != text ? 1 : 0
      guard !tokenizer.isExact || (decoded == text && isConsistent(tokens, bytes)) else {
        throw FormatError(
          .corrupt, file: corpus.sources[document.source].name, offset: document.range.lowerBound,
          "this document does not survive its own tokenizer, which is a bug in graphc")
      }
      split.unknownTokens += ids.count { tokenizer.type(Int($0)) == .unknown }
      if let bytes, heldOut {
        split.tableBytes += bytes.reduce(0) { $0 + Int($1) }
        try sidecar.append(bytes)
      } else {
        split.tableBytes += bytes == nil ? table.bytes(of: tokens) : decoded.count
      }
      split.documentHashes.append(Documents.hash(text))
      split.documentBytes.append(text.count)
      split.documentTokens.append(tokens.count)
      try shards.append(tokens)
    }
    split.shards = try shards.finish()
    split.sidecar = try sidecar.finish()
    report(split, heldOut: heldOut, progress)
    return split
  }

  /// Ids of a document; with case operators also the original bytes of each.
  private func encode(
    _ document: TextDocument, _ text: [UInt8]
  ) throws(FormatError) -> (ids: [Int32], bytes: [UInt16]?) {
    guard tokenizer.hasCaseOperators else { return (try tokenizer.encodeDocument(text), nil) }
    do {
      return try tokenizer.encodeDocumentWithBytes(text)
    } catch {
      throw error.at(file: corpus.sources[document.source].name)
    }
  }

  private func isConsistent(_ tokens: [UInt16], _ bytes: [UInt16]?) -> Bool {
    tokenizer.originalBytes(ofDocument: tokens) == bytes
  }

  private func report(
    _ split: DataManifest.Split, heldOut: Bool, _ progress: (String) -> Void
  ) {
    let name = heldOut ? "validation" : "train"
    progress("\(name): \(split.documents) documents, \(split.tokens) tokens, \(split.bytes) bytes")
    guard split.lossyDocuments > 0 else { return }
    progress(
      "\(name): lossy: \(split.lossyDocuments) documents do not decode to their text, "
        + "\(split.unknownTokens) unknown tokens, "
        + (tokenizer.hasCaseOperators ? heldOut ? "byte sidecar" : "decoded text" : "byte table")
        + " counts \(split.tableBytes) of \(split.bytes) bytes")
  }
}
