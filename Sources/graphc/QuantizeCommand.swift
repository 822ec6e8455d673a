// SPDX-License-Identifier: Apache-2.0
// graphc quantize: stores trained weights again, by other rules or for another budget.

import ArgumentParser
import Formats
import IR
import Language
import Passes
import Runtime

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Store trained weights again, by the rules of another file or for a budget of bytes.",
    discussion: """
      Nothing is trained. The weights are those of a run's newest checkpoint, of one checkpoint, or of a \
      safetensors file; where training averages, the average is taken. --budget chooses the precision of \
      each param that the file stores in integers, by what it does to the loss on training text, and takes \
      as many bytes as there are.

      Example: graphc quantize runs/tiny --data data --budget 200000 -o tiny.gca
      """)

  @Argument(help: "A run directory, a checkpoint in it, or weights as safetensors.")
  var source: String

  @Option(help: "Folder of token shards, as 'graphc data prepare' makes it.")
  var data: String

  @OptionGroup var tokenizing: TokenizerOptions

  @Option(help: "The .graph file whose rules to follow. Default: that of the run.")
  var graph: String?

  @Option(help: "Largest size of the artifact and the code; chooses precisions.")
  var budget: Int?

  @Option(name: .shortAndLong, help: "The artifact to write.")
  var output: String

  @Flag(help: "Print the stored form of every param.")
  var table = false

  @Option(
    help: ArgumentHelp(
      "Print the model with the form of every param after this pass: choose-precision.",
      valueName: "pass"))
  var dumpIrAfter: String?

  @Option(help: "Seed of the windows of training text that calibrate. Default: the run's.")
  var seed: UInt64?

  @OptionGroup var threading: ThreadOptions

  @OptionGroup var validation: ValidationOptions

  @OptionGroup var compute: PrecisionOptions

  @OptionGroup var model: ModelOptions

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let threads = try threading.resolved()
    let limit = try validation.limit()
    try checkDump()
    let trained = try TrainedWeights(source)
    var declared = try trained.model(graph: graph, options: model)
    if let budget {
      guard budget > 0 else {
        throw Failure.usage("--budget takes a number from 1, found \(budget)")
      }
      declared.settings.quantize = (declared.settings.quantize ?? QuantizeSettings())
        .choosing(within: budget)
    }
    let weights = try trained.weights(declared)
    // Nothing of training but the text that it reads.
    var model = declared
    (model.settings.train, model.settings.qat) = (nil, .off)
    let plan = try compile(model, target: Host.target(compute.precision))
    let shortage = try MemoryShortage.of(plan) { MemoryNeed.evaluation($0, adapts: false) }
    if let shortage { throw shortage.failure }
    let folder = try DataFolder.open(data, tokenizer: tokenizing.tokenizer)
    try checkVocabulary(model, folder, isGraph: true)
    try folder.requireDisjoint()
    try folder.requireEvidence()
    try model.settings.checkScorable(folder, limit: limit, adapts: false)
    let progress = RunProgress(length: TrainingLength(steps: nil, seconds: nil))
    let packing = Packing(
      plan, data: folder, seed: seed ?? trained.seed ?? 1, threads: threads,
      observe: progress.observe)
    let packed = try packing.pack(weights)
    let quantize = model.settings.quantize
    let file = Report.ArtifactFile(
      path: output, bytes: try packed.container.write(output),
      codeBytes: quantize?.codeBytes ?? 0)
    let evaluator = Evaluator(
      functions: plan.functions, settings: model.settings,
      stream: try ValidationStream(folder, limit: limit), threads: threads, clock: now,
      observe: progress.observe)
    let scores = try evaluator.evaluate(
      float: weights, quantized: packed.artifact.parameters(), adapts: false, audit: nil)
    progress.end()
    let report = QuantizationReport(
      artifact: file, isAverage: try trained.isAverage(model), packed: packed, scores: scores,
      tensors: try packed.reports(madeFrom: weights))
    for remark in packed.remarks { printError("warning: \(remark)") }
    if let dumpIrAfter {
      let graph = try Pass.choosePrecision(packed.precision).run(model.graph)
      try printOutput("# after \(dumpIrAfter)\n\(graph.printed())")
    }
    try printOutput(
      form.json ? report.json.text : report.text(table: table, isPartial: limit != nil))
    let excess = OverBudget.exceeding(
      quantize, bytes: file.bytes, groups: packed.container.groups)
    if let excess { throw excess }
  }

  /// Passes of functions are those of `compile`; here weights are stored.
  private func checkDump() throws {
    let pass = Pass.choosePrecision([:]).name
    guard let dumpIrAfter else { return }
    guard dumpIrAfter == pass else {
      throw Failure.usage(
        "quantize runs one pass, \(pass); 'graphc compile' dumps after the others")
    }
    guard !form.json else {
      throw Failure.usage("--dump-ir-after prints text; leave --json out")
    }
  }
}
