// SPDX-License-Identifier: Apache-2.0
// One pass over all shards of a folder: hashes, documents, bytes, and what both splits hold.

/// Reads the shards of a folder, document by document, and compares them with its manifest.
struct ShardExamination {
  /// The first contradiction between shards and manifest. Reading goes on, because whether both splits
  /// hold the same text is worth knowing all the same.
  private(set) var contradiction: FormatError?
  private let folder: DataFolder
  private var heldOut = HeldOutText()

  init(_ folder: DataFolder) { self.folder = folder }

  /// Validation documents that the training documents examined so far hold.
  var sharedDocuments: Int { heldOut.sharedDocuments }

  mutating func examineValidation() throws(FormatError) -> DataEvidence.Split? {
    let prefix = DataFolder.validationPrefix
    guard try folder.has(prefix) else { return nil }
    var heldOut = HeldOutText()
    let split = try examine(
      "validation", prefix, folder.manifest?.validation
    ) { text, digest in heldOut.add(Documents.trimmed(text), digest) }
    heldOut.finish()
    self.heldOut = heldOut
    return split
  }

  mutating func examineTraining() throws(FormatError) -> DataEvidence.Split? {
    let prefix = DataFolder.trainPrefix
    guard try folder.has(prefix) else { return nil }
    var heldOut = heldOut
    let split = try examine("training", prefix, folder.manifest?.train) {
      text, digest in
      heldOut.find(in: text, digest)
    }
    self.heldOut = heldOut
    return split
  }

  private mutating func examine(
    _ name: String, _ prefix: String, _ recorded: DataManifest.Split?,
    _ body: (_ text: [UInt8], _ digest: [UInt8]) -> Void
  ) throws(FormatError) -> DataEvidence.Split {
    let folder = folder
    let stream = try folder.shards(prefix)
    var split = DataEvidence.Split(
      shards: try ShardExamination.hashes(stream.shardFiles), content: "")
    var comparison = recorded.map { ManifestComparison(folder, name, $0, split.shards) }
    if contradiction == nil {
      contradiction = recorded?.contradiction(to: stream, of: folder.path, prefix)
    }
    let sidecar = prefix == DataFolder.validationPrefix ? try folder.sidecar() : nil
    if let sidecar {
      split.sidecar = try ShardExamination.hashes(sidecar.shardFiles)
      split.sidecarContent = try sidecar.contentHash()
    }
    comparison?.compare(sidecar: split.sidecar)
    if contradiction == nil { contradiction = comparison?.contradiction }
    var content = Hasher256()
    var cutter = DocumentCutter(bos: UInt16(folder.tokenizer.bos))
    func document(_ tokens: [UInt16]) throws(FormatError) {
      let text = folder.tokenizer.decode(tokens)
      let digest = SHA256.digest(Documents.trimmed(text))
      var tableBytes = folder.byteTable.bytes(of: tokens)
      if folder.tokenizer.hasCaseOperators {
        let counts = try sidecar?.read(split.tokens..<split.tokens + tokens.count)
        if contradiction == nil, let counts {
          contradiction = folder.contradiction(
            counts, of: tokens, document: split.documents + 1)
        }
        tableBytes = counts?.reduce(0) { $0 + Int($1) } ?? text.count
      }
      body(text, digest)
      comparison?.add(tokens: tokens.count, bytes: text.count, tableBytes: tableBytes, digest)
      split.documents += 1
      split.tokens += tokens.count
      split.tableBytes += tableBytes
      split.textBytes += text.count
      split.unknownTokens += tokens.count { folder.tokenizer.type(Int($0)) == .unknown }
    }
    try stream.forEachBlock { (tokens) throws(FormatError) in
      content.update(tokens: tokens)
      try cutter.add(tokens, document)
    }
    try cutter.finish(document)
    split.content = content.hex()
    comparison?.finish(split)
    if contradiction == nil { contradiction = comparison?.contradiction }
    return split
  }

  /// Hashes of whole files, as many at once as there are processors.
  private static func hashes(
    _ files: [(path: String, tokens: Int)]
  ) throws(FormatError) -> [DataManifest.ShardFile] {
    try concurrently(files) { (file) throws(FormatError) in
      DataManifest.ShardFile(
        name: Folder.name(of: file.path), tokens: file.tokens,
        sha256: try SHA256.hex(file: file.path))
    }
  }
}

/// Cuts a stream that arrives in blocks before each begin-of-document token.
struct DocumentCutter {
  let bos: UInt16
  private var document: [UInt16] = []

  init(bos: UInt16) { self.bos = bos }

  /// Gives each document that a later one in the block ends.
  mutating func add<Failure: Error>(
    _ block: [UInt16], _ body: ([UInt16]) throws(Failure) -> Void
  ) throws(Failure) {
    var rest = block[...]
    while let start = rest.dropFirst(document.isEmpty ? 1 : 0).firstIndex(of: bos) {
      document += rest[..<start]
      try body(document)
      document = [bos]
      rest = rest[(start + 1)...]
    }
    document += rest
  }

  /// Gives the last document.
  mutating func finish<Failure: Error>(
    _ body: ([UInt16]) throws(Failure) -> Void
  ) throws(Failure) {
    if !document.isEmpty { try body(document) }
    document = []
  }
}
