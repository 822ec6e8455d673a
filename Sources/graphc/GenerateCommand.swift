// SPDX-License-Identifier: Apache-2.0
// graphc generate: text from an artifact.

import ArgumentParser
import Formats
import IR
import Passes
import Runtime

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a text with an artifact.",
    discussion: """
      Prints the prompt and what follows. Equal seeds give equal texts, whatever the threads; \
      temperature 0 always takes the likeliest token.

      Example: graphc generate runs/tiny/artifact.gca --data data --prompt 'The '
      """)

  @Argument(help: "The artifact.")
  var artifact: String

  @Option(help: "Folder of token shards whose tokenizer is used.")
  var data: String?

  @OptionGroup var tokenizing: TokenizerOptions

  @Option(help: "The text to continue; empty begins a document.")
  var prompt = ""

  @Option(help: "Most tokens to generate.")
  var tokens = 100

  @Option(help: "Above 1: more varied; below 1: more likely; 0: the likeliest.")
  var temperature = 0.8

  @Option(help: "Seed of the random numbers.")
  var seed: UInt64 = 1

  @OptionGroup var compute: PrecisionOptions

  @OptionGroup var threading: ThreadOptions

  mutating func run() throws {
    guard tokens >= 0 else {
      throw Failure.usage("--tokens takes a number from 0, found \(tokens)")
    }
    guard temperature >= 0, temperature.isFinite else {
      throw Failure.usage("--temperature takes a number from 0, found \(temperature)")
    }
    let threads = try threading.resolved()
    let tokenizer = try loadTokenizer()
    let loaded = try PackedArtifact(artifact)
    try checkVocabulary(loaded.model, tokenizer, of: tokenizing.tokenizer ?? data ?? "")
    guard
      let window = loaded.model.settings.evaluate.first?.window ?? loaded.model.settings.ttt?.window
    else {
      throw Failure(
        exitCode: 3, message: "error: \(artifact) declares no evaluation, so its window is unknown")
    }
    let parameters = try loaded.parameters()
    let function = try compileFunction(
      .logits, TokenSizes(rows: 1, seq: window), of: loaded.model,
      target: Host.target(compute.precision))
    let shortage = MemoryShortage(
      "a window of \(window)",
      needed: parameters.layout.bytes + function.memoryBytes(threads: threads), rows: 1
    ) { _ in 0 }
    if let shortage { throw shortage.failure }
    let generator = try Generator(function, parameters: parameters, threads: threads)

    var ids = try tokenizer.encodeDocument(Array(prompt.utf8))
    var printed = 0
    func printNew() throws {
      let text = tokenizer.decode(ids)
      try printOutput(bytes: text[printed...])
      printed = text.count
    }
    try printNew()
    try generator.generate(
      after: ids, tokens: tokens, temperature: temperature, seed: seed
    ) { id in
      // A control token ends the document.
      if tokenizer.type(Int(id)) == .control { return false }
      ids.append(id)
      try printNew()
      return true
    }
    try printOutput("")
  }

  private func loadTokenizer() throws -> Tokenizer {
    if let path = tokenizing.tokenizer { return try Tokenizer(path: path) }
    guard let data else {
      throw Failure.usage("the tokens need a tokenizer: give --data DIR or --tokenizer FILE")
    }
    return try DataFolder.open(data).tokenizer
  }
}
