// SPDX-License-Identifier: Apache-2.0
// From nll to bits per byte.

import Formats
import Glibc
import IR

/// A score: sums over the targets that were scored.
public struct Score: Sendable, Equatable {
  /// Σ nll in nats, summed in the order of the stream in double precision.
  public var nats: Double
  public var tokens: Int
  /// Bytes of the scored targets by the tokenizer's table.
  public var bytes: Int

  /// The same sum over every `EvaluationEvent.blockTargets` targets.
  public var blocks: [Double] = []

  public var bitsPerByte: Double { Runtime.bitsPerByte(nats, bytes) }
  public var nllPerToken: Double { nats / Double(max(tokens, 1)) }

  /// Sums that are known.
  init(nats: Double, tokens: Int, bytes: Int) {
    (self.nats, self.tokens, self.bytes) = (nats, tokens, bytes)
  }

  /// Sums the nll of a range of targets.
  public init(_ nll: [Float], targets: Range<Int>, tokens: [Int32], table: ByteTable) {
    nats = 0
    bytes = 0
    for (index, target) in targets.enumerated() {
      if index % EvaluationEvent.blockTargets == 0 { blocks.append(0) }
      nats += Double(nll[target])
      blocks[blocks.count - 1] += Double(nll[target])
      bytes += table.bytes(target: Int(tokens[target + 1]), previous: Int(tokens[target]))
    }
    self.tokens = targets.count
  }
}

/// The one formula: nats to bits, over bytes.
func bitsPerByte(_ nats: Double, _ bytes: Int) -> Double {
  nats / Glibc.log(2.0) / Double(max(bytes, 1))
}
