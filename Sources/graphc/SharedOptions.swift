// SPDX-License-Identifier: Apache-2.0
// Options that several commands have, each with what it means.

import ArgumentParser
import Formats
import IR
import Runtime

struct ThreadOptions: ParsableArguments {
  @Option(help: "Threads; the results do not depend on it. Default: all processors.")
  var threads: Int?

  /// The threads to use. Initialises the kernels.
  func resolved() throws -> Int {
    _ = try Host.machine()
    guard let threads else { return Machine.processors }
    guard (1...1024).contains(threads) else {
      throw Failure.usage("--threads takes a number from 1 to 1024, found \(threads)")
    }
    return threads
  }
}

/// The precision of products and attention, as the command line names it.
enum PrecisionChoice: String, ExpressibleByArgument, CaseIterable {
  case auto, f32, bf16

  static let help: ArgumentHelp =
    "Products and attention: f32, bf16, or auto: bf16 where the machine has it."

  /// What it means on this machine. bf16 needs dot products of bf16: elsewhere f32 is faster.
  func resolved() throws -> ComputePrecision {
    let isa = try Host.machine().isa
    let isFast = isa == "avx512bf16"
    if self == .bf16 && !isFast {
      throw Failure.usage(
        "--precision bf16 needs avx512bf16, this machine has \(isa), where f32 is faster")
    }
    return self == .f32 || !isFast ? .f32 : .bf16
  }
}

struct PrecisionOptions: ParsableArguments {
  @Option(help: PrecisionChoice.help)
  var precision: PrecisionChoice = .auto
}

struct TokenizerOptions: ParsableArguments {
  @Option(help: "Tokenizer of the shards, for folders that hold none.")
  var tokenizer: String?
}

struct ValidationOptions: ParsableArguments {
  @Option(help: "Evaluate only this many tokens: a quick look, not a score.")
  var validationTokens: Int?

  /// Targets to evaluate; nil: all.
  func limit() throws -> Int? {
    if let validationTokens, validationTokens < 1 {
      throw Failure.usage("--validation-tokens takes a number from 1, found \(validationTokens)")
    }
    return validationTokens
  }
}

struct JSONOptions: ParsableArguments {
  @Flag(help: "Print the result as one JSON document.")
  var json = false
}
