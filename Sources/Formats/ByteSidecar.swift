// SPDX-License-Identifier: Apache-2.0
// Bytes that validation tokens stand for: by the byte table, or by the sidecar that says it token by token.

extension DataFolder {
  /// The byte sidecar, opened: a stream of bytes a token beside the validation tokens. nil where the byte
  /// table says it all.
  ///
  /// A tokenizer with case operators needs one, another may have none: which of the two counts must not
  /// hang on a file that happens to be there.
  public func sidecar() throws(FormatError) -> TokenStream? {
    let names = try TokenStream.names(in: path, prefix: DataFolder.sidecarPrefix)
    guard tokenizer.hasCaseOperators else {
      guard let name = names.first else { return nil }
      throw FormatError(
        .corrupt, file: "\(path)/\(name)",
        "a byte sidecar beside a tokenizer without case operators; name the tokenizer that the shards "
          + "were made with (--tokenizer FILE), or remove the sidecar")
    }
    guard !names.isEmpty else {
      throw FormatError(
        .notFound, file: path,
        "no \(DataFolder.sidecarPrefix)*.bin here, which says how many bytes each token stands for "
          + "where a tokenizer has case operators; copy it from where the shards came from, or make "
          + "the folder again with: graphc data prepare --case-ops")
    }
    let prefix = DataFolder.sidecarPrefix
    // Counts are no ids: each of 16 bits is possible.
    let stream = try shards(prefix, vocab: Vocabulary.mostPieces)
    let found = stream.paths.map { Folder.name(of: $0) }
    if let recorded = manifest?.validation.sidecar.map(\.name), recorded != found {
      throw FormatError(
        .corrupt, file: path,
        "found \(found.count) files \(prefix)*.bin, the manifest lists \(recorded.count); a file was "
          + "added or removed")
    }
    let tokens = try shards(DataFolder.validationPrefix).count
    guard stream.count == tokens else {
      throw FormatError(
        .corrupt, file: stream.paths[0],
        "the sidecar has bytes for \(stream.count) tokens, the validation shards hold \(tokens); they "
          + "do not belong together")
    }
    return stream
  }

  /// Bytes that validation tokens stand for, by token; `place` is that of the first one in the stream.
  ///
  /// By the byte table they depend on the token before: the first of `tokens` counts none then.
  public func bytes(ofValidation tokens: [UInt16], at place: Int) throws(FormatError) -> [UInt16] {
    if let sidecar = try sidecar() { return try sidecar.read(place..<place + tokens.count) }
    guard !tokens.isEmpty else { return [] }
    return [0]
      + zip(tokens.dropFirst(), tokens).map {
        UInt16(byteTable.bytes(target: Int($0), previous: Int($1)))
      }
  }

  /// What is wrong with the counts of a document in the sidecar, whatever the manifest says.
  func contradiction(_ counts: [UInt16], of tokens: [UInt16], document: Int) -> FormatError? {
    func error(_ index: Int, _ wanted: UInt16) -> FormatError {
      FormatError(
        .corrupt, file: path, field: "validation document \(document)",
        "the sidecar counts \(counts[index]) bytes at its token \(index), which stands for \(wanted); "
          + "shards and sidecar do not belong together: make the folder again with "
          + "'graphc data prepare'")
    }
    if let wanted = tokenizer.originalBytes(ofDocument: tokens) {
      return zip(counts, wanted).enumerated().first { $1.0 != $1.1 }.map { error($0, $1.1) }
    }
    let silent = tokens.indices.first {
      counts[$0] > 0 && tokenizer.type(Int(tokens[$0])) == .control
    }
    return silent.map { error($0, 0) }
  }
}
