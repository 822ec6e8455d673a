// SPDX-License-Identifier: Apache-2.0
// Each order of reading: what an epoch reads, where a row begins, and that a resume goes on to the token.

import Formats
import IR
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct BatchReaderTests {
    /// Tokens of shards of odd sizes, each the number of its place plus 1; documents begin with id 0:
    /// one is longer than any row here, some are empty, and some end with a shard.
    private static func stream(
      _ folder: TemporaryFolder, documents: Set<Int> = [], shards: [Int] = [101, 37, 211]
    ) throws -> TokenStream {
      var place = 0
      for (index, count) in shards.enumerated() {
        let tokens = (place..<place + count).map { documents.contains($0) ? 0 : UInt16($0 + 1) }
        try Shard.write("\(folder.path)/fineweb_train_00000\(index).bin", tokens)
        place += count
      }
      return try TokenStream(folder: folder.path, prefix: "fineweb_train_", vocab: 1000)
    }

    /// Shards shorter than a row, and one of one token.
    private static let shards = [101, 3, 37, 1, 207]
    private static let documents: Set = [5, 100, 101, 102, 104, 141, 142, 300, 348]
    private static let orders: [TrainSettings.ReadOrder] = [.stream, .shuffled, .coprime, .from(0)]

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

    /// Where tokens of a row stand in the stream: a document's first one shows it by its neighbours.
    private static func places(_ row: [Int32]) throws -> [Int] {
      let known = try #require(row.firstIndex { $0 != 0 })
      return row.indices.map { Int(row[known]) - 1 - known + $0 }
    }

    /// The stream goes on from batch to batch, over shards and its own end; a batch may be longer than it.
    @Test(arguments: [(1, 1), (2, 7), (3, 29), (1, 348), (4, 200)])
    func theStreamIsReadInItsOrder(rows: Int, seq: Int) throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder, documents: Self.documents, shards: Self.shards)
      var reader = try BatchReader(data, rows: rows, seq: seq, order: .stream, seed: 1)
      let stream = try data.read(0..<349).map(Int32.init)
      var found: [Int32] = []
      while found.count < 3 * 349 {
        let batch = try Self.rows(&reader, rows, rows: rows, seq: seq)
        let ids = batch.flatMap(\.ids)
        #expect(batch.flatMap(\.targets).dropLast() == ids.dropFirst())
        // The last token of a batch is only a target.
        found += ids + batch.last!.targets.suffix(1)
      }
      #expect(found == found.indices.map { stream[$0 % 349] })
    }

    /// Every token from the first document's first one on is read once before any comes again, and the
    /// first one follows the last.
    @Test(arguments: [(1, 1), (2, 9), (3, 29), (1, 343)])
    func readingFromTheFirstDocumentLeavesNothingOut(rows: Int, seq: Int) throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder, documents: Self.documents, shards: Self.shards)
      var reader = try BatchReader(data, rows: rows, seq: seq, order: .from(0), seed: 1)
      let stream = try data.read(5..<349).map(Int32.init)
      var found: [(ids: [Int32], targets: [Int32])] = []
      while found.count * seq < 3 * stream.count {
        found += try Self.rows(&reader, rows, rows: rows, seq: seq)
      }
      let (ids, targets) = (found.flatMap(\.ids), found.flatMap(\.targets))
      #expect(ids == ids.indices.map { stream[$0 % stream.count] })
      #expect(targets == ids.indices.map { stream[($0 + 1) % stream.count] })
    }

    /// An epoch reads no token twice; what it leaves out at the ends is no more than a window, and other
    /// epochs read it.
    @Test(
      arguments: [TrainSettings.ReadOrder.shuffled, .coprime],
      [(1, 3, 30), (2, 7, 60), (3, 29, 30), (1, 100, 400), (2, 348, 30)])
    func anEpochReadsEachTokenOnce(
      _ order: TrainSettings.ReadOrder, sizes: (rows: Int, seq: Int, epochs: Int)
    ) throws {
      let (rows, seq, epochs) = sizes
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder, documents: Self.documents, shards: Self.shards)
      let windows = 348 / seq
      var reader = try BatchReader(data, rows: rows, seq: seq, order: order, seed: 3)
      let all = try Self.rows(&reader, epochs * windows, rows: rows, seq: seq)
      var ever = Set<Int>()
      for epoch in 0..<epochs {
        var read = Set<Int>()
        for row in all[epoch * windows..<(epoch + 1) * windows] {
          let tokens = row.ids + row.targets.suffix(1)
          let places = try Self.places(tokens)
          #expect(try data.read(places[0]..<places[seq] + 1).map(Int32.init) == tokens)
          #expect(row.targets.dropLast() == row.ids.dropFirst())
          #expect(read.isDisjoint(with: places.dropLast()))
          read.formUnion(places.dropLast())
          ever.formUnion(places)
        }
        #expect(read.count == windows * seq)
        #expect(349 - read.count <= seq)
      }
      #expect(ever == Set(0..<349))
    }

    /// At any step, in the middle of an epoch or at its border.
    @Test(arguments: orders) func aResumedReaderGoesOn(_ order: TrainSettings.ReadOrder) throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder, documents: Self.documents, shards: Self.shards)
      var whole = try BatchReader(data, rows: 2, seq: 7, order: order, seed: 9)
      let rows = try Self.rows(&whole, 120, rows: 2, seq: 7)
      #expect(whole.position == 120)
      for position in stride(from: 0, to: 120, by: 2) {
        var resumed = try BatchReader(data, rows: 2, seq: 7, order: order, seed: 9)
        resumed.restore(position: position)
        let rest = try Self.rows(&resumed, 120 - position, rows: 2, seq: 7)
        #expect(rest.map(\.ids) == rows[position...].map(\.ids))
        #expect(rest.map(\.targets) == rows[position...].map(\.targets))
      }
    }

    /// The order is the seed's where there is one, and cuts into shards are nobody's.
    @Test(arguments: orders) func theOrderIsTheSeeds(_ order: TrainSettings.ReadOrder) throws {
      let (first, second) = (try TemporaryFolder(), try TemporaryFolder())
      func read(_ data: TokenStream, seed: UInt64) throws -> [[Int32]] {
        var reader = try BatchReader(data, rows: 2, seq: 7, order: order, seed: seed)
        return try Self.rows(&reader, 100, rows: 2, seq: 7).map(\.ids)
      }
      let cut = try Self.stream(first, documents: Self.documents, shards: Self.shards)
      let whole = try Self.stream(second, documents: Self.documents, shards: [349])
      #expect(try read(cut, seed: 3) == read(whole, seed: 3))
      let isSeeded = [.shuffled, .coprime].contains(order)
      #expect(try (read(cut, seed: 3) != read(cut, seed: 4)) == isSeeded)
    }

    /// What training reads does not depend on threads, or its losses would.
    @Test(arguments: orders) func theBatchesOfTrainingAreTheSameForAnyNumberOfThreads(
      _ order: TrainSettings.ReadOrder
    ) throws {
      let folder = try TemporaryFolder()
      let data = try Self.stream(folder, documents: Self.documents, shards: Self.shards)
      let model = try CompiledModel.small(["vocab": "350", "accumulate": "2"]) {
        $0.train?.order = order
      }
      let plan = try CompiledModel(model).plan
      let traces = try (1...3).map { threads in
        let trainer = try Trainer(
          plan, data: data, length: TrainingLength(steps: 4, seconds: nil), seed: 2,
          threads: threads, clock: { 0 })
        var losses: [Double] = []
        for _ in 0..<4 { losses.append(try trainer.step().loss) }
        return losses
      }
      #expect(traces[0] == traces[1])
      #expect(traces[0] == traces[2])
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
