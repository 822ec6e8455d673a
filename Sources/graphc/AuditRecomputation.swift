// SPDX-License-Identifier: Apache-2.0
// What `graphc audit` computes again: replays, probes and sums, as claims of its report.

import Formats
import IR
import Passes
import Runtime

/// How much an audit computes again.
struct AuditWork {
  var replay: ReplayChoice?
  /// Places to probe, and to sum at, in each kind of windows.
  var probe: Int?
  var sum: Int?

  var isEmpty: Bool { replay == nil && probe == nil && sum == nil }
}

extension Audit {
  /// Computes again from the artifact and the data, with the machine that the manifest names.
  mutating func recompute(_ work: AuditWork, data: DataFolder, threads: Int) throws {
    guard let artifact else {
      return report.add(.missing, "recomputing: artifact.gca is not here")
    }
    guard let targets = chain.targets else {
      return report.add(.missing, "recomputing: the log has no score to compute again")
    }
    let stream = try ValidationStream(data, limit: targets)
    guard stream.targets == targets else {
      return report.add(
        .refused,
        "recomputing: \(targets) targets were scored, \(data.path) holds \(stream.targets)")
    }
    try checkVocabulary(artifact.model, data)
    let route = try selectMachine()
    var model = artifact.model
    model.settings.evaluate = chain.evaluations.map { scored($0.event, model.settings.evaluate) }
    if chain.adaptation == nil { model.settings.ttt = nil }
    let plan = try compile(model, target: route.target)
    let adapts = model.settings.ttt != nil
    let shortage = try MemoryShortage.of(plan) { MemoryNeed.evaluation($0, adapts: adapts) }
    if let shortage { throw shortage.failure }
    let progress = RunProgress(length: TrainingLength(steps: nil, seconds: nil))
    defer { progress.end() }
    let recomputation = try Recomputation(
      functions: plan.functions, settings: model.settings, stream: stream,
      parameters: artifact.parameters(), adapts: adapts, threads: threads,
      observe: progress.observe)
    if let choice = work.replay { try replay(choice, recomputation, route, plan.layout) }
    if let places = work.probe { add(try recomputation.probe(places: places)) }
    if let places = work.sum { add(try recomputation.sums(places: places)) }
  }

  /// The entry that an event scored: windows and stride may be those of the command line.
  private func scored(_ event: EvaluationEvent, _ declared: [Evaluation]) -> Evaluation {
    var entry =
      declared.first { $0.name == event.entry }
      ?? Evaluation(name: event.entry, window: event.window)
    (entry.window, entry.stride) = (event.window, event.stride)
    entry.onFloat = event.on == .float
    return entry
  }

  // MARK: The machine

  /// What computes, and whether it is what computed in the run.
  private struct Route {
    let target: TargetMachine
    let comparison: ReplayComparison
    /// "avx2, libxsmm 1.17 (hsw), f32".
    let name: String
    /// The same of the run.
    let wanted: String
  }

  private func selectMachine() throws -> Route {
    func member(_ key: ManifestField) throws -> String {
      guard let text = manifest[key]?.stringValue else {
        throw chain.violation(1, "the manifest does not say which \(key.rawValue) the run used")
      }
      return text
    }
    let (isa, gemm) = (try member(.isa), try member(.gemm))
    let precision = try member(.precision)
    guard let compute = ComputePrecision(rawValue: precision) else {
      throw chain.violation(1, "the manifest names an unknown precision \(precision)")
    }
    let machine = try member(.machine)
    let isSame = Machine.select(isa: isa, gemm: gemm) && Machine.name == machine
    var target = TargetMachine(machine: Machine.name, isa: Machine.isa)
    target.compute = compute
    return Route(
      target: target, comparison: isSame ? .exact : .close(compute),
      name: "\(Machine.isa), \(Machine.gemm), \(precision)", wanted: "\(isa), \(gemm), \(precision)"
    )
  }

  // MARK: Claims

  private mutating func replay(
    _ choice: ReplayChoice, _ recomputation: Recomputation, _ route: Route,
    _ layout: ParameterLayout
  ) throws {
    let float = try floatWeights(layout)
    let found = try recomputation.replay(
      chain, choice, float: float, comparison: route.comparison)
    report.isRecomputed = found.equal > 0 || found.mismatch != nil
    for text in found.left { report.add(.missing, "replay: not computed again: \(text)") }
    if let mismatch = found.mismatch { return report.add(.refused, "replay: \(mismatch)") }
    guard found.equal > 0 else { return }
    let all = chain.lines.count
    let count =
      (found.equal == all ? "all \(all)" : "\(found.equal) of \(all)")
      + " events were computed again from the artifact"
    switch found.comparison {
    case .exact: report.add(.recomputed, "replay: \(count), equal to the bit (\(route.name))")
    case .close(let tolerance):
      report.add(
        .close,
        "replay: \(count), close: sums differ by \(found.difference) of themselves or less, "
          + "\(tolerance) is allowed; this is \(route.name), the run used "
          + route.wanted)
    }
  }

  /// The weights that the newest checkpoint exports; nil without a checkpoint.
  private func floatWeights(_ layout: ParameterLayout) throws -> ParameterBlock? {
    guard chain.evaluations.contains(where: { $0.event.on == .float }) else { return nil }
    return try Checkpoint.latest(in: directory + "/checkpoints").checkpoint.map {
      try ParameterBlock(exportedFrom: $0, layout: layout)
    }
  }

  private mutating func add(_ probe: ProbeReport) {
    if let leak = probe.leak { return report.add(.refused, "probe: \(leak)") }
    report.add(
      .recomputed,
      "probe: \(counts(probe.places)): with other tokens behind a place, and in all other rows, "
        + "every nll up to it keeps its bits")
  }

  private mutating func add(_ sum: SumReport) {
    guard let worst = sum.worst else { return report.add(.missing, "sum: no place to sum at") }
    let text =
      "sum: \(counts(sum.places)): the probabilities of all tokens add up to one; farthest is "
      + "\(worst.sum) at target \(worst.target) of \(worst.name), \(SumReport.tolerance) is allowed"
    report.add(sum.isNormalised ? .recomputed : .refused, text)
  }

  private func counts(_ places: [(name: String, count: Int)]) -> String {
    places.map { "\($0.count) places of \($0.name)" }.joined(separator: "; ")
  }
}
