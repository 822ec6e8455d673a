// SPDX-License-Identifier: Apache-2.0
// graphc bench: the speed of one phase on synthetic tokens, as peers are measured.

import ArgumentParser
import Formats
import Foundation
import IR
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
      file, overrides: model.pairs(), used: [.initial, .expect, .train])
    guard let train = model.settings.train else {
      throw Failure(exitCode: 3, message: "error: \(file) has no train section to take sizes from")
    }
    let (rows, seq) = (train.rows, train.seq)
    let layout = ParameterLayout(model.graph.parameters)
    let target = try Host.target(compute.precision)
    let precision = target.compute
    func compiled(rows: Int) throws -> PlanFunction {
      try compileFunction(
        kind(model, seq: seq), TokenSizes(rows: rows, seq: seq), of: model, target: target)
    }
    let function = try compiled(rows: rows)
    let shortage = try MemoryShortage(
      "the step", needed: layout.bytes + function.memoryBytes, rows: rows
    ) { layout.bytes + (try compiled(rows: $0).memoryBytes) }
    if let shortage { throw shortage.failure }
    let parameters = try ParameterBlock(layout: layout)
    parameters.initialise(seed: 1)
    let executable = try Executable(function, parameters: parameters, threads: threads)
    let vocabulary = model.graph.type(model.graph.outputs[0].value).shape.last!.number!
    let scored = phase == .slide ? min(Self.slideTargets, seq) : seq
    let batches = (0..<4).map { SyntheticBatch($0, rows: rows, seq: seq, vocabulary: vocabulary) }
    var times: [Double] = []
    executable.prepareParameters()
    let peaksBefore = Machine.measuredComputePeaks(threads: threads)
    for step in 0..<(steps + 2) {
      batches[step % 4].load(executable, rows: rows, seq: seq, scored: scored)
      let start = now()
      executable.setScalar("learning_rate", 1)
      executable.setScalar("step", Double(step + 1))
      executable.setScalar("momentum", 0.95)
      if changesParameters { executable.prepareParameters() }
      executable.run()
      if step >= 2 { times.append(now() - start) }
    }
    // Other work may disturb one of the two probes.
    let peaks = peaksBefore.larger(Machine.measuredComputePeaks(threads: threads))
    // Before the profile, whose memory is not the model's.
    let megabytes = peakMegabytes()
    if kernels || profile != nil { try record(executable, peaks) }
    let seconds = median(times)
    let tokens = rows * scored
    let flops = Flops(model).total(
      phase: phase, optimizer: optimizer, rows: rows, seq: seq, scored: scored)
    let gigaflops = flops / seconds / 1e9
    func percent(_ peak: Double) -> Double { 100 * gigaflops / peak }
    let result: JSONValue = [
      "schema": "graphc-bench/1", "phase": .string(phase.rawValue),
      "optimizer": phase == .train ? .string(optimizer.rawValue) : .null,
      "precision": .string(precision.rawValue),
      "threads": .int(threads), "steps": .int(steps),
      "tokens_per_second": .double(Double(tokens) / seconds), "ms_median": .double(seconds * 1000),
      "gflops": .double(gigaflops), "peak_rss_mb": .double(megabytes),
      "peak_gflops": [
        "f32": .double(peaks.f32Gigaflops),
        "bf16": peaks.bf16Gigaflops.map(JSONValue.double) ?? .null,
      ],
      "percent_of_peak": [
        "f32": .double(percent(peaks.f32Gigaflops)),
        "bf16": peaks.bf16Gigaflops.map { .double(percent($0)) } ?? .null,
      ],
      "isa": .string(Machine.isa), "gemm": .string(Machine.gemm),
    ]
    if form.json {
      try printOutput(result.text)
    } else {
      try printOutput(
        "\(phase.rawValue): \(grouped(Int(Double(tokens) / seconds))) tokens/s, "
          + "\(fixed(seconds * 1000, 2)) ms a step (\(fixed(times.min()! * 1000, 2)) to "
          + "\(fixed(times.max()! * 1000, 2))), \(fixed(gigaflops, 0)) GFLOP/s, "
          + "\(fixed(percent(peaks.gigaflops(precision)), 0)) % of the \(precision.rawValue) peak, "
          + "\(fixed(megabytes, 0)) MB, \(threads) threads, \(Machine.isa), \(Machine.gemm)")
    }
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
      rule: .adamw(beta1: 0.9, beta2: 0.95, epsilon: 1e-8), learningRate: 1e-3, decay: 0.01)
    let sgd = ParameterUpdate(rule: .sgd(momentum: 0.9), learningRate: 1e-3, decay: 0)
    let muon = ParameterUpdate(
      rule: .muon(steps: 5, iteration: "standard", rowNormalise: false), learningRate: 0.02,
      decay: 0)
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

/// Uniform random tokens.
private struct SyntheticBatch {
  private let tokens: [Int32]

  init(_ index: Int, rows: Int, seq: Int, vocabulary: Int) {
    let stream = RandomStream(seed: UInt64(index), path: "bench")
    tokens = (0..<(rows * (seq + 1))).map { Int32(stream.bits(UInt64($0)) % UInt64(vocabulary)) }
  }

  func load(_ executable: Executable, rows: Int, seq: Int, scored: Int) {
    let ids = executable.tokens(executable.function.inputs[0].name, [rows, seq])
    let targets = executable.tokens("targets", [rows, scored])
    for row in 0..<rows {
      for position in 0..<seq { ids[row * seq + position] = tokens[row * (seq + 1) + position] }
      for position in 0..<scored {
        targets[row * scored + position] = tokens[row * (seq + 1) + seq - scored + position + 1]
      }
    }
    if executable.hasInput("weights") {
      executable.input("weights").update(repeating: 1 / Float(rows * seq))
    }
  }
}

/// FLOPs as the peers' benchmark counts them: 2 a matrix parameter and token, plus the causal half of
/// attention; three times that with a backward; Newton-Schulz for Muon, with both halves of symmetric
/// products.
private struct Flops {
  private let graph: Graph

  init(_ model: Model) { graph = model.scored.graph }

  func total(
    phase: BenchCommand.Phase, optimizer: BenchCommand.Optimizer, rows: Int, seq: Int, scored: Int
  ) -> Double {
    var products = 0.0
    var head = 0.0
    var attention = 0.0
    for node in graph.nodes {
      switch node.op {
      case .linear:
        let count = Double(graph.type(node.operands[1]).count)
        products += 2 * count
        if graph.type(node.result).shape.last == graph.type(graph.outputs[0].value).shape.last {
          head = 2 * count
        }
      case .attention:
        let shape = graph.type(node.operands[0]).shape
        attention += 2 * Double(seq) * Double(shape[2].number! * shape[3].number!)
      default: break
      }
    }
    let perToken = products + attention
    let tokens = Double(rows * seq)
    switch phase {
    case .eval: return perToken * tokens
    case .slide: return perToken * tokens - head * Double(rows * (seq - scored))
    case .ttt: return 3 * perToken * tokens
    case .train: return 3 * perToken * tokens + (optimizer == .muon ? newtonSchulz : 0)
    }
  }

  private var newtonSchulz: Double {
    graph.parameters.filter { $0.group == Parameter.matrixGroup && $0.type.rank == 2 }.reduce(0) {
      sum, parameter in
      let (m, n) = (Double(parameter.type.sizes.min()!), Double(parameter.type.sizes.max()!))
      return sum + 5 * (4 * m * m * n + 2 * m * m * m)
    }
  }
}

private func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// The largest resident size of this process so far.
private func peakMegabytes() -> Double {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return Double(usage.ru_maxrss) / 1024
}
