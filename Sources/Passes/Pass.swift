// SPDX-License-Identifier: Apache-2.0
// The record of a pass, and the runner that verifies, times and dumps.

import IR

/// A named rewrite of a graph. Passes hold no state; options are parameters of the function that
/// returns the pass.
public struct Pass: Sendable {
  /// The tag used by `--dump-ir-after`.
  public let name: String
  /// One line for `--help` and dumps.
  public let summary: String
  public let run: @Sendable (Graph) throws -> Graph

  public init(_ name: String, _ summary: String, run: @escaping @Sendable (Graph) throws -> Graph) {
    (self.name, self.summary, self.run) = (name, summary, run)
  }
}

/// What happened when one pass, or another step of the compiler, ran on one function.
public struct PassRecord: Sendable {
  public let pass: String
  public let function: String
  public let seconds: Double
  public let nodesBefore: Int
  public let nodesAfter: Int
}

/// A graph broke a rule after a pass: a bug in graphc, with the dumps to report.
public struct InternalError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// Runs passes in order.
public struct PassRunner {
  /// Called after each pass with its name and the graph: for dumps.
  public var observe: ((_ pass: String, Graph) -> Void)?
  /// Called after each step of lowering with its name, the function's, and its text.
  public var observeStep: ((_ step: String, _ function: String, _ text: () -> String) -> Void)?
  /// The clock, in seconds; injected because this module does no I/O.
  public var clock: () -> Double = { 0 }
  public private(set) var records: [PassRecord] = []

  public init() {}

  public mutating func run(_ passes: [Pass], on graph: Graph) throws -> Graph {
    var graph = graph
    for pass in passes {
      let start = clock()
      let next = try pass.run(graph)
      records.append(
        PassRecord(
          pass: pass.name, function: graph.name, seconds: clock() - start,
          nodesBefore: graph.nodes.count, nodesAfter: next.nodes.count))
      let violations = timed("verify", next) { next.violations() }
      if !violations.isEmpty {
        throw InternalError(
          "pass \(pass.name) broke function \(graph.name):\n  "
            + violations.prefix(5).joined(separator: "\n  ")
            + "\nThis is a bug in graphc. Please report the graph file and this text.")
      }
      graph = next
      observe?(pass.name, graph)
    }
    return graph
  }

  /// Does a step that is not a pass and records its time.
  mutating func timed<Result>(
    _ step: String, _ graph: Graph, _ work: () throws -> Result
  ) rethrows -> Result {
    let start = clock()
    defer {
      records.append(
        PassRecord(
          pass: step, function: graph.name, seconds: clock() - start,
          nodesBefore: graph.nodes.count, nodesAfter: graph.nodes.count))
    }
    return try work()
  }
}
