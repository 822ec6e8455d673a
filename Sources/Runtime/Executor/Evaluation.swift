// SPDX-License-Identifier: Apache-2.0
// From nll to bits per byte, over windows of a token stream.

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

/// The validation stream in memory, with what turns nats into bits per byte.
public struct ValidationStream: Sendable {
  public let tokens: [Int32]
  public let table: ByteTable
  /// The folder that it was read from, for messages.
  public let path: String
  /// Bytes of the original documents behind the targets, where they are known.
  public let originalBytes: Int?

  /// Bytes of the first targets by the tokenizer's table.
  func bytes(ofTargets count: Int) -> Int {
    (0..<count).reduce(0) {
      $0 + table.bytes(target: Int(tokens[$1 + 1]), previous: Int(tokens[$1]))
    }
  }

  /// Targets of the stream: one less than its tokens.
  public var targets: Int { max(tokens.count - 1, 0) }

  /// The first `limit` targets of a folder's validation data; all without a limit.
  public init(_ data: DataFolder, limit: Int? = nil) throws(FormatError) {
    let stream = try data.validation()
    let count = min(stream.count - 1, limit ?? Int.max) + 1
    let read = try stream.read(0..<count)
    if count == stream.count { try data.requireUnchanged(validation: read) }
    tokens = read.map(Int32.init)
    table = data.byteTable
    path = data.path
    originalBytes =
      count > 1 ? try data.originalBytes(ofTargets: 1..<count, in: stream) : nil
  }
}

extension Scorer {
  /// Evaluates a stream: windows that overlap if the scorer was made with fewer scored targets.
  public func evaluate(
    _ stream: ValidationStream, stride: Int?, progress: (Double) -> Void = { _ in }
  ) throws -> Score {
    let windows = evaluationWindows(targets: stream.targets, length: window, stride: stride)
    var ledger = ScoreLedger(targets: windows.last?.end ?? 0)
    for window in windows { try ledger.mark(window.firstScored..<window.end) }
    try ledger.checkComplete()
    var nll = [Float](repeating: 0, count: stream.targets)
    score(windows, of: stream.tokens, into: &nll) { progress(Double($0) / Double(windows.count)) }
    return Score(
      nll, targets: 0..<(windows.last?.end ?? 0), tokens: stream.tokens, table: stream.table)
  }
}
