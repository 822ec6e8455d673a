// SPDX-License-Identifier: Apache-2.0
// Second moments of what a model's matrices multiply, taken from training text.

import Formats
import IR

/// How the inputs of a model's matrices vary together: Σ x xᵀ over the tokens of a text.
public struct SecondMoments: Sendable {
  /// Tokens that were read.
  public let tokens: Int
  /// [k, k] by the path of a matrix [n, k]. Matrices that multiply the same values share an array.
  fileprivate let sums: [String: [Float]]

  /// The moments [k, k] of what a matrix multiplies; nil if no node multiplies it as it is.
  public subscript(_ path: String) -> [Float]? { sums[path] }
}

/// Runs a model over training text and sums up second moments. It is given a stream of training text: no
/// validation text is within its reach.
public struct Calibration {
  private let executable: Executable
  private let sizes: TokenSizes

  /// Loads the function `moments`, which was planned for these sizes.
  public init(
    _ function: PlanFunction, sizes: TokenSizes, parameters: ParameterBlock, threads: Int
  ) throws {
    executable = try Executable(function, parameters: parameters, threads: threads)
    self.sizes = sizes
  }

  /// Reads at least so many tokens, windows of the stream in a random order that the seed fixes.
  /// `progress` gets the part that is done.
  public func run(
    _ stream: TokenStream, tokens: Int, seed: UInt64, progress: (Double) throws -> Void = { _ in }
  ) throws -> SecondMoments {
    var reader = try BatchReader(
      stream, rows: sizes.rows, seq: sizes.seq, order: .shuffled, seed: seed)
    var targets = [Int32](repeating: 0, count: sizes.count)
    executable.prepareParameters()
    // Outputs of one value have one place; what lies there is summed once.
    var sums: [UnsafeMutablePointer<Float>: [Float]] = [:]
    let outputs = executable.function.outputs.compactMap { output in
      Port.momentPath(output.name).map { (path: $0, values: executable.output(output.name)) }
    }
    let passes = (max(tokens, 1) + sizes.count - 1) / sizes.count
    for pass in 0..<passes {
      try targets.withUnsafeMutableBufferPointer { targets throws(FormatError) in
        try reader.load(ids: executable.ids([sizes.rows, sizes.seq]), targets: targets)
      }
      executable.run()
      for place in Set(outputs.map(\.values.baseAddress!)) {
        let values = outputs.first { $0.values.baseAddress == place }!.values
        if sums[place] == nil {
          sums[place] = Array(values)
        } else {
          sums[place]!.withUnsafeMutableBufferPointer { sum in
            for index in sum.indices { sum[index] += values[index] }
          }
        }
      }
      try progress(Double(pass + 1) / Double(passes))
    }
    let byPath = outputs.map { ($0.path, sums[$0.values.baseAddress!]!) }
    return SecondMoments(
      tokens: passes * sizes.count, sums: Dictionary(uniqueKeysWithValues: byPath))
  }
}
