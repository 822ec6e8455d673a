// SPDX-License-Identifier: Apache-2.0
// graphc estimate: what a run will take, before it is begun.

import ArgumentParser
import Formats
import IR
import Passes
import Runtime

struct EstimateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "estimate",
    abstract:
      "Say what a run will take: FLOPs, memory, seconds on this machine, bytes of the artifact.",
    discussion: """
      Nothing is trained. Functions that take a moment are tried on random tokens (measured); the others \
      are told by the work of their kernels from a batch of a few tokens (scaled). Bytes come from the graph: \
      by each param's rule and what trained weights are like, as an interval. Without --data or \
      --validation-tokens evaluations are given per million tokens. A budget that no training can \
      meet ends with 6, as it would end a run.

      Example: graphc estimate graphs/tiny.graph --steps 500 --data data --ttt
      """)

  @Argument(help: "The .graph file, or a plan.")
  var file: String

  @Option(help: "Folder of token shards: its validation text is what evaluations score.")
  var data: String?

  @OptionGroup var tokenizing: TokenizerOptions

  @Flag(help: "With test-time training, as the file's ttt section says.")
  var ttt = false

  @Option(help: "Training ends after this many steps, instead of where the file says.")
  var steps: Int?

  @Option(help: "Training ends after this many seconds, instead of where the file says.")
  var maxSeconds: Double?

  @OptionGroup var threading: ThreadOptions

  @OptionGroup var validation: ValidationOptions

  @OptionGroup var compute: PrecisionOptions

  @OptionGroup var model: ModelOptions

  @OptionGroup var form: JSONOptions

  /// Tokens of the batch from which long functions are scaled.
  private static let sampleTokens = 128

  mutating func run() throws {
    let threads = try threading.resolved()
    let plan = try loadPlan(file, choices: model.choices(), compute: compute.precision)
    let settings = plan.model.settings
    guard let train = settings.train else {
      throw Failure(
        exitCode: 3, message: "error: \(file) has no train section; nothing to estimate")
    }
    if ttt && settings.ttt == nil {
      throw Failure.usage("--ttt: the ttt section of \(file) is off or missing")
    }
    let length = try TrainingLength(of: train, steps: steps, seconds: maxSeconds, file: file)
    let targets = try validationTargets(plan.model)
    let adapts = ttt
    let shortage = try MemoryShortage.of(plan) { MemoryNeed.run($0, adapts: adapts) }
    let times = try PlanTimes.measure(plan, threads: threads, mayTry: shortage == nil, clock: now) {
      try smaller(plan)
    }
    let phases = PhaseEstimates(
      plan, times, rates: try PackingRates(threads: threads, clock: now), length: length,
      validation: targets, adapts: ttt)
    let artifact = try SizeEstimate(plan.model, steps: phases.steps)
    // A run does not know how many steps its seconds have.
    let known = length.certainSteps
    let report = EstimateReport(
      plan: plan, memory: MemoryNeed.run(plan, adapts: ttt), shortage: shortage, phases: phases,
      threads: threads, artifact: artifact,
      infeasible: try known == nil
        ? SizeEstimate(plan.model, steps: nil).infeasible : artifact.infeasible)
    try printOutput(form.json ? report.json.text : report.text)
    if let infeasible = report.infeasible { throw infeasible }
  }

  /// Targets of the validation text, where there is one.
  private func validationTargets(_ model: Model) throws -> Int? {
    let limit = try validation.limit()
    guard let data else { return limit }
    let folder = try DataFolder.open(data, tokenizer: tokenizing.tokenizer)
    try checkVocabulary(model, folder, isGraph: true)
    return min(max(try folder.validation().count - 1, 0), limit ?? .max)
  }

  /// The functions of a training step for few tokens.
  private func smaller(_ plan: Plan) throws -> Plan {
    var model = plan.model
    (model.settings.evaluate, model.settings.ttt) = ([], nil)
    model.settings.quantize?.calibration = nil
    if var train = model.settings.train {
      (train.rows, train.seq) = (1, min(train.seq, Self.sampleTokens))
      model.settings.train = train
    }
    model.variants = [plan.model.scored]
    model.variants[0].sizes = nil
    model.variants[0].start = nil
    var smaller = try compile(model, target: plan.target)
    smaller.functions.removeAll { $0.name.hasPrefix("score") }
    return smaller
  }
}
