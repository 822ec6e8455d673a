// SPDX-License-Identifier: Apache-2.0
// Second moments of what a model's matrices multiply, taken from training text.

import Formats
import IR

/// How the inputs of a model's matrices vary together: Σ x xᵀ over the tokens of a text.
public struct SecondMoments: Sendable {
  /// Tokens that were read.
  public let tokens: Int
  /// [k, k] each. Matrices that multiply the same values have one place among them.
  let sums: [[Float]]
  private let places: [String: Int]

  init(tokens: Int, sums: [[Float]], places: [String: Int]) {
    (self.tokens, self.sums, self.places) = (tokens, sums, places)
  }

  /// Where the moments of a matrix's inputs stand in `sums`; nil if no node multiplies it as it is.
  func place(of path: String) -> Int? { places[path] }

  /// The moments [k, k] of what a matrix [n, k] multiplies; nil if no node multiplies it as it is.
  public subscript(_ path: String) -> [Float]? { places[path].map { sums[$0] } }
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
    let outputs = executable.function.outputs.compactMap { output in
      Port.momentPath(output.name).map { (path: $0, values: executable.output(output.name)) }
    }
    // Outputs of one value lie in one place, and are summed once.
    var distinct: [UnsafeMutableBufferPointer<Float>] = []
    var places: [String: Int] = [:]
    for output in outputs {
      let known = distinct.firstIndex { $0.baseAddress == output.values.baseAddress }
      places[output.path] = known ?? distinct.count
      if known == nil { distinct.append(output.values) }
    }
    var sums = distinct.map { [Float](repeating: 0, count: $0.count) }
    let passes = (max(tokens, 1) + sizes.count - 1) / sizes.count
    for pass in 0..<passes {
      try targets.withUnsafeMutableBufferPointer { targets throws(FormatError) in
        try reader.load(ids: executable.ids([sizes.rows, sizes.seq]), targets: targets)
      }
      executable.run()
      for (place, values) in distinct.enumerated() {
        sums[place].withUnsafeMutableBufferPointer { sum in
          for index in sum.indices { sum[index] += values[index] }
        }
      }
      try progress(Double(pass + 1) / Double(passes))
    }
    return SecondMoments(tokens: passes * sizes.count, sums: sums, places: places)
  }
}
