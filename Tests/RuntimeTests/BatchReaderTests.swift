// SPDX-License-Identifier: Apache-2.0
// Each order of reading: what an epoch reads, where a row begins, and that a resume goes on to the token.

import Formats
import IR
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct BatchReaderTests {
    /// Tokens of three shards of odd sizes, each the number of its place; `documents` begin with id 0.
    private static func stream(
      _ folder: TemporaryFolder, documents: Set<Int> = []
    ) throws -> TokenStream {
      var place = 0
      for (index, count) in [101, 37, 211].enumerated() {
        let tokens = (place..<place + count).map { documents.contains($0) ? 0 : UInt16($0 + 1) }
        try Shard.write("\(folder.path)/fineweb_train_00000\(index).bin", tokens)
        place += count
      }
      return try TokenStream(folder: folder.path, prefix: "fineweb_train_", vocab: 1000)
    }

    /// Ids and targets of the next rows, a row each.
    private static func rows(
      _ reader: inout BatchReader, _ count: Int, rows: Int, seq: Int
    ) throws -> [(ids: [Int32], targets: [Int32])] {
      var result: [(ids: [Int32], targets: [Int32])] = []
      for _ in 0..<count / rows {
        var ids = [Int32](repeating: -1, count: rows * seq)
        var targets = ids
        try ids.withUnsafeMutableBufferPointer { ids in
          try targets.withUnsafeMutableBufferPointer { targets in
            try reader.load(ids: ids, targets: targets)
          }
        }
        for row in 0..<rows {
          let part = row * seq..<(row + 1) * seq
          result.append((Array(ids[part]), Array(targets[part])))
        }
      }
      return result
    }

    @Test(arguments: [TrainSettings.ReadOrder.shuffled, .coprime])
    func anEpochReadsEachWindowOnce(_ order: TrainSettings.ReadOrder) throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder)
      let (seq, windows) = (7, (349 - 1) / 7)
      var reader = try BatchReader(data, rows: 1, seq: seq, order: order, seed: 3)
      var epochs: [[Int32]] = []
      for _ in 0..<3 {
        let rows = try Self.rows(&reader, windows, rows: 1, seq: seq)
        for row in rows { #expect(row.targets.dropLast() == row.ids.dropFirst()) }
        let starts = rows.map(\.ids[0])
        #expect(Set(starts).count == windows)
        // Windows of one phase, which cover the stream but for less than two of them.
        #expect(Set(starts.map { $0 % Int32(seq) }).count == 1)
        #expect(starts.max()! - starts.min()! == Int32((windows - 1) * seq))
        epochs.append(starts)
      }
      #expect(Set(epochs).count == 3)
    }

    /// Every token behind the first document's first one is a target once, over the borders of shards.
    @Test func readingFromTheFirstDocumentLeavesNothingOut() throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder, documents: [5, 100, 101, 102, 140])
      let seq = 9
      var reader = try BatchReader(data, rows: 2, seq: seq, order: .from(0), seed: 1)
      let count = (349 - 5 - 1) / seq / 2 * 2
      let rows = try Self.rows(&reader, count, rows: 2, seq: seq)
      let all = try data.read(5..<5 + count * seq + 1).map(Int32.init)
      #expect(rows.flatMap(\.ids) == Array(all.dropLast()))
      #expect(rows.flatMap(\.targets) == Array(all.dropFirst()))
    }

    @Test(arguments: [TrainSettings.ReadOrder.stream, .shuffled, .coprime, .from(0)])
    func aResumedReaderGoesOn(_ order: TrainSettings.ReadOrder) throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder, documents: [5])
      var whole = try BatchReader(data, rows: 2, seq: 7, order: order, seed: 9)
      let rows = try Self.rows(&whole, 120, rows: 2, seq: 7)
      var resumed = try BatchReader(data, rows: 2, seq: 7, order: order, seed: 9)
      resumed.restore(position: 60)
      let rest = try Self.rows(&resumed, 60, rows: 2, seq: 7)
      #expect(rest.map(\.ids) == rows[60...].map(\.ids))
    }

    @Test func anIdThatIsNotThereIsNamed() throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder)
      let error = #expect(throws: FormatError.self) {
        try BatchReader(data, rows: 1, seq: 7, order: .from(0), seed: 1)
      }
      #expect(error.map { "\($0)" }?.contains("has the id 0") == true)
    }
  }
}
