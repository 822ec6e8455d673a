// SPDX-License-Identifier: Apache-2.0
// From text files to a data folder: tokenizer, shards, manifest. The folder appears as a whole.

/// The recipe of a data folder. Equal files and settings give equal bytes.
public struct DataPreparation: Sendable {
  /// Where the tokenizer comes from.
  public enum Source: Sendable {
    /// Trained on the training documents, with so many ids.
    case trained(vocab: Int)
    /// A tokenizer's file.
    case file(String)
    /// One token a byte.
    case bytes
  }

  /// Text files, one document each; a single file is cut into documents at blank lines.
  public var texts: [String]
  public var tokenizer: Source
  /// Whether the tokenizer has case operators. It must be said of a file too: neither a folder with
  /// them nor one without should come about by accident.
  public var hasCaseOperators: Bool
  /// Share of documents to hold out; 0 holds out none.
  public var validation: Double
  /// The folder to make.
  public var out: String
  /// Tokens in a full shard.
  public var tokensPerShard = Shard.tokensPerShard

  public init(
    texts: [String], tokenizer: Source, hasCaseOperators: Bool = false,
    validation: Double = 1.0 / 20, out: String
  ) {
    (self.texts, self.tokenizer, self.hasCaseOperators) = (texts, tokenizer, hasCaseOperators)
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
    let given = try givenTokenizer()
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

  /// The tokenizer, unless it is to be trained.
  private func givenTokenizer() throws(FormatError) -> Tokenizer? {
    let (given, file): (Tokenizer, String?)
    switch tokenizer {
    case .trained: return nil
    case .file(let path): (given, file) = (try Tokenizer(path: path), path)
    case .bytes: (given, file) = (.bytes, nil)
    }
    guard given.hasCaseOperators == hasCaseOperators else {
      throw FormatError(
        .usage, file: file,
        hasCaseOperators
          ? "the tokenizer has no case operators: it lacks the pieces U+E001 to U+E004; drop --case-ops, "
            + "or train one with --vocab"
          : "the tokenizer has case operators, the pieces U+E001 to U+E004; add --case-ops")
    }
    return given
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
    var recipe: [String: JSONValue] = [
      "recipe": 1, "sources": .array(corpus.sources.map { .string($0.sha256) }),
      "vocab": nil, "tokenizer": given.map { .string($0.sha256) } ?? nil,
      "one_in": .int(corpus.oneIn), "tokens_per_shard": .int(tokensPerShard),
    ]
    if case .trained(let vocab) = tokenizer { recipe["vocab"] = .int(vocab) }
    if hasCaseOperators { recipe["case_ops"] = true }
    return SHA256.hex(JSONValue.object(recipe).text)
  }

  private func fill(
    _ folder: String, _ corpus: Corpus, _ given: Tokenizer?, _ inputs: String,
    _ progress: (String) -> Void
  ) throws(FormatError) -> DataManifest {
    let tokenizer: Tokenizer
    switch (given, self.tokenizer) {
    case (let given?, _): tokenizer = given
    case (nil, .trained(let vocab)): tokenizer = try trained(vocab, corpus, progress)
    case (nil, _): preconditionFailure("only a tokenizer that is trained is not given")
    }
    try AtomicFile.write("\(folder)/\(tokenizer.fileName)", tokenizer.model)
    if tokenizer.hasCaseOperators && !tokenizer.isExact {
      progress(
        "lossy: the tokenizer normalises text, so not every document decodes to its bytes; they are "
          + "counted in the byte sidecar")
    }
    let writer = SplitWriter(tokenizer, corpus, folder, tokensPerShard)
    let train = try writer.write(heldOut: false, progress)
    let validation = try writer.write(heldOut: true, progress)
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

  private func trained(
    _ vocab: Int, _ corpus: Corpus, _ progress: (String) -> Void
  ) throws(FormatError) -> Tokenizer {
    let documents = corpus.documents(heldOut: false)
    progress("training a tokenizer of \(vocab) ids on \(documents.count) documents")
    var index = 0
    return try Tokenizer.train(vocab: vocab, caseOperators: hasCaseOperators) {
      () throws(FormatError) in
      guard index < documents.count else { return nil }
      defer { index += 1 }
      return try corpus.text(documents[index])
    }
  }
}
