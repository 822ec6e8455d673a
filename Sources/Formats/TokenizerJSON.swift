// SPDX-License-Identifier: Apache-2.0
// What stands in a tokenizer.json, as far as graphc can do what it asks for.

/// A tokenizer.json of byte-pair encoding, read and checked. Whatever would change ids and is not known
/// here is refused, with everything that is lacking in one message.
///
/// - Byte level: pieces are spelled in GPT-2's alphabet of bytes, words are GPT-2's, or none.
/// - Metaspace: a space is U+2581, by the pre-tokenizer or by a normaliser that replaces it.
/// - Neither: pieces are text.
struct TokenizerJSON: Sendable {
  /// When a U+2581 stands before a text.
  enum Prefix: Sendable { case never, always, unlessMarked, firstUnlessMarked }

  /// An added token that is matched in text before anything else.
  struct Symbol: Sendable {
    let text: [UInt8]
    let id: Int32
  }

  private(set) var vocabulary = Vocabulary([], unknownSurface: [], marksSpaces: false)
  private(set) var bos: Int32 = 0
  private(set) var isByteLevel = false
  private(set) var prefix = Prefix.never
  private(set) var splits: [WordSplit] = []
  private(set) var merges = BytePairMerges()
  /// Ids of the vocabulary by the bytes of their pieces.
  private(set) var ids: [[UInt8]: Int32] = [:]
  /// Added tokens that are no special ones, the longest first.
  private(set) var symbols: [Symbol] = []
  private(set) var unknown: Int32?
  private(set) var fusesUnknown = false
  private(set) var fallsBackToBytes = false
  private(set) var ignoresMerges = false

  private let file: String?
  private var marksSpaces = false
  /// What the file asks for and graphc has not.
  private var lacks: [String] = []

  init(_ document: JSONValue, file: String?) throws(FormatError) {
    self.file = file
    guard let model = document["model"], model.objectValue != nil else {
      throw FormatError(
        .corrupt, file: file, field: "model",
        "found none; this is JSON, but no tokenizer.json of Hugging Face's tokenizers")
    }
    readModel(model)
    readNormalizer(document["normalizer"])
    readPreTokenizer(document["pre_tokenizer"], isInner: false)
    readDecoder(document["decoder"])
    for key in ["truncation", "padding"] where !Self.isNull(document[key]) { lacks.append(key) }
    let added = try readAdded(document["added_tokens"])
    guard lacks.isEmpty else {
      throw FormatError(
        .usage, file: file,
        "graphc lacks what this tokenizer asks for: \(lacks.joined(separator: ", ")); it reads "
          + "byte-pair encoding of bytes (ByteLevel) or with marked spaces (Metaspace), without "
          + "normalisation; or use a SentencePiece model, or train a tokenizer with --vocab")
    }
    try readVocabulary(model, added)
    try readMerges(model["merges"])
    try readBegin(document["post_processor"], added)
  }

  private static func isNull(_ value: JSONValue?) -> Bool { value == nil || value == .null }

  private func corrupt(_ field: String, _ message: String) -> FormatError {
    FormatError(.corrupt, file: file, field: field, message)
  }

  // MARK: Settings

  private mutating func readModel(_ model: JSONValue) {
    // Files of the first versions name no type.
    let type = model["type"]?.stringValue ?? (model["merges"] == nil ? "without a type" : "BPE")
    if type != "BPE" { lacks.append("a model \(type)") }
    if let dropout = model["dropout"]?.doubleValue, dropout != 0 { lacks.append("dropout") }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let text = model[key]?.stringValue, !text.isEmpty { lacks.append("\(key) '\(text)'") }
    }
    fusesUnknown = model["fuse_unk"]?.boolValue ?? false
    fallsBackToBytes = model["byte_fallback"]?.boolValue ?? false
    ignoresMerges = model["ignore_merges"]?.boolValue ?? false
  }

  private mutating func readNormalizer(_ normalizer: JSONValue?) {
    guard let normalizer, normalizer != .null else { return }
    for step in Self.steps(normalizer, "normalizers") {
      switch step["type"]?.stringValue {
      case "Prepend" where step["prepend"]?.stringValue == "\u{2581}": prefix = .always
      case "Replace" where step["pattern"]?["String"] == " " && step["content"] == "\u{2581}":
        marksSpaces = true
      default: lacks.append("a normalizer \(Self.name(step))")
      }
    }
    if prefix == .always && !marksSpaces { lacks.append("a normalizer Prepend without Replace") }
  }

  private mutating func readPreTokenizer(_ tokenizer: JSONValue?, isInner: Bool) {
    guard let tokenizer, tokenizer != .null else { return }
    switch tokenizer["type"]?.stringValue {
    case "Sequence" where !isInner:
      for step in Self.steps(tokenizer, "pretokenizers") {
        readPreTokenizer(step, isInner: true)
      }
    case "ByteLevel" where !marksSpaces:
      isByteLevel = true
      if tokenizer["add_prefix_space"]?.boolValue != false {
        lacks.append("ByteLevel with add_prefix_space, which adds a byte to the text")
      }
      if tokenizer["use_regex"]?.boolValue ?? true { splits.append(.gpt2) }
    case "Digits" where !isByteLevel:
      splits.append(.digits(individual: tokenizer["individual_digits"]?.boolValue ?? false))
    case "Metaspace"
    where !isInner && !marksSpaces && tokenizer["replacement"]?.stringValue == "\u{2581}":
      marksSpaces = true
      // Older files say only whether.
      let old = tokenizer["add_prefix_space"]?.boolValue == false ? "never" : "always"
      switch tokenizer["prepend_scheme"]?.stringValue ?? old {
      case "never": prefix = .never
      case "first": prefix = .firstUnlessMarked
      case "always": prefix = .unlessMarked
      case let other: lacks.append("a prepend_scheme \(other)")
      }
      if tokenizer["split"]?.boolValue ?? true { splits.append(.spaceMarks) }
    default: lacks.append("a pre_tokenizer \(Self.name(tokenizer))")
    }
  }

  /// The decoder must only undo what was read so far.
  private mutating func readDecoder(_ decoder: JSONValue?) {
    let steps = Self.isNull(decoder) ? [] : Self.steps(decoder ?? .null, "decoders")
    for step in steps {
      switch step["type"]?.stringValue {
      case "ByteLevel" where isByteLevel: break
      case "Metaspace" where marksSpaces: break
      case "Replace" where marksSpaces && step["content"] == " ": break
      case "ByteFallback" where fallsBackToBytes: break
      case "Fuse": break
      case "Strip" where marksSpaces && step["content"] == " " && step["stop"] == 0: break
      default: lacks.append("a decoder \(Self.name(step))")
      }
    }
    let names = Set(steps.compactMap { $0["type"]?.stringValue })
    if isByteLevel && !names.contains("ByteLevel") { lacks.append("ByteLevel without its decoder") }
    if marksSpaces && names.isDisjoint(with: ["Metaspace", "Replace"]) {
      lacks.append("marked spaces without their decoder")
    }
  }

  /// The members of a Sequence, or the value itself.
  private static func steps(_ value: JSONValue, _ key: String) -> [JSONValue] {
    value["type"] == "Sequence" ? value[key]?.arrayValue ?? [] : [value]
  }

  private static func name(_ value: JSONValue) -> String {
    value["type"]?.stringValue ?? "without a type"
  }

  // MARK: Tokens

  private struct Added {
    let id: Int
    let text: String
    let isSpecial: Bool
  }

  private mutating func readAdded(_ list: JSONValue?) throws(FormatError) -> [Added] {
    guard !Self.isNull(list) else { return [] }
    guard let list = list?.arrayValue else { throw corrupt("added_tokens", "it is no list") }
    var added: [Added] = []
    for (index, token) in list.enumerated() {
      guard let id = token["id"]?.intValue, let text = token["content"]?.stringValue,
        !text.isEmpty, (0...1 << 30).contains(id)
      else { throw corrupt("added_tokens", "token \(index) has no id or no content") }
      let isSpecial = token["special"]?.boolValue ?? false
      added.append(Added(id: id, text: text, isSpecial: isSpecial))
      if isSpecial { continue }
      for key in ["single_word", "lstrip", "rstrip"] where token[key] == true {
        lacks.append("\(key) of the added token '\(text)'")
      }
      if marksSpaces && token["normalized"] != false && text.contains(" ") {
        lacks.append("spaces in the added token '\(text)'")
      }
    }
    return added
  }

  private mutating func readVocabulary(
    _ model: JSONValue, _ added: [Added]
  ) throws(FormatError) {
    guard let entries = model["vocab"]?.objectValue else {
      throw corrupt("model.vocab", "found none")
    }
    let size = 1 + (entries.values.compactMap(\.intValue) + added.map(\.id)).reduce(-1, max)
    guard size <= Vocabulary.mostPieces else {
      throw FormatError(
        .usage, file: file,
        "the tokenizer has \(size) ids, shards hold \(Vocabulary.mostPieces) at most (16 bits a token); "
          + "use a smaller one, or train one with --vocab")
    }
    var pieces = [Vocabulary.Piece?](repeating: nil, count: size)
    let unknownText = model["unk_token"]?.stringValue
    let addedIds = Set(added.map(\.id))
    for (text, value) in entries {
      guard let id = value.intValue, id >= 0, pieces[id] == nil else {
        throw corrupt("model.vocab", "the id of '\(text)' is no number, or that of another piece")
      }
      let bytes = try bytes(of: text, isAdded: addedIds.contains(id))
      ids[bytes] = Int32(id)
      pieces[id] = piece(text, bytes, isUnknown: text == unknownText)
    }
    for token in added {
      let bytes = Array(token.text.utf8)
      if token.text == unknownText || token.isSpecial { ids[bytes] = nil }
      pieces[token.id] = Vocabulary.Piece(
        text: bytes,
        type: token.text == unknownText ? .unknown : token.isSpecial ? .control : .userDefined)
      if !token.isSpecial { symbols.append(Symbol(text: bytes, id: Int32(token.id))) }
    }
    symbols.sort { $0.text.count > $1.text.count }
    unknown = pieces.firstIndex { $0?.type == .unknown }.map(Int32.init)
    if let hole = pieces.firstIndex(where: { $0 == nil }) {
      throw corrupt("model.vocab", "no piece has id \(hole), the largest is \(size - 1)")
    }
    guard unknownText == nil || unknown != nil else {
      throw corrupt("model.unk_token", "'\(unknownText ?? "")' is no piece")
    }
    vocabulary = Vocabulary(
      pieces.compactMap { $0 }, unknownSurface: Array("\u{fffd}".utf8), marksSpaces: marksSpaces)
  }

  private func piece(_ text: String, _ bytes: [UInt8], isUnknown: Bool) -> Vocabulary.Piece {
    if isUnknown { return Vocabulary.Piece(text: bytes, type: .unknown) }
    if isByteLevel, bytes.count == 1 { return Vocabulary.bytePiece(bytes[0]) }
    if fallsBackToBytes, Vocabulary.byteValue(bytes) != nil {
      return Vocabulary.Piece(text: bytes, type: .byte)
    }
    return Vocabulary.Piece(text: bytes, type: .normal)
  }

  /// The bytes that a piece of the vocabulary is matched by.
  private func bytes(of text: String, isAdded: Bool) throws(FormatError) -> [UInt8] {
    guard isByteLevel, !isAdded else { return Array(text.utf8) }
    var bytes: [UInt8] = []
    for scalar in text.unicodeScalars {
      guard let byte = Self.byteAlphabet[scalar] else {
        throw corrupt(
          "model.vocab", "'\(text)' is not spelled in the byte alphabet that ByteLevel promises")
      }
      bytes.append(byte)
    }
    return bytes
  }

  /// GPT-2's letters of bytes: those that print stand for themselves, the others for U+0100 onwards.
  private static let byteAlphabet: [Unicode.Scalar: UInt8] = {
    var alphabet: [Unicode.Scalar: UInt8] = [:]
    var next: UInt32 = 0x100
    for byte in UInt8.min...UInt8.max {
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: alphabet[Unicode.Scalar(byte)] = byte
      default:
        if let scalar = Unicode.Scalar(next) { alphabet[scalar] = byte }
        next += 1
      }
    }
    return alphabet
  }()

  /// Merges are written "a b", or ["a", "b"].
  private mutating func readMerges(_ list: JSONValue?) throws(FormatError) {
    guard let list = list?.arrayValue else { throw corrupt("model.merges", "found none") }
    for (index, merge) in list.enumerated() {
      // By scalars: a combining mark behind the space would make one character of both.
      let pair =
        merge.arrayValue.map { $0.compactMap(\.stringValue) }
        ?? merge.stringValue.map {
          $0.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        } ?? []
      guard pair.count == 2 else {
        throw corrupt("model.merges", "merge \(index) is no pair: \(merge.text)")
      }
      let (left, right) = (
        try bytes(of: pair[0], isAdded: false), try bytes(of: pair[1], isAdded: false)
      )
      guard let first = ids[left], let second = ids[right], let merged = ids[left + right] else {
        throw corrupt(
          "model.merges", "merge \(index), \(merge.text), is of pieces that the vocabulary lacks")
      }
      merges.add(first, second, becomes: merged)
    }
  }

  /// Names under which tokenizers have a token that begins documents, the plainest first. GPT-2's
  /// <|endoftext|> stands between documents, so it begins them too.
  private static let beginNames = [
    "<s>", "<bos>", "[BOS]", "<|bos|>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>",
  ]

  private mutating func readBegin(_ processor: JSONValue?, _ added: [Added]) throws(FormatError) {
    let special = added.filter(\.isSpecial)
    let first = processor?["single"]?.arrayValue?.first?["SpecialToken"]?["id"]?.stringValue
    let names = (first.map { [$0] } ?? []) + Self.beginNames
    let found = names.lazy.compactMap { name in special.first { $0.text == name } }.first
    guard let found, vocabulary.pieces[found.id].type == .control else {
      throw FormatError(
        .usage, file: file, field: "added_tokens",
        "no special token begins a document, which graphc needs; add one, such as <s>")
    }
    bos = Int32(found.id)
  }
}
