// SPDX-License-Identifier: Apache-2.0
// From text files to a data folder: tokenizer, shards, manifest. The folder appears as a whole.

/// The recipe of a data folder. Equal files and settings give equal bytes.
public struct DataPreparation: Sendable {
  /// Text files, one document each; a single file is cut into documents at blank lines.
  public var texts: [String]
  /// Ids of the tokenizer to train.
  public var vocab: Int
  /// An existing tokenizer to use instead.
  public var tokenizer: String?
  /// Share of documents to hold out; 0 holds out none.
  public var validation: Double
  /// The folder to make.
  public var out: String
  /// Tokens in a full shard.
  public var tokensPerShard = Shard.tokensPerShard

  public init(
    texts: [String], vocab: Int, tokenizer: String? = nil, validation: Double = 1.0 / 20,
    out: String
  ) {
    (self.texts, self.vocab, self.tokenizer) = (texts, vocab, tokenizer)
    (self.validation, self.out) = (validation, out)
  }

  /// Makes the folder. When it exists and was made from the same inputs, nothing is done.
  public func run(progress: (String) -> Void = { _ in }) throws(FormatError) -> DataManifest {
    guard !texts.isEmpty else {
      throw FormatError(.usage, "no text is given; name at least one UTF-8 text file")
    }
    guard validation >= 0, validation <= 0.5 else {
      throw FormatError(.usage, "validation share \(validation) is not possible; choose 0 to 0.5")
    }
    let corpus = try Corpus(
      texts, oneIn: validation > 0 ? Int((1 / validation).rounded()) : 0, progress)
    let given = try tokenizer.map { (path) throws(FormatError) in try Tokenizer(path: path) }
    let inputs = inputs(corpus, given)
    let folder = Folder.trimmingSlashes(out)
    if let existing = try existingManifest(folder, inputs: inputs) {
      progress("\(folder) is up to date")
      return existing
    }
    let partial = folder + ".partial"
    try Folder.remove(partial)
    do {
      try Folder.create(partial)
      let manifest = try fill(partial, corpus, given, inputs, progress)
      try Folder.rename(partial, to: folder)
      return manifest
    } catch {
      // The reason of the failure matters more than a leftover, which the next run removes.
      try? Folder.remove(partial)
      throw error
    }
  }

  /// The manifest of a folder that was made before, or nil when the place is free.
  private func existingManifest(
    _ folder: String, inputs: String
  ) throws(FormatError) -> DataManifest? {
    guard Folder.exists(folder) else { return nil }
    guard Folder.isFolder(folder) else {
      throw FormatError(.usage, file: folder, "a file is in the way; choose another folder")
    }
    let manifest = "\(folder)/\(DataManifest.fileName)"
    guard Folder.exists(manifest) else {
      if try Folder.names(in: folder).isEmpty { return nil }
      throw FormatError(
        .usage, file: folder,
        "the folder is not empty and holds no manifest; choose another folder or empty it")
    }
    let existing = try DataManifest.read(manifest)
    guard existing.inputs == inputs else {
      throw FormatError(
        .usage, file: folder,
        "the folder was made from other texts or settings; choose another folder or remove it")
    }
    return existing
  }

  /// Hash of everything that decides the folder's bytes.
  private func inputs(_ corpus: Corpus, _ given: Tokenizer?) -> String {
    let recipe: JSONValue = [
      "recipe": 1, "sources": .array(corpus.sources.map { .string($0.sha256) }),
      "vocab": given == nil ? .int(vocab) : nil,
      "tokenizer": given.map { .string($0.sha256) } ?? nil,
      "one_in": .int(corpus.oneIn), "tokens_per_shard": .int(tokensPerShard),
    ]
    return SHA256.hex(recipe.text)
  }

  private func fill(
    _ folder: String, _ corpus: Corpus, _ given: Tokenizer?, _ inputs: String,
    _ progress: (String) -> Void
  ) throws(FormatError) -> DataManifest {
    let tokenizer: Tokenizer
    if let given {
      tokenizer = given
    } else {
      let documents = corpus.documents(heldOut: false)
      progress("training a tokenizer of \(vocab) ids on \(documents.count) documents")
      var index = 0
      tokenizer = try Tokenizer.train(vocab: vocab) { () throws(FormatError) in
        guard index < documents.count else { return nil }
        defer { index += 1 }
        return try corpus.text(documents[index])
      }
    }
    try AtomicFile.write("\(folder)/tokenizer.model", tokenizer.model)
    let train = try encode(corpus, heldOut: false, tokenizer, folder, progress)
    let validation = try encode(corpus, heldOut: true, tokenizer, folder, progress)
    let seen = Set(train.documentHashes)
    let manifest = DataManifest(
      inputs: inputs, tokenizer: tokenizer.sha256, vocab: tokenizer.vocabSize,
      isTokenizerTrained: given == nil, sources: corpus.sources, train: train,
      validation: validation, duplicates: validation.documentHashes.count { seen.contains($0) })
    if manifest.duplicates > 0 {
      progress("\(manifest.duplicates) validation documents are also training documents")
    }
    try AtomicFile.write("\(folder)/\(DataManifest.fileName)", manifest.json.prettyText + "\n")
    return manifest
  }

  private func encode(
    _ corpus: Corpus, heldOut: Bool, _ tokenizer: Tokenizer, _ folder: String,
    _ progress: (String) -> Void
  ) throws(FormatError) -> DataManifest.Split {
    var split = DataManifest.Split()
    let table = ByteTable(tokenizer)
    let prefix = heldOut ? DataFolder.validationPrefix : DataFolder.trainPrefix
    var writer = ShardWriter(folder: folder, prefix: prefix, capacity: tokensPerShard)
    for document in corpus.documents(heldOut: heldOut) {
      let text = try corpus.text(document)
      let ids = try tokenizer.encodeDocument(text)
      let tokens = ids.map { UInt16(truncatingIfNeeded: $0) }
      let isLossy = tokenizer.decode(ids) != text
      guard !isLossy || !tokenizer.isExact else {
        throw FormatError(
          .corrupt, file: corpus.sources[document.source].name, offset: document.range.lowerBound,
          "this document does not survive its own tokenizer, which is a bug in graphc")
      }
      split.lossyDocuments += isLossy ? 1 : 0
      split.unknownTokens += ids.count { tokenizer.type(Int($0)) == .unknown }
      split.tableBytes += table.bytes(of: tokens)
      split.documentHashes.append(Documents.hash(text))
      split.documentBytes.append(text.count)
      split.documentTokens.append(tokens.count)
      try writer.append(tokens)
    }
    split.shards = try writer.finish()
    let name = heldOut ? "validation" : "train"
    progress("\(name): \(split.documents) documents, \(split.tokens) tokens, \(split.bytes) bytes")
    if split.lossyDocuments > 0 {
      progress(
        "\(name): lossy: \(split.lossyDocuments) documents do not decode to their text, "
          + "\(split.unknownTokens) unknown tokens, byte table counts "
          + "\(split.tableBytes) of \(split.bytes) bytes")
    }
    return split
  }
}
