// SPDX-License-Identifier: Apache-2.0
// A data folder: tokenizer, training and validation shards, and what is known about them.

/// An opened data folder. Opening reads no shard: training code never maps validation tokens
/// unless it asks for them.
public struct DataFolder: Sendable {
  public static let trainPrefix = "fineweb_train_"
  public static let validationPrefix = "fineweb_val_"

  public let path: String
  /// What `prepare` recorded; nil for folders from elsewhere.
  public let manifest: DataManifest?
  public let tokenizer: Tokenizer
  /// Bytes by token id.
  public let byteTable: ByteTable

  /// Makes a data folder from texts; see `DataPreparation`.
  public static func prepare(
    texts: [String], vocab: Int, tokenizer: String? = nil, validation: Double = 1.0 / 20,
    out: String, progress: (String) -> Void = { _ in }
  ) throws(FormatError) -> DataManifest {
    try DataPreparation(
      texts: texts, vocab: vocab, tokenizer: tokenizer, validation: validation, out: out
    ).run(progress: progress)
  }

  /// Opens a folder. `tokenizer` is needed when the folder holds none.
  public static func open(
    _ path: String, tokenizer: String? = nil
  ) throws(FormatError) -> DataFolder {
    let path = Folder.trimmingSlashes(path)
    guard Folder.isFolder(path) else {
      throw FormatError(
        .notFound, file: path,
        "no such data folder; make it with: graphc data prepare --text FILE... --out \(path)")
    }
    let manifestPath = "\(path)/\(DataManifest.fileName)"
    let manifest =
      Folder.exists(manifestPath) ? try DataManifest.read(manifestPath) : nil
    let own = "\(path)/tokenizer.model"
    guard tokenizer != nil || Folder.exists(own) else {
      throw FormatError(
        .notFound, file: own,
        "the folder holds no tokenizer; name the one its shards were made with (--tokenizer FILE), "
          + "or make a folder with: graphc data prepare --text FILE... --out \(path)")
    }
    let loaded = try Tokenizer(path: tokenizer ?? own)
    if let manifest, manifest.tokenizer != loaded.sha256 || manifest.vocab != loaded.vocabSize {
      throw FormatError(
        .corrupt, file: tokenizer ?? own, field: "SHA-256",
        "found \(loaded.sha256), but the shards were made with \(manifest.tokenizer); "
          + "use the folder's own tokenizer or prepare the folder again")
    }
    return DataFolder(
      path: path, manifest: manifest, tokenizer: loaded, byteTable: ByteTable(loaded))
  }

  /// Maps the training tokens and checks each against the vocabulary.
  public func train() throws(FormatError) -> TokenStream {
    try stream(DataFolder.trainPrefix, manifest?.train)
  }

  /// Maps the validation tokens and checks each against the vocabulary.
  public func validation() throws(FormatError) -> TokenStream {
    try stream(DataFolder.validationPrefix, manifest?.validation)
  }

  /// Compares the content of every shard with the hash in the manifest.
  public func verifyShards() throws(FormatError) {
    for shard in (manifest?.train.shards ?? []) + (manifest?.validation.shards ?? []) {
      let file = "\(path)/\(shard.name)"
      guard try SHA256.hex(file: file) == shard.sha256 else {
        throw FormatError(
          .corrupt, file: file, "the bytes do not match the hash in \(DataManifest.fileName)")
      }
    }
  }

  private func stream(
    _ prefix: String, _ split: DataManifest.Split?
  ) throws(FormatError) -> TokenStream {
    let stream = try TokenStream(folder: path, prefix: prefix, vocab: tokenizer.vocabSize)
    guard let split else { return stream }
    let found = stream.paths.map { Folder.name(of: $0) }
    guard found == split.shards.map(\.name), stream.count == split.tokens else {
      throw FormatError(
        .corrupt, file: path,
        "found \(found.count) shards \(prefix)*.bin with \(stream.count) tokens, the manifest "
          + "lists \(split.shards.count) with \(split.tokens); a file was added, removed or cut")
    }
    return stream
  }
}
