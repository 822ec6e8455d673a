// SPDX-License-Identifier: Apache-2.0
// Scores again what a log says was scored, and compares event by event.

import Formats
import IR

/// Which events are computed again.
public enum ReplayChoice: Sendable, Equatable {
  case all
  /// So many: the first, the last, the rest at random.
  case some(Int)
}

/// How events that were computed again are compared.
public enum ReplayComparison: Sendable, Equatable {
  /// To the bit: with the instruction set, the products and the precision of the run.
  case exact
  /// Sums within a share of themselves, hashes of adapted weights not at all: on a machine that sums
  /// in another order.
  case close(tolerance: Double)

  /// What another order of summation may do to a sum of nll, with updates between. Rounding differs
  /// by 6e-8 of a value in f32 and by 4e-3 in bf16, at random, which averages out over the targets:
  /// tiny, trained and adapted on AVX-512, differs by 1.5e-8 and 1.4e-4 on the portable kernels.
  public static func close(_ precision: ComputePrecision) -> Self {
    .close(tolerance: precision == .bf16 ? 1e-3 : 1e-5)
  }
}

/// What a replay found.
public struct ReplayReport: Sendable, Equatable {
  public var comparison: ReplayComparison
  /// Events that were computed again and found equal, or close.
  public var equal = 0
  /// Those that should have been and could not be, and why.
  public var left: [String] = []
  /// The first that is not what was computed; nothing was compared behind it.
  public var mismatch: String?
  /// The largest difference of a sum, as a share of it.
  public var difference = 0.0
}

extension Recomputation {
  /// Scores again the events of `chain` that were chosen, and all chunks before them where the
  /// protocol adapts, and compares each with the log.
  ///
  /// `float` are the weights before quantisation, nil where nothing kept them.
  public func replay(
    _ chain: AuditChain, _ choice: ReplayChoice, float: ParameterBlock?,
    comparison: ReplayComparison
  ) throws -> ReplayReport {
    let replay = Replay(chain, comparison)
    let lines = chain.lines
    var chosen = Set(lines.indices)
    if case .some(let count) = choice {
      chosen = Set(numbers(count, below: lines.count, for: "replay"))
    }
    for (index, line) in chain.evaluations.enumerated() where chosen.contains(index) {
      try evaluate(line, float, replay)
      if replay.report.mismatch != nil { return replay.report }
    }
    if let last = chosen.max(), last >= chain.evaluations.count {
      try adapt(lines[chain.evaluations.count...last], replay)
    }
    return replay.report
  }

  private func evaluate(
    _ line: AuditLine<EvaluationEvent>, _ float: ParameterBlock?, _ replay: Replay
  ) throws {
    let name = line.event.entry
    guard let entry = settings.evaluate.first(where: { $0.name == name }) else {
      return replay.refuse(line.line, "the artifact's graph has no entry \(name)")
    }
    if line.event.on == .float {
      guard let float else {
        return replay.leave("\(name), because no checkpoint with the float weights is here")
      }
      guard float.sha256() == line.event.weights else {
        return replay.leave("\(name), because the newest checkpoint holds other weights")
      }
    }
    var only = settings
    only.evaluate = [entry]
    replay.expect([AuditLine(line: line.line, event: .evaluation(line.event))])
    try run(only, float, adapts: false, replay)
  }

  /// Runs the protocol and compares its events with the log's, up to the last of `lines`.
  private func adapt(
    _ lines: ArraySlice<AuditLine<AuditEvent>>, _ replay: Replay
  ) throws {
    guard ttt != nil else {
      return replay.refuse(lines[lines.startIndex].line, "the artifact's graph has no ttt section")
    }
    var only = settings
    only.evaluate = []
    replay.expect(Array(lines))
    try run(only, nil, adapts: true, replay)
  }

  private func run(
    _ settings: Settings, _ float: ParameterBlock?, adapts: Bool, _ replay: Replay
  ) throws {
    let evaluator = Evaluator(
      functions: functions, settings: settings, stream: stream, threads: threads, clock: { 0 },
      observe: observe)
    do {
      _ = try evaluator.evaluate(
        float: float, quantized: parameters, adapts: adapts, audit: replay)
    } catch is ReplayIsOver {}
  }
}

/// Everything that was asked for was compared, or something differs: the rest is not computed.
private struct ReplayIsOver: Error {}

/// Takes the place of the log: compares the events it is to append with those that the log has.
private final class Replay: AuditSink {
  private(set) var report: ReplayReport
  private let chain: AuditChain
  private var expected: [AuditLine<AuditEvent>] = []
  private var next = 0

  init(_ chain: AuditChain, _ comparison: ReplayComparison) {
    self.chain = chain
    report = ReplayReport(comparison: comparison)
  }

  /// The lines that the next events are compared with.
  func expect(_ lines: [AuditLine<AuditEvent>]) { (expected, next) = (lines, 0) }

  /// Notes an event that cannot be computed again.
  func leave(_ text: String) { report.left.append(text) }

  func refuse(_ line: Int, _ text: String) {
    report.mismatch = chain.violation(line, text).description
  }

  func append(_ event: AuditEvent) throws {
    let line = expected[next]
    compare(event, line)
    next += 1
    if report.mismatch != nil || next == expected.count { throw ReplayIsOver() }
  }

  private func compare(_ computed: AuditEvent, _ line: AuditLine<AuditEvent>) {
    let (found, claimed) = (computed.json, line.event.json)
    for key in Set(found.keys).union(claimed.keys).sorted() {
      if let other = found[key], let one = claimed[key], isEqual(one, other, key, line.event) {
        continue
      }
      return refuse(
        line.line,
        "\(key) is \(claimed[key]?.text ?? "missing"), but computed again it is "
          + (found[key]?.text ?? "missing"))
    }
    report.equal += 1
  }

  private func isEqual(
    _ claimed: JSONValue, _ found: JSONValue, _ key: String, _ event: AuditEvent
  ) -> Bool {
    guard case .close(let tolerance) = report.comparison else { return claimed == found }
    switch event.rounding(of: key) {
    case .none: return claimed == found
    case .learnt: return true
    case .sum:
      let claimed = claimed.arrayValue ?? [claimed]
      let found = found.arrayValue ?? [found]
      guard claimed.count == found.count else { return false }
      for (one, other) in zip(claimed, found) {
        guard let one = one.doubleValue, let other = other.doubleValue else { return false }
        report.difference = max(report.difference, abs(one - other) / max(abs(one), 1e-300))
      }
      return report.difference <= tolerance
    }
  }
}

extension ParameterBlock {
  /// The weights that a run would export from a checkpoint: averages where there are some.
  public convenience init(exportedFrom checkpoint: Checkpoint, layout: ParameterLayout) throws {
    try self.init(layout: layout)
    let weights = try checkpoint.tensors("parameters")
    let states = try checkpoint.tensors("states")
    for entry in layout.entries {
      let path = entry.parameter.path
      let values = self[path]!
      guard let tensor = states[Parameter.averagePath(of: path)] ?? weights[path],
        tensor.count == values.count
      else {
        throw FormatError(
          .corrupt, file: checkpoint.path, field: path,
          "missing or of another size than in the artifact's graph")
      }
      _ = values.update(from: try tensor.floats())
    }
  }
}

extension AuditChain {
  /// Targets of the stream that was scored; nil where nothing was.
  public var targets: Int? { evaluations.first?.event.targets ?? adaptation?.begin.event.targets }

  /// All events in the order of the log.
  public var lines: [AuditLine<AuditEvent>] {
    var lines = evaluations.map { AuditLine(line: $0.line, event: AuditEvent.evaluation($0.event)) }
    guard let adaptation else { return lines }
    func add<Event>(_ line: AuditLine<Event>?, _ event: (Event) -> AuditEvent) {
      if let line { lines.append(AuditLine(line: line.line, event: event(line.event))) }
    }
    add(adaptation.begin, AuditEvent.begin)
    add(adaptation.adaptFirst, AuditEvent.adaptFirst)
    for line in adaptation.scores { add(line, AuditEvent.score) }
    for line in adaptation.updates { add(line, AuditEvent.update) }
    add(adaptation.end, AuditEvent.end)
    return lines.sorted { $0.line < $1.line }
  }
}
