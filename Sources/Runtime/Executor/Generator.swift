// SPDX-License-Identifier: Apache-2.0
// Text generation: the logits of a window, a draw, and the window moves on.

import Formats
import Glibc
import IR

/// Draws tokens from a compiled `logits` function of one row.
public final class Generator {
  private let executable: Executable
  private let window: Int
  private let vocabulary: Int

  /// `function` maps tokens [1, window] to `logits` [1, window, vocabulary].
  public init(_ function: PlanFunction, parameters: ParameterBlock, threads: Int)
    throws(OutOfMemory)
  {
    guard let logits = function.outputs.first(where: { $0.name == Port.logits.name }) else {
      preconditionFailure("\(function.name) has no output logits")
    }
    precondition(function.inputs[0].type.sizes[0] == 1, "logits of one row are expected")
    executable = try Executable(function, parameters: parameters, threads: threads)
    window = function.inputs[0].type.sizes[1]
    vocabulary = logits.type.sizes[2]
    executable.prepareParameters()
  }

  /// Draws up to `tokens` tokens that follow `prompt`, which must not be empty; the model sees the
  /// last `window` of all. Temperature 0 takes the likeliest. Stops when `isAccepted` returns false.
  public func generate(
    after prompt: [Int32], tokens: Int, temperature: Double, seed: UInt64,
    _ isAccepted: (Int32) throws -> Bool
  ) throws {
    precondition(!prompt.isEmpty, "generation starts from a token")
    if let id = prompt.first(where: { $0 < 0 || $0 >= vocabulary }) {
      throw FormatError(
        .usage,
        "the prompt holds the token \(id), the model has a vocabulary of \(vocabulary); use the "
          + "tokenizer that it was trained with")
    }
    let random = RandomStream(seed: seed, path: "generate")
    var context = Array(prompt.suffix(window))
    for index in 0..<tokens {
      let logits = logits(after: context)
      guard logits.allSatisfy(\.isFinite) else {
        throw NumericFailure("the model's logits are not finite; the artifact is of no use")
      }
      let token =
        temperature > 0
        ? draw(logits, temperature, random.uniform(UInt64(index))) : likeliest(logits)
      guard try isAccepted(Int32(token)) else { return }
      context.append(Int32(token))
      if context.count > window { context.removeFirst() }
    }
  }

  /// The logits of the token behind `context`. Causality keeps the padding out of them.
  private func logits(after context: [Int32]) -> [Float] {
    let ids = executable.ids([1, window])
    for position in 0..<window { ids[position] = position < context.count ? context[position] : 0 }
    executable.run()
    let start = (context.count - 1) * vocabulary
    return Array(executable.output(.logits)[start..<(start + vocabulary)])
  }

  /// The first of the largest.
  private func likeliest(_ logits: [Float]) -> Int {
    logits.indices.reduce(0) { logits[$1] > logits[$0] ? $1 : $0 }
  }

  /// The token at the quantile `uniform` of softmax(logits / temperature).
  private func draw(_ logits: [Float], _ temperature: Double, _ uniform: Double) -> Int {
    let largest = Double(logits[likeliest(logits)])
    let weights = logits.map { exp((Double($0) - largest) / temperature) }
    var rest = uniform * weights.reduce(0, +)
    for (token, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return token }
    }
    return likeliest(logits)
  }
}
