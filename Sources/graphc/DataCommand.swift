// SPDX-License-Identifier: Apache-2.0
// graphc data: text files to token shards, and what is in a folder of shards.

import ArgumentParser
import Formats
import IR

struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data",
    abstract: "Make or inspect a folder of token shards.",
    discussion: "Example: graphc data prepare --text book.txt --vocab 1024 --out data",
    subcommands: [DataPrepareCommand.self, DataInspectCommand.self])
}

struct DataPrepareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prepare",
    abstract: "Train a tokenizer and turn text files into token shards.",
    discussion: """
      Several files are one document each; a single file is cut into documents at blank lines. \
      The folder appears as a whole or not at all, and equal texts and settings give equal bytes.

      Tokenizers: one that is trained here (--vocab), 256 bytes and 4 special ids (--bytes), or a file \
      (--tokenizer). With --case-ops capital letters become small ones with operators before them, \
      and the bytes of the original text stand in a sidecar beside the validation shards.

      Example: graphc data prepare --text book.txt --vocab 1024 --out data
      """)

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "UTF-8 text files; - reads their names from standard input, one a line.", valueName: "file"))
  var text: [String]

  @Option(help: "Ids of the tokenizer to train. Default: 1024.")
  var vocab: Int?

  @Option(
    help: ArgumentHelp(
      "Use this instead of training one: a SentencePiece model, or a tokenizer.json of byte-pair "
        + "encoding.", valueName: "file"))
  var tokenizer: String?

  @Flag(help: "Use no tokenizer but the bytes: 260 ids.")
  var bytes = false

  @Flag(
    help: ArgumentHelp(
      "Train with case operators (CaseOps); with --tokenizer: the model has them."))
  var caseOps = false

  @Option(help: "Share of the documents to hold out, 0 to 0.5.")
  var validation = 0.05

  @Option(help: "The folder to make.")
  var out: String

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let preparation = DataPreparation(
      texts: files(), tokenizer: try source(), hasCaseOperators: caseOps, validation: validation,
      out: out)
    _ = try preparation.run(progress: printError)
    let facts = try DataFolder.open(out).inspect()
    try printOutput(form.json ? facts.json.text : facts.table(compressors: []))
  }

  private func source() throws -> DataPreparation.Source {
    if bytes {
      if tokenizer != nil || caseOps {
        throw Failure.usage(
          "--bytes is a tokenizer of its own: drop "
            + (tokenizer != nil ? "--tokenizer" : "--case-ops, whose operators are no bytes"))
      }
      try requireVocab(Tokenizer.bytes.vocabSize, of: "--bytes")
      return .bytes
    }
    guard let tokenizer else { return .trained(vocab: vocab ?? 1024) }
    if vocab != nil { try requireVocab(try Tokenizer(path: tokenizer).vocabSize, of: tokenizer) }
    return .file(tokenizer)
  }

  /// --vocab may say what a given tokenizer has anyway.
  private func requireVocab(_ size: Int, of tokenizer: String) throws {
    guard let vocab, vocab != size else { return }
    throw Failure.usage(
      "--vocab \(vocab): \(tokenizer) has a vocabulary of \(size); drop --vocab, or train another one"
    )
  }

  /// The named files, `-` replaced by the names on standard input.
  private func files() -> [String] {
    text.flatMap { name -> [String] in
      guard name == "-" else { return [name] }
      var names: [String] = []
      while let line = readLine() { if !line.isEmpty { names.append(line) } }
      return names
    }
  }
}

struct DataInspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what is in a folder of token shards.",
    discussion: """
      Every shard is read and compared with the manifest: hashes, documents, bytes, and whether both \
      splits hold the same text. Held-out text of up to 4 MB is also given to ordinary compressors.

      --text proves that the documents are those of the source files: their bytes are counted there, \
      by no tokenizer.

      Example: graphc data inspect data --text book.txt
      """)

  @Argument(help: "A folder of token shards.")
  var folder: String

  @OptionGroup var tokenizing: TokenizerOptions

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "The texts that the folder was made from: compare every document with them.",
      valueName: "file"))
  var text: [String] = []

  @OptionGroup var form: JSONOptions

  /// Longest text that the compressors get: about ten seconds of their time.
  private static let longestCompressed = 4_000_000

  mutating func run() throws {
    let data = try DataFolder.open(folder, tokenizer: tokenizing.tokenizer)
    let facts = try data.inspect()
    let compared = text.isEmpty ? nil : try data.verifyDocuments(against: text)
    var compressors: [CompressedText] = []
    if let validation = facts.validation, validation.tableBytes <= Self.longestCompressed {
      let text = try data.validationText().bytes
      compressors = ordinaryCompressors(text).map {
        CompressedText(name: $0.name, size: $0.size, original: text.count)
      }
    }
    guard form.json else {
      try printOutput(facts.table(compressors: compressors))
      if let compared {
        try printOutput(
          "\n\(counted(compared.documents, "document")) found in the given texts, byte for byte")
      }
      return
    }
    var document = facts.json.objectValue ?? [:]
    if let compared { document["compared_documents"] = .int(compared.documents) }
    document["compressors"] = .array(compressors.map(\.json))
    try printOutput(JSONValue.object(document).text)
  }
}

/// What a compressor made of the held-out text.
struct CompressedText {
  let name: String
  /// nil when it could not be run here.
  let size: Int?
  /// Bytes of the text.
  let original: Int

  var bitsPerByte: Double? { size.map { 8 * Double($0) / Double(max(original, 1)) } }

  var json: JSONValue {
    [
      "name": .string(name), "bytes": size.map(JSONValue.int) ?? .null,
      "text_bytes": .int(original), "bits_per_byte": bitsPerByte.map(JSONValue.double) ?? .null,
    ]
  }
}

extension DataInspection {
  /// The facts for people.
  func table(compressors: [CompressedText]) -> String {
    var lines = [
      "\(path): vocabulary of \(grouped(vocab)), \(bytePieces) byte pieces, "
        + (hasCaseOperators ? "case operators, " : "")
        + (isTokenizerExact ? "exact" : "not exact: some texts do not survive it"),
      "tokenizer \(tokenizer)",
      "",
    ]
    let splits = [("train", train), ("validation", validation)].compactMap { name, split in
      split.map { (name, $0) }
    }
    func row(_ name: String, _ value: (Split) -> String?) -> [String] {
      [name] + splits.map { value($0.1) ?? "unknown" }
    }
    let rows = [
      [""] + splits.map(\.0), row("documents") { grouped($0.documents) },
      row("tokens") { grouped($0.tokens) },
      row("bytes of the documents") { $0.originalBytes.map(grouped) },
      row("bytes by the \(hasCaseOperators ? "tokens" : "tokenizer")") { grouped($0.tableBytes) },
      row("bytes per token") { fixed($0.bytesPerToken, 3) },
      row("unknown tokens") { grouped($0.unknownTokens) },
      row("documents with loss") { $0.lossyDocuments.map(grouped) },
      row("shards") { grouped($0.shards) },
    ]
    lines += [textTable(rows, right: Set(1...2)), ""]
    if train == nil { lines.append("no training shards") }
    if validation == nil { lines.append("no validation shards") }
    lines.append(
      hasManifest ? counted(sources.count, "source file") : "no manifest: made by another program")
    if let duplicates {
      lines.append(
        duplicates == 0
          ? "no document is in both splits"
          : "\(counted(duplicates, "validation document")) also in the training data")
    }
    if !compressors.isEmpty {
      lines += ["", "held-out text, bits per byte"]
      let cells = compressors.map {
        [
          "  " + $0.name, $0.bitsPerByte.map { fixed($0, 4) } ?? "not found",
          $0.size.map { grouped($0) + " bytes" } ?? "",
        ]
      }
      lines.append(textTable(cells, right: [1, 2]))
    }
    return lines.joined(separator: "\n")
  }
}
