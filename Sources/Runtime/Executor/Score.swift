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
  /// Bytes of the scored targets by the tokenizer's table or the data's sidecar.
  public var bytes: Int

  /// The same sum over every `EvaluationEvent.blockTargets` targets.
  public var blocks: [Double] = []

  public var bitsPerByte: Double { Runtime.bitsPerByte(nats, bytes) }
  public var nllPerToken: Double { nats / Double(max(tokens, 1)) }

  /// Sums that are known.
  init(nats: Double, tokens: Int, bytes: Int) {
    (self.nats, self.tokens, self.bytes) = (nats, tokens, bytes)
  }

  /// Sums the nll of the first targets of a stream; target i is its token i + 1.
  public init(_ nll: [Float], targets: Int, of stream: ValidationStream) {
    nats = 0
    bytes = 0
    for target in 0..<targets {
      if target % EvaluationEvent.blockTargets == 0 { blocks.append(0) }
      nats += Double(nll[target])
      blocks[blocks.count - 1] += Double(nll[target])
      bytes += Int(stream.bytes[target + 1])
    }
    tokens = targets
  }
}

/// The one formula: nats to bits, over bytes.
func bitsPerByte(_ nats: Double, _ bytes: Int) -> Double {
  nats / Glibc.log(2.0) / Double(max(bytes, 1))
}
