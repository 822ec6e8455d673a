// SPDX-License-Identifier: Apache-2.0
// graphc eval: the scores of an artifact, as a run would print them.

import ArgumentParser
import Formats
import IR
import Passes
import Runtime

struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Score an artifact on held-out text.",
    discussion: """
      Without --window, --stride and --validation-tokens the scores are, to the bit, those of the \
      run that wrote the artifact.

      Example: graphc eval runs/tiny/artifact.gca --data data --ttt
      """)

  @Argument(help: "The artifact.")
  var artifact: String

  @Option(help: "Folder of token shards, as 'graphc data prepare' makes it.")
  var data: String

  @OptionGroup var tokenizing: TokenizerOptions

  @Flag(help: "Adapt at test time, as the file's ttt section says.")
  var ttt = false

  @Option(help: "Tokens that every evaluation's window sees, instead of the file's.")
  var window: Int?

  @Option(help: "Tokens from one sliding window to the next, instead of the file's.")
  var stride: Int?

  @OptionGroup var validation: ValidationOptions

  @OptionGroup var compute: PrecisionOptions

  @OptionGroup var threading: ThreadOptions

  @Option(help: "Leave a directory of evidence here, as 'graphc audit' verifies it.")
  var out: String?

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let threads = try threading.resolved()
    if let out { try EvaluationDirectory.check(out) }
    let loaded = try PackedArtifact(artifact)
    var model = loaded.model
    let validationTokens = try validation.limit()
    model.settings.evaluate = try evaluations(model.settings.evaluate)
    if ttt && model.settings.ttt == nil {
      throw Failure.usage("--ttt: the ttt section of \(artifact) is off or missing")
    }
    if !ttt { model.settings.ttt = nil }
    let plan = try compile(model, target: Host.target(compute.precision))
    let adapts = ttt
    let shortage = try MemoryShortage.of(plan) { MemoryNeed.evaluation($0, adapts: adapts) }
    if let shortage { throw shortage.failure }
    let data = try DataFolder.open(data, tokenizer: tokenizing.tokenizer)
    try checkVocabulary(model, data)
    try data.requireEvidence()
    try model.settings.checkScorable(data, limit: validationTokens, adapts: ttt)
    let progress = RunProgress(length: TrainingLength(steps: nil, seconds: nil))
    let phases = PhaseClock(clock: now)
    let evaluator = Evaluator(
      functions: plan.functions, settings: model.settings,
      stream: try ValidationStream(data, limit: validationTokens), threads: threads, clock: now,
      observe: phases.billing(progress.observe))
    let directory = try out.map { out in
      try EvaluationDirectory(
        out, artifact: artifact, codeBytes: model.settings.quantize?.codeBytes ?? 0,
        manifest: RunManifest(
          evaluating: plan, declared: loaded.model, artifact: SHA256.hex(file: artifact),
          options: options, adapts: ttt, validationTokens: validationTokens, data: data,
          version: version))
    }
    let scores = try evaluator.evaluate(
      float: nil, quantized: loaded.parameters(), adapts: ttt, audit: directory?.audit)
    progress.end()
    var report = Report(
      precision: plan.target.compute,
      artifact: Report.ArtifactFile(path: artifact, bytes: try OpenFile(artifact).count),
      scores: scores)
    report.seconds = phases.seconds
    try directory?.finish(report)
    try printOutput(
      form.json
        ? report.json.text : report.table(isPartial: validationTokens != nil, evidence: out))
    if let excess = scores.excess { throw excess }
  }

  /// The file's evaluations with the window and stride of the command line.
  private func evaluations(_ declared: [Evaluation]) throws -> [Evaluation] {
    if let window, window > 1 << 32 {
      throw Failure.usage("--window \(window): one pass holds at most \(1 << 32) tokens")
    }
    let result = try options.applied(to: declared)
    if result.allSatisfy(\.onFloat) && !ttt {
      throw Failure.usage(
        "\(artifact) declares no evaluation on quantised weights; give --window")
    }
    return result
  }

  private var options: EvaluationOptions { EvaluationOptions(window: window, stride: stride) }
}
