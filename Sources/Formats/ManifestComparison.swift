// SPDX-License-Identifier: Apache-2.0
// Whether the shards of a split are those that the manifest of its folder describes.

extension DataManifest.Split {
  /// Why these shards, by their names and tokens, are not those of the split; nil when they may be.
  func contradiction(to stream: TokenStream, of folder: String, _ prefix: String) -> FormatError? {
    let found = stream.paths.map { Folder.name(of: $0) }
    if found == shards.map(\.name), stream.count == tokens { return nil }
    return FormatError(
      .corrupt, file: folder,
      "found \(found.count) shards \(prefix)*.bin with \(stream.count) tokens, the manifest lists "
        + "\(shards.count) with \(tokens); a file was added, removed or cut")
  }
}

/// Compares what is found in shards, document by document, with a manifest.
struct ManifestComparison {
  /// The first difference.
  private(set) var contradiction: FormatError?
  private let folder: String
  private let isExact: Bool
  private let hasCaseOperators: Bool
  private let name: String
  private let recorded: DataManifest.Split
  private var documents = 0
  /// Documents that do not decode to the recorded text.
  private var changed = 0

  init(
    _ folder: DataFolder, _ name: String, _ recorded: DataManifest.Split,
    _ shards: [DataManifest.ShardFile]
  ) {
    self.folder = folder.path
    isExact = folder.tokenizer.isExact
    hasCaseOperators = folder.tokenizer.hasCaseOperators
    (self.name, self.recorded) = (name, recorded)
    compare(shards, recorded.shards)
  }

  /// Compares the files of the byte sidecar.
  mutating func compare(sidecar: [DataManifest.ShardFile]) { compare(sidecar, recorded.sidecar) }

  private mutating func compare(
    _ shards: [DataManifest.ShardFile], _ recorded: [DataManifest.ShardFile]
  ) {
    guard contradiction == nil,
      let (found, wanted) = zip(shards, recorded).first(where: { $0 != $1 })
    else { return }
    contradiction = FormatError(
      .corrupt, file: "\(folder)/\(found.name)", field: "SHA-256",
      "found \(found.sha256), \(DataManifest.fileName) says \(wanted.sha256); the shard was damaged "
        + "or changed: copy it again, or make the folder again with 'graphc data prepare'")
  }

  /// Compares the next document: its tokens, the bytes it decodes to and their digest without white
  /// space at the ends, and its bytes by the byte table.
  ///
  /// A tokenizer that loses text may give other bytes for as many documents as the manifest says.
  mutating func add(tokens: Int, bytes: Int, tableBytes: Int, _ digest: [UInt8]) {
    defer { documents += 1 }
    guard contradiction == nil else { return }
    guard documents < recorded.documents, recorded.documentTokens[documents] == tokens else {
      return differ(
        "\(tokens) tokens",
        documents < recorded.documents ? "\(recorded.documentTokens[documents])" : "there is none")
    }
    let (wantedBytes, wantedHash) = (
      recorded.documentBytes[documents], recorded.documentHashes[documents]
    )
    // A tokenizer that normalises may leave bytes out, at the ends, but invents none.
    if hasCaseOperators, name == "validation", tableBytes > wantedBytes {
      return differ("\(tableBytes) bytes by the sidecar", "\(wantedBytes)")
    }
    if bytes == wantedBytes, digest.hex == wantedHash {
      if isExact && tableBytes != bytes {
        differ("\(tableBytes) bytes by the byte table", "\(bytes)")
      }
      return
    }
    changed += 1
    if isExact || changed > recorded.lossyDocuments {
      differ(
        "a text of \(bytes) bytes with SHA-256 \(digest.hex)",
        "\(wantedBytes) bytes and \(wantedHash)")
    }
  }

  /// Compares the sums.
  mutating func finish(_ split: DataEvidence.Split) {
    guard contradiction == nil,
      split.documents != recorded.documents || split.tableBytes != recorded.tableBytes
        || split.unknownTokens != recorded.unknownTokens
    else { return }
    contradiction = FormatError(
      .corrupt, file: folder,
      "the \(name) shards hold \(split.documents) documents of \(split.tableBytes) bytes by the byte "
        + "table with \(split.unknownTokens) unknown tokens; \(DataManifest.fileName) says "
        + "\(recorded.documents), \(recorded.tableBytes) and \(recorded.unknownTokens); "
        + ManifestComparison.wayOut)
  }

  private static let wayOut =
    "tokenizer, shards and manifest do not belong together: make the folder again with "
    + "'graphc data prepare'"

  private mutating func differ(_ found: String, _ wanted: String) {
    contradiction = FormatError(
      .corrupt, file: folder, field: "\(name) document \(documents + 1)",
      "it has \(found), \(DataManifest.fileName) says \(wanted); \(ManifestComparison.wayOut)")
  }
}
