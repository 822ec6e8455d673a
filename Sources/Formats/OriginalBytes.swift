// SPDX-License-Identifier: Apache-2.0
// From tokens back to the original documents: their bytes, their text, and whether splits overlap.

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
  /// Without loss that is the byte table's count. With loss it is known only for whole documents:
  /// nil when the range cuts one, or when there is no manifest. Begin-of-document tokens count 0.
  public func originalBytes(ofTargets targets: Range<Int>, in stream: TokenStream) -> Int? {
    guard let manifest, let documents = validationDocuments, targets.lowerBound >= 0,
      targets.upperBound <= stream.count
    else { return nil }
    if manifest.validation.lossyDocuments == 0, targets.lowerBound > 0, tokenizer.isExact {
      return byteTable.bytes(of: stream[targets.lowerBound - 1..<targets.upperBound])
    }
    var total = 0
    for document in documents {
      let text = document.tokens.dropFirst()
      let part = targets.clamped(to: text)
      if part.isEmpty { continue }
      guard part == text else { return nil }
      total += document.bytes
    }
    return total
  }

  /// The validation text decoded from its tokens, and whether that is known to be the original.
  public func validationText() throws(FormatError) -> (bytes: [UInt8], isOriginal: Bool) {
    let stream = try validation()
    var bytes: [UInt8] = []
    forEachDocument(of: stream) { bytes += tokenizer.decode($0.map(Int32.init)) }
    return (bytes, manifest?.validation.lossyDocuments == 0)
  }

  /// Number of validation documents that are also training documents; 0 proves them disjoint.
  ///
  /// With a manifest the hashes of the original documents are compared, else those of the tokens.
  public func verifyDisjoint() throws(FormatError) -> Int {
    if let manifest {
      let seen = Set(manifest.train.documentHashes)
      return manifest.validation.documentHashes.count { seen.contains($0) }
    }
    var held: [[UInt8]: Int] = [:]
    forEachDocument(of: try validation()) { held[DataFolder.hash($0), default: 0] += 1 }
    var duplicates = 0
    forEachDocument(of: try train()) { tokens in
      duplicates += held.removeValue(forKey: DataFolder.hash(tokens)) ?? 0
    }
    return duplicates
  }

  /// Gives the tokens of each document in turn, begin-of-document token first.
  func forEachDocument(of stream: TokenStream, _ body: ([UInt16]) -> Void) {
    var document: [UInt16] = []
    stream.forEachBlock { block in
      var rest = block[...]
      while let start = rest.dropFirst(document.isEmpty ? 1 : 0).firstIndex(
        of: UInt16(tokenizer.bos))
      {
        body(document + rest[..<start])
        document = [rest[start]]
        rest = rest[(start + 1)...]
      }
      document += rest
    }
    if !document.isEmpty { body(document) }
  }

  private static func hash(_ tokens: [UInt16]) -> [UInt8] {
    SHA256.digest(tokens.withUnsafeBytes { Array($0) })
  }
}
