// SPDX-License-Identifier: Apache-2.0
// A data folder: tokenizer, training and validation shards, and what is known about them.

import Synchronization

/// An opened data folder. Opening reads no shard: training code never sees validation tokens
/// unless it asks for them. Shards are opened once; `evidence` compares them with the manifest.
public struct DataFolder: Sendable {
  public static let trainPrefix = "fineweb_train_"
  public static let validationPrefix = "fineweb_val_"
  /// Begin of the names of the byte sidecar, as the published data sets have them.
  public static let sidecarPrefix = "fineweb_val_bytes_"

  public let path: String
  /// What `prepare` recorded; nil for folders from elsewhere.
  public let manifest: DataManifest?
  public let tokenizer: Tokenizer
  /// Bytes by token id.
  public let byteTable: ByteTable
  /// What was read of the shards; copies of the folder share it.
  let opened = OpenedShards()

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
    let own = Tokenizer.fileNames.map { "\(path)/\($0)" }.filter { Folder.exists($0) }
    guard let file = tokenizer ?? own.first else {
      throw FormatError(
        .notFound, file: "\(path)/\(Tokenizer.fileNames[0])",
        "the folder holds no tokenizer; name the one its shards were made with (--tokenizer FILE), "
          + "or make a folder with: graphc data prepare --text FILE... --out \(path)")
    }
    guard tokenizer != nil || own.count == 1 else {
      throw FormatError(
        .usage, file: path,
        "the folder holds \(Tokenizer.fileNames.joined(separator: " and ")); name the one its shards "
          + "were made with (--tokenizer FILE)")
    }
    let loaded = try Tokenizer(path: file)
    if let manifest, manifest.tokenizer != loaded.sha256 || manifest.vocab != loaded.vocabSize {
      throw FormatError(
        .corrupt, file: file, field: "SHA-256",
        "found \(loaded.sha256), but the shards were made with \(manifest.tokenizer); "
          + "use the folder's own tokenizer or prepare the folder again")
    }
    return DataFolder(
      path: path, manifest: manifest, tokenizer: loaded, byteTable: ByteTable(loaded))
  }

  /// Opens the training tokens and checks each against the vocabulary.
  public func train() throws(FormatError) -> TokenStream {
    try stream(DataFolder.trainPrefix, manifest?.train)
  }

  /// Opens the validation tokens and checks each against the vocabulary.
  public func validation() throws(FormatError) -> TokenStream {
    try stream(DataFolder.validationPrefix, manifest?.validation)
  }

  /// Whether there are shards of a split.
  func has(_ prefix: String) throws(FormatError) -> Bool {
    try !TokenStream.names(in: path, prefix: prefix).isEmpty
  }

  /// The shards of a split as they are, opened once; `train` and `validation` compare their names and
  /// sizes with the manifest. `vocab`: numbers are below this, else below the tokenizer's.
  func shards(_ prefix: String, vocab: Int? = nil) throws(FormatError) -> TokenStream {
    if let stream = opened.streams[prefix] { return stream }
    let stream = try TokenStream(
      folder: path, prefix: prefix, vocab: vocab ?? tokenizer.vocabSize)
    opened.streams[prefix] = stream
    return stream
  }

  private func stream(
    _ prefix: String, _ split: DataManifest.Split?
  ) throws(FormatError) -> TokenStream {
    let stream = try shards(prefix)
    if let contradiction = split?.contradiction(to: stream, of: path, prefix) {
      throw contradiction
    }
    return stream
  }
}

/// The shards of a folder that were opened, and what they hold, once that was found out.
final class OpenedShards: Sendable {
  private struct State {
    var streams: [String: TokenStream] = [:]
    var examination: (DataEvidence, FormatError?)?
  }

  private let state = Mutex(State())

  /// Streams by the prefix of their shards.
  var streams: [String: TokenStream] {
    get { state.withLock { $0.streams } }
    set { state.withLock { $0.streams = newValue } }
  }

  /// What the shards hold, and the first contradiction to the manifest.
  var examination: (DataEvidence, FormatError?)? {
    get { state.withLock { $0.examination } }
    set { state.withLock { $0.examination = newValue } }
  }
}
