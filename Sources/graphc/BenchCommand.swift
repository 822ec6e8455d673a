// SPDX-License-Identifier: Apache-2.0
// graphc bench: the speed of one phase on synthetic tokens, as peers are measured.

import ArgumentParser
import Formats
import Foundation
import IR
import Language
import Passes
import Runtime

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure the speed of one phase on synthetic tokens.",
    discussion: """
      A train step is forward, backward and AdamW on one batch (or Muon on block matrices and AdamW \
      on the rest); ttt is forward, backward and SGD with momentum; eval is the forward; slide \
      scores the last 64 targets of each window. Two steps warm up; the median step counts. The \
      percentage is of the fastest products in registers, measured right before the steps.

      Example: graphc bench graphs/tiny.graph --phase train --threads 2
      """)

  enum Phase: String, ExpressibleByArgument, CaseIterable { case train, eval, slide, ttt }
  enum Optimizer: String, ExpressibleByArgument, CaseIterable { case adamw, muon }

  @Argument(help: "The .graph file.")
  var file: String

  @Option(help: "train, eval, slide or ttt.")
  var phase: Phase = .train

  @Option(help: "adamw or muon, for train.")
  var optimizer: Optimizer = .adamw

  @OptionGroup var compute: PrecisionOptions

  @Option(help: "Measured steps.")
  var steps = 10

  @OptionGroup var threading: ThreadOptions

  @OptionGroup var model: ModelOptions

  @OptionGroup var form: JSONOptions

  @Flag(help: "Record one more step and print where its time went, by kernel, on stderr.")
  var kernels = false

  @Option(
    help: ArgumentHelp(
      "The same, and write every tile of that step to a trace file for Perfetto.",
      valueName: "trace.json"))
  var profile: String?

  /// Targets scored in a window of the slide phase.
  private static let slideTargets = 64

  mutating func run() throws {
    guard (1...1_000_000).contains(steps) else {
      throw Failure.usage("--steps takes a number from 1 to 1000000, found \(steps)")
    }
    let threads = try threading.resolved()
    let model = try loadModel(
      file, choices: model.choices(), used: [.initial, .expect, .train])
    guard let train = model.settings.train else {
      throw Failure(exitCode: 3, message: "error: \(file) has no train section to take sizes from")
    }
    let sizes = TokenSizes(rows: train.rows, seq: train.seq)
    let target = try Host.target(compute.precision)
    let executable = try loaded(model, sizes, target, threads: threads)
    let scored = phase == .slide ? min(Self.slideTargets, sizes.seq) : sizes.seq
    let peaksBefore = Machine.measuredComputePeaks(threads: threads)
    let times = measuredSteps(executable, model, sizes, scored: scored)
    // Other work may disturb one of the two probes.
    let peaks = peaksBefore.larger(Machine.measuredComputePeaks(threads: threads))
    let result = BenchResult(
      phase: phase, optimizer: optimizer, precision: target.compute, threads: threads,
      tokens: sizes.rows * scored, times: times,
      flops: ModelFlops(model).total(
        phase: phase, optimizer: optimizer, rows: sizes.rows, seq: sizes.seq, scored: scored),
      // Before the profile, whose memory is not the model's.
      megabytes: peakMegabytes(), peaks: peaks)
    if kernels || profile != nil { try record(executable, peaks) }
    try printOutput(form.json ? result.json.text : result.text)
  }

  /// The step with parameters from a seed, if it fits into memory.
  private func loaded(
    _ model: Model, _ sizes: TokenSizes, _ target: TargetMachine, threads: Int
  ) throws -> Executable {
    func compiled(rows: Int) throws -> PlanFunction {
      try compileFunction(
        kind(model, seq: sizes.seq), TokenSizes(rows: rows, seq: sizes.seq), of: model,
        target: target)
    }
    let layout = ParameterLayout(model.graph.parameters)
    let function = try compiled(rows: sizes.rows)
    let shortage = try MemoryShortage(
      "the step", needed: layout.bytes + function.memoryBytes(threads: threads), rows: sizes.rows
    ) { layout.bytes + (try compiled(rows: $0).memoryBytes(threads: threads)) }
    if let shortage { throw shortage.failure }
    let parameters = try ParameterBlock(layout: layout)
    parameters.initialise(seed: 1)
    return try Executable(function, parameters: parameters, threads: threads)
  }

  /// Seconds of every step behind two that warm up.
  private func measuredSteps(
    _ executable: Executable, _ model: Model, _ sizes: TokenSizes, scored: Int
  ) -> [Double] {
    let vocabulary = model.graph.type(model.graph.outputs[0].value).shape.last!.number!
    let batches = (0..<4).map {
      SyntheticBatch($0, rows: sizes.rows, seq: sizes.seq, vocabulary: vocabulary)
    }
    var times: [Double] = []
    executable.prepareParameters()
    for step in 0..<(steps + 2) {
      batches[step % 4].load(executable, rows: sizes.rows, seq: sizes.seq, scored: scored)
      let start = now()
      executable.setScalar(.learningRate, 1)
      executable.setScalar(.step, Double(step + 1))
      executable.setScalar(.operand("momentum", entry: nil), 0.95)
      if changesParameters { executable.prepareParameters() }
      executable.run()
      if step >= 2 { times.append(now() - start) }
    }
    return times
  }

  /// Whether the phase updates parameters, so that every step packs them again.
  private var changesParameters: Bool { phase == .train || phase == .ttt }

  /// Records a step; its table goes to stderr.
  private func record(_ executable: Executable, _ compute: ComputePeaks) throws {
    var recorded = executable.profile(preparing: changesParameters)
    recorded.name = phase.rawValue
    let peaks = MeasuredPeaks(
      compute: compute, memoryGigabytes: Machine.measuredBandwidth(threads: compute.threads))
    printError(profileText([recorded], peaks: peaks))
    if let profile { try writeTrace([recorded], to: profile) }
  }

  /// The step of the phase, whatever the file's train and ttt sections say.
  private func kind(_ model: Model, seq: Int) -> FunctionKind {
    let adamw = ParameterUpdate(
      OptimizerRule(
        .adamwUpdate, lr: 1e-3,
        [
          .beta1: .double(0.9), .beta2: .double(0.95), .epsilon: .double(1e-8),
          .decay: .double(0.01),
        ]))
    let sgd = ParameterUpdate(OptimizerRule(.sgdUpdate, lr: 1e-3, [.momentum: .double(0.9)]))
    let muon = ParameterUpdate(
      OptimizerRule(.muonUpdate, lr: 0.02, ramps: ["momentum": Ramp(0.95), "taper": Ramp(1)]))
    switch phase {
    case .eval: return .score(last: nil)
    case .slide: return .score(last: min(Self.slideTargets, seq))
    case .train, .ttt:
      var updates: [String: ParameterUpdate] = [:]
      for parameter in model.graph.parameters {
        let isMatrix = parameter.group == Parameter.matrixGroup && parameter.type.rank == 2
        updates[parameter.path] =
          phase == .ttt ? sgd : optimizer == .muon && isMatrix ? muon : adamw
      }
      return .step(OptimizerPlan(updates: updates))
    }
  }
}

/// The largest resident size of this process so far.
private func peakMegabytes() -> Double {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return Double(usage.ru_maxrss) / 1024
}
