// SPDX-License-Identifier: Apache-2.0
// The text that is scored, as tokens with the bytes that they stand for.

import Formats

/// The validation stream in memory, with what turns nats into bits per byte.
public struct ValidationStream: Sendable {
  public let tokens: [Int32]
  public let table: ByteTable
  /// Bytes of text that each token stands for, by the table or the folder's sidecar. The first one is no
  /// target.
  public let bytes: [UInt16]
  /// The folder that it was read from, for messages.
  public let path: String
  /// Bytes of the original documents behind the targets, where they are known.
  public let originalBytes: Int?

  /// Bytes of the first targets.
  func bytes(ofTargets count: Int) -> Int {
    bytes.dropFirst().prefix(count).reduce(0) { $0 + Int($1) }
  }

  /// Targets of the stream: one less than its tokens.
  public var targets: Int { max(tokens.count - 1, 0) }

  /// The first `limit` targets of a folder's validation data; all without a limit.
  public init(_ data: DataFolder, limit: Int? = nil) throws(FormatError) {
    let stream = try data.validation()
    let count = min(stream.count - 1, limit ?? Int.max) + 1
    let read = try stream.read(0..<count)
    bytes = try data.bytes(ofValidation: read, at: 0)
    if count == stream.count { try data.requireUnchanged(validation: read, bytes: bytes) }
    tokens = read.map(Int32.init)
    table = data.byteTable
    path = data.path
    originalBytes =
      count > 1 ? try data.originalBytes(ofTargets: 1..<count, in: stream) : nil
  }
}
