// SPDX-License-Identifier: Apache-2.0
// From tokens back to the original documents: their bytes and their text.

extension DataFolder {
  /// One validation document inside the stream.
  public struct DocumentSpan: Sendable, Equatable {
    /// Its tokens, begin-of-document token first.
    public let tokens: Range<Int>
    /// Bytes of the original document.
    public let bytes: Int
  }

  /// Bytes of all original validation documents; nil when the folder has no manifest.
  public var originalValidationBytes: Int? { manifest?.validation.bytes }

  /// The validation documents in stream order; nil when the folder has no manifest.
  public var validationDocuments: [DocumentSpan]? {
    guard let split = manifest?.validation else { return nil }
    var start = 0
    return zip(split.documentTokens, split.documentBytes).map { tokens, bytes in
      defer { start += tokens }
      return DocumentSpan(tokens: start..<start + tokens, bytes: bytes)
    }
  }

  /// Original bytes that a range of target positions of `stream`, the validation tokens, stands for.
  ///
  /// They do not come from byte table or sidecar: bytes of whole documents are those that were counted
  /// when the folder was made, bytes of a part are counted in the decoded text, where the tokenizer
  /// loses nothing. Else they are known for whole documents only: nil when the range cuts one, or when there
  /// is no manifest. Begin-of-document tokens count 0.
  public func originalBytes(
    ofTargets targets: Range<Int>, in stream: TokenStream
  ) throws(FormatError) -> Int? {
    guard let documents = validationDocuments, targets.lowerBound >= 0,
      targets.upperBound <= stream.count
    else { return nil }
    var total = 0
    for document in documents {
      let text = document.tokens.dropFirst()
      let part = targets.clamped(to: text)
      if part.isEmpty { continue }
      if part == text {
        total += document.bytes
      } else if tokenizer.isExact {
        total += try decodedBytes(of: part, in: document.tokens, stream)
      } else {
        return nil
      }
    }
    return total
  }

  /// Bytes that a part of a document decodes to. An operator may stand before the part, and a character
  /// may be cut: then its bytes are those of its last token, as in the sidecar.
  private func decodedBytes(
    of part: Range<Int>, in document: Range<Int>, _ stream: TokenStream
  ) throws(FormatError) -> Int {
    guard tokenizer.hasCaseOperators else { return tokenizer.decode(try stream.read(part)).count }
    let before = try stream.read(document.lowerBound..<part.upperBound)
    let bytes = tokenizer.originalBytes(ofDocument: before) ?? []
    return bytes.suffix(part.count).reduce(0) { $0 + Int($1) }
  }

  /// The validation text decoded from its tokens, and whether that is known to be the original.
  public func validationText() throws(FormatError) -> (bytes: [UInt8], isOriginal: Bool) {
    var bytes: [UInt8] = []
    var cutter = DocumentCutter(bos: UInt16(tokenizer.bos))
    try validation().forEachBlock { (block) throws(FormatError) in
      cutter.add(block) { bytes += tokenizer.decode($0) }
    }
    cutter.finish { bytes += tokenizer.decode($0) }
    return (bytes, manifest?.validation.lossyDocuments == 0)
  }
}

extension DataFolder {
  /// Compares the documents in the manifest with the texts that the folder was made from, in any order:
  /// hash and size of each file, and of each document its bytes and its SHA-256, counted in the text.
  ///
  /// With `evidence`, which ties the tokens to the manifest's documents, it proves how many bytes of
  /// which text the shards stand for; no tokenizer takes part in the count. Texts that are not UTF-8,
  /// too few or too many are `.usage` or `.corrupt` errors. Needs a manifest.
  public func verifyDocuments(
    against texts: [String]
  ) throws(FormatError) -> (documents: Int, validationBytes: Int) {
    guard let manifest else {
      throw FormatError(
        .usage, file: path, "the folder has no manifest, so its documents are not known")
    }
    let corpus = try Corpus(texts, oneIn: 0) { _ in }
    guard corpus.sources.count == manifest.sources.count else {
      throw FormatError(
        .usage, file: path,
        "the folder was made from \(manifest.sources.count) files, \(corpus.sources.count) are given"
      )
    }
    for source in corpus.sources
    where !manifest.sources.contains(where: {
      $0.sha256 == source.sha256 && $0.bytes == source.bytes
    }) {
      throw FormatError(
        .corrupt, file: source.name, field: "SHA-256",
        "found \(source.sha256), which is none of the files that \(path) was made from")
    }
    var known: [String: Set<Int>] = [:]
    for document in corpus.documents(heldOut: false) {
      let text = try corpus.text(document)
      known[Documents.hash(text), default: []].insert(text.count)
    }
    for (name, split) in [("training", manifest.train), ("validation", manifest.validation)] {
      for (index, hash) in split.documentHashes.enumerated()
      where known[hash]?.contains(split.documentBytes[index]) != true {
        throw FormatError(
          .corrupt, file: path, field: "\(name) document \(index + 1)",
          "\(DataManifest.fileName) says \(split.documentBytes[index]) bytes with SHA-256 \(hash); "
            + "the texts hold no such document")
      }
    }
    return (manifest.train.documents + manifest.validation.documents, manifest.validation.bytes)
  }
}
