// SPDX-License-Identifier: Apache-2.0
// What predicts a stream of tokens and can learn from it. When it does which is decided elsewhere.

import Formats
import IR

/// A predictor with a state. The driver, `Adaptation`, owns the order of scores and updates; a learner
/// does one of them at a time and never looks beyond what it is told to read.
public protocol Learner: AnyObject {
  /// A stream begins: no update was made on it.
  func begin()

  /// The scorer that predicts with the state as it is.
  var scorer: Scorer { get }

  /// Learns from targets of the stream in `epochs` passes, at a multiple of the learning rates.
  /// `reads` hears which targets an update is about to read and may forbid it by throwing.
  func learn(
    _ targets: Range<Int>, of tokens: [Int32], rate: Double, epochs: Int,
    reads: (Range<Int>) throws -> Void
  ) throws -> [AdaptationUpdate]

  /// SHA-256 of everything that predictions depend on besides the tokens.
  func stateHash() -> String
}

/// What an update at test time showed of itself.
public struct AdaptationUpdate: Sendable, Equatable {
  /// The schedule's multiplier of the learning rates.
  public var rate: Double
  /// Before clipping.
  public var gradientNorm: Double
}

extension TTTSettings {
  /// The learner that the section declares, on `parameters`, which it changes: give it a copy.
  public func learner(
    _ functions: [PlanFunction], parameters: ParameterBlock, threads: Int
  ) throws -> any Learner {
    try WholeModelLearner(functions, settings: self, parameters: parameters, threads: threads)
  }
}

extension ParameterBlock {
  /// SHA-256 of the values' bytes.
  public func sha256() -> String {
    var hasher = Hasher256()
    hasher.update(UnsafeRawBufferPointer(start: memory.base, count: layout.bytes))
    return hasher.hex()
  }
}

/// A number that must be finite is not.
public struct NumericFailure: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
