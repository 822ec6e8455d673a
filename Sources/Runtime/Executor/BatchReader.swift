// SPDX-License-Identifier: Apache-2.0
// Which tokens the next row of a batch reads: what follows in the stream, or one of its windows in an order
// of its own.

import Formats
import IR

/// Reads rows of a token stream. Its whole state is the count of rows read, so a resume is exact.
package struct BatchReader {
  private let data: TokenStream
  private let rows: Int
  private let seq: Int
  private let order: TrainSettings.ReadOrder
  private let random: RandomStream
  /// The first token that is read.
  private let origin: Int
  /// Rows read since training began.
  package private(set) var position = 0

  package init(
    _ data: TokenStream, rows: Int, seq: Int, order: TrainSettings.ReadOrder, seed: UInt64
  ) throws(FormatError) {
    (self.data, self.rows, self.seq, self.order) = (data, rows, seq, order)
    random = RandomStream(seed: seed, path: "data order")
    var origin = 0
    if case .from(let first) = order {
      guard let place = try data.first(first) else {
        throw FormatError(
          .corrupt, file: data.paths.first,
          "no token of the training data has the id \(first), from which training reads")
      }
      origin = place
    }
    self.origin = origin
    guard data.count - origin > seq else {
      throw FormatError(
        .corrupt, file: data.paths.first,
        "the training data has \(data.count - origin) tokens, a sequence of \(seq) and its last target "
          + "need \(seq + 1); add text or lower seq")
    }
  }

  /// Continues after `position` rows.
  package mutating func restore(position: Int) { self.position = position }

  /// Writes the next batch: ids [rows, seq] and the token behind each, all below the vocabulary.
  package mutating func load(
    ids: UnsafeMutableBufferPointer<Int32>, targets: UnsafeMutableBufferPointer<Int32>
  ) throws(FormatError) {
    if order == .stream {
      // A span of rows * seq + 1 tokens, cut into rows, as the baseline's loader does: the last
      // token of a span is only a target.
      let count = rows * seq
      let span = try cyclic(from: position / rows * (count + 1), count: count + 1)
      write(span, count, to: 0, ids, targets)
      position += rows
      return
    }
    for row in 0..<rows {
      write(try window(position), seq, to: row * seq, ids, targets)
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

  /// Tokens of the stream behind the origin, which begins again at its end.
  private func cyclic(from start: Int, count: Int) throws(FormatError) -> [UInt16] {
    let length = data.count - origin
    var span: [UInt16] = []
    var cursor = start % length
    while span.count < count {
      let end = min(cursor + count - span.count, length)
      span += try data.read(origin + cursor..<origin + end)
      cursor = end % length
    }
    return span
  }

  /// The n-th window with the token behind it. Those of an order of its own are read once an epoch.
  private func window(_ row: Int) throws(FormatError) -> [UInt16] {
    let windows = (data.count - 1) / seq
    let (epoch, index) = (row / windows, row % windows)
    let phase = Int(random.bits(UInt64(epoch)) % UInt64(data.count - windows * seq))
    let place: Int
    switch order {
    // The token of the origin begins a document, so it may stand behind the end of any other.
    case .stream, .from: return try cyclic(from: row * seq, count: seq + 1)
    case .shuffled: place = permuted(index, of: windows, epoch: epoch)
    case .coprime:
      let (first, stride) = steps(of: windows, epoch: epoch)
      place = (first + index * stride) % windows
    }
    let start = phase + place * seq
    return try data.read(start..<start + seq + 1)
  }

  /// The first window of an epoch, and a stride without a common divisor with their number.
  private func steps(of windows: Int, epoch: Int) -> (first: Int, stride: Int) {
    func draw(_ place: UInt64) -> Int {
      Int(random.bits(1 << 62 | UInt64(epoch) << 20 | place) % UInt64(windows))
    }
    func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
    let stride = (1..<(1 << 20)).lazy.map { draw($0) }.first { divisor($0, windows) == 1 }
    return (draw(0), stride ?? 1)
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
        (left, right) = (right, left ^ Int(random.bits(key | 1 << 63) & UInt64(mask)))
      }
      value = left << half | right
    } while value >= count
    return value
  }
}
