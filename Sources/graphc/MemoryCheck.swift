// SPDX-License-Identifier: Apache-2.0
// Whether a plan fits into memory, and the batch that would.

import Formats
import IR
import Passes
import Runtime

/// Work that takes more memory than there is.
struct MemoryShortage {
  /// What needs it: `training`, `the evaluation sliding`.
  let work: String
  let needed: Int
  let limit: MemoryLimit
  let rows: Int
  /// The largest batch that fits; nil: none does.
  let fitting: Int?
  /// How to ask for it; empty where the file says it in place.
  var advice = ""

  /// nil where `needed` bytes fit. `bytes` says what other numbers of rows need.
  init?(
    _ work: String, needed: Int, rows: Int, limit: MemoryLimit = .current(),
    bytes: (Int) throws -> Int
  ) rethrows {
    guard needed > limit.bytes else { return nil }
    (self.work, self.needed, self.limit, self.rows) = (work, needed, limit, rows)
    fitting = try Self.largest(below: rows, needing: needed, limit.bytes, bytes)
  }

  var description: String {
    "\(work) needs \(needed) bytes of memory, \(limit.bytes) are available (\(limit.name)); "
      + (fitting.map { "the largest batch that fits is \($0), not \(rows)" + advice }
        ?? "no batch is small enough, make the window or the model smaller")
  }

  var failure: Failure { .check("error: " + description) }

  /// Memory grows almost evenly with the rows, so a straight line finds the place in a few steps.
  private static func largest(
    below rows: Int, needing needed: Int, _ limit: Int, _ bytes: (Int) throws -> Int
  ) rethrows -> Int? {
    guard rows > 1 else { return nil }
    var (low, high) = ((rows: 1, bytes: try bytes(1)), (rows: rows, bytes: needed))
    guard low.bytes <= limit else { return nil }
    for _ in 0..<20 where high.rows - low.rows > 1 {
      let part = Double(limit - low.bytes) / max(Double(high.bytes - low.bytes), 1)
      let guess = low.rows + Int(part * Double(high.rows - low.rows))
      let middle = min(max(guess, low.rows + 1), high.rows - 1)
      let found = try bytes(middle)
      if found <= limit { low = (middle, found) } else { high = (middle, found) }
    }
    return low.rows
  }
}

extension MemoryShortage {
  /// The first phase of a plan that does not fit; nil if all do.
  static func of(
    _ plan: Plan, _ needs: (Plan) -> [MemoryNeed], limit: MemoryLimit = .current()
  ) throws -> MemoryShortage? {
    for need in needs(plan) {
      let settings = plan.model.settings
      let (work, rows): (String, Int)
      switch need.batch {
      case .training: (work, rows) = ("training", settings.train?.rows ?? 1)
      case .evaluation(let index):
        let entry = settings.evaluate[index]
        (work, rows) = (
          "the evaluation \(entry.name)", entry.batch ?? scoringRows(window: entry.window)
        )
      case .adaptation: (work, rows) = ("test-time training", settings.ttt?.batch ?? 1)
      }
      var shortage = try MemoryShortage(work, needed: need.bytes, rows: rows, limit: limit) {
        let smaller = try plan.recompiled(need.batch, rows: $0)
        return needs(smaller).map(\.bytes).max() ?? 0
      }
      guard shortage != nil else { continue }
      let batch = plan.model.constants.first { $0.name == "batch" }
      if need.batch == .training, batch?.value.text == "\(rows)", let fitting = shortage?.fitting {
        shortage?.advice = ": --set batch=\(fitting)"
      }
      return shortage
    }
    return nil
  }
}

extension Plan {
  /// The functions of one phase for another number of rows.
  fileprivate func recompiled(_ batch: MemoryNeed.Batch, rows: Int) throws -> Plan {
    var model = model
    let settings = model.settings
    if batch != .training { model.settings.train = nil }
    if batch != .adaptation { model.settings.ttt = nil }
    model.settings.evaluate = []
    switch batch {
    case .training:
      let seq = settings.train?.seq ?? 1
      model.settings.train?.rows = rows
      for index in model.variants.indices {
        guard let own = model.variants[index].sizes?.seq else { continue }
        model.variants[index].sizes?.rows = max(1, rows * seq / own)
      }
    case .evaluation(let index):
      model.settings.evaluate = [settings.evaluate[index]]
      model.settings.evaluate[0].batch = rows
    case .adaptation: model.settings.ttt?.batch = rows
    }
    return try compile(model, target: target)
  }

  /// What `graphc check --json` says of memory.
  func memoryDocument(_ shortage: MemoryShortage?, limit: MemoryLimit) -> JSONValue {
    let needed = MemoryNeed.run(self, adapts: true).map(\.bytes).max() ?? 0
    return [
      "needed_bytes": .int(needed), "available_bytes": .int(limit.bytes),
      "limited_by": .string(limit.name), "fits": .bool(shortage == nil),
      "batch": shortage?.fitting.map(JSONValue.int) ?? .null,
      "problem": shortage.map { .string($0.description) } ?? .null,
    ]
  }
}
