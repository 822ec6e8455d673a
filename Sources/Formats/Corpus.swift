// SPDX-License-Identifier: Apache-2.0
// The input files of a data folder, checked and cut into documents.

/// Text files and their documents.
struct Corpus {
  let sources: [DataManifest.Source]
  /// One in so many documents is held out; 0 is none.
  let oneIn: Int
  private let files: [OpenFile]
  private let documents: [TextDocument]

  /// Opens texts in the order of their paths' bytes; refuses what is not UTF-8.
  init(_ paths: [String], oneIn: Int, _ progress: (String) -> Void) throws(FormatError) {
    var files: [OpenFile] = []
    var hashes: [String] = []
    var documents: [TextDocument] = []
    for path in paths.sortedByBytes() {
      guard files.last?.path != path else {
        throw FormatError(.usage, file: path, "the file is named twice")
      }
      let file = try OpenFile(path)
      let text = try file.bytes(0..<file.count)
      if let offset = text.withUnsafeBytes({ firstInvalidUTF8($0) }) {
        throw FormatError(
          .corrupt, file: path, offset: offset,
          "this is not valid UTF-8 text; convert it, for example with: iconv -f LATIN1 -t UTF-8")
      }
      if file.count == 0 { progress("\(path) is empty and skipped") }
      let ranges = paths.count == 1 ? text.withUnsafeBytes { Documents.cut($0) } : [0..<file.count]
      documents += ranges.filter { !$0.isEmpty }.map {
        TextDocument(source: files.count, range: $0)
      }
      files.append(file)
      hashes.append(SHA256.hex(text))
    }
    guard !documents.isEmpty else { throw FormatError(.usage, "all given texts are empty") }
    guard oneIn == 0 || documents.count > 1 else {
      throw FormatError(
        .usage, file: files.first?.path,
        "there is 1 document, but one must be held out: give a longer text (a single file is cut "
          + "at blank lines into documents of \(Documents.smallest) bytes or more), several files, "
          + "or a validation share of 0")
    }
    (self.files, self.documents, self.oneIn) = (files, documents, oneIn)
    var splits = Array(repeating: "none", count: files.count)
    for (number, document) in documents.enumerated() {
      let isHeldOut = Documents.isHeldOut(number, of: documents.count, oneIn: oneIn)
      let split = isHeldOut ? "validation" : "train"
      let seen = splits[document.source]
      splits[document.source] = seen == "none" || seen == split ? split : "both"
    }
    var sources: [DataManifest.Source] = []
    for (index, file) in files.enumerated() {
      sources.append(
        DataManifest.Source(
          name: Folder.name(of: file.path), sha256: hashes[index], bytes: file.count,
          split: splits[index]))
    }
    self.sources = sources
  }

  /// Documents of one split in order.
  func documents(heldOut: Bool) -> [TextDocument] {
    documents.enumerated().filter {
      Documents.isHeldOut($0.offset, of: documents.count, oneIn: oneIn) == heldOut
    }.map(\.element)
  }

  /// Bytes of a document.
  func text(_ document: TextDocument) throws(FormatError) -> [UInt8] {
    try files[document.source].bytes(document.range)
  }
}

/// Writes tokens to shards of bounded size: PREFIX000000.bin, PREFIX000001.bin, ...
struct ShardWriter {
  let folder: String
  let prefix: String
  let capacity: Int
  private var tokens: [UInt16] = []
  private var shards: [DataManifest.ShardFile] = []

  init(folder: String, prefix: String, capacity: Int) {
    precondition(capacity > 0, "a shard holds at least one token")
    (self.folder, self.prefix, self.capacity) = (folder, prefix, capacity)
  }

  mutating func append(_ more: [UInt16]) throws(FormatError) {
    tokens += more
    while tokens.count >= capacity {
      try write(Array(tokens[..<capacity]))
      tokens.removeFirst(capacity)
    }
  }

  /// Writes the rest and returns all shards.
  mutating func finish() throws(FormatError) -> [DataManifest.ShardFile] {
    if !tokens.isEmpty { try write(tokens) }
    tokens = []
    return shards
  }

  private mutating func write(_ tokens: [UInt16]) throws(FormatError) {
    let digits = String(shards.count)
    let number = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    let name = "\(prefix)\(number).bin"
    let hash = try Shard.write("\(folder)/\(name)", tokens)
    shards.append(DataManifest.ShardFile(name: name, tokens: tokens.count, sha256: hash))
  }
}
