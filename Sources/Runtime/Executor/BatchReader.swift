// SPDX-License-Identifier: Apache-2.0
// Which tokens the next row of a batch reads: in the order of the stream, or shuffled windows.

import Formats
import IR

/// Reads rows of a token stream. Its whole state is the count of rows read, so a resume is exact.
struct BatchReader {
  private let data: TokenStream
  private let rows: Int
  private let seq: Int
  private let shuffle: RandomStream?
  /// Rows read since training began.
  private(set) var position = 0

  init(_ data: TokenStream, rows: Int, seq: Int, isShuffled: Bool, seed: UInt64) throws(FormatError)
  {
    guard data.count > seq else {
      throw FormatError(
        .corrupt, file: data.paths.first,
        "the training data has \(data.count) tokens, a sequence of \(seq) and its last target need "
          + "\(seq + 1); add text or lower seq")
    }
    (self.data, self.rows, self.seq) = (data, rows, seq)
    shuffle = isShuffled ? RandomStream(seed: seed, path: "data order") : nil
  }

  /// Continues after `position` rows.
  mutating func restore(position: Int) { self.position = position }

  /// Writes the next batch: ids [rows, seq] and the token behind each, all below the vocabulary.
  mutating func load(
    ids: UnsafeMutableBufferPointer<Int32>, targets: UnsafeMutableBufferPointer<Int32>
  ) throws(FormatError) {
    if shuffle == nil {
      // A span of rows * seq + 1 tokens, cut into rows, as the baseline's loader does: the last
      // token of a span is only a target.
      let count = rows * seq
      let span = try cyclic(from: position / rows * (count + 1), count: count + 1)
      write(span, count, to: 0, ids, targets)
      position += rows
      return
    }
    for row in 0..<rows {
      let start = shuffledStart(position)
      write(try data.read(start..<(start + seq + 1)), seq, to: row * seq, ids, targets)
      position += 1
    }
  }

  private func write(
    _ span: [UInt16], _ count: Int, to offset: Int, _ ids: UnsafeMutableBufferPointer<Int32>,
    _ targets: UnsafeMutableBufferPointer<Int32>
  ) {
    for index in 0..<count {
      ids[offset + index] = Int32(span[index])
      targets[offset + index] = Int32(span[index + 1])
    }
  }

  private func cyclic(from start: Int, count: Int) throws(FormatError) -> [UInt16] {
    var span: [UInt16] = []
    var cursor = start % data.count
    while span.count < count {
      let end = min(cursor + count - span.count, data.count)
      span += try data.read(cursor..<end)
      cursor = end % data.count
    }
    return span
  }

  /// Start of the n-th window. Each epoch cuts the stream at another phase and orders its windows by
  /// a random permutation, so each is read once before any comes again.
  private func shuffledStart(_ row: Int) -> Int {
    let windows = (data.count - 1) / seq
    let (epoch, index) = (row / windows, row % windows)
    let phase = Int(shuffle!.bits(UInt64(epoch)) % UInt64(data.count - windows * seq))
    return phase + permuted(index, of: windows, epoch: epoch) * seq
  }

  /// A permutation of 0 ..< count by a four-round Feistel network over the next even power of two,
  /// walked until it lands inside (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
  private func permuted(_ index: Int, of count: Int, epoch: Int) -> Int {
    var half = 1
    while 1 << (2 * half) < count { half += 1 }
    let mask = (1 << half) - 1
    var value = index
    repeat {
      var (left, right) = (value >> half, value & mask)
      for round in 0..<4 {
        let key = UInt64(right) << 32 | UInt64(epoch * 4 + round)
        (left, right) = (right, left ^ Int(shuffle!.bits(key | 1 << 63) & UInt64(mask)))
      }
      value = left << half | right
    } while value >= count
    return value
  }
}
