// SPDX-License-Identifier: Apache-2.0
// graphc run: from a graph and data to a trained, packed and scored artifact.

import ArgumentParser
import Formats
import IR
import Passes
import Runtime

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Train, quantise, pack, evaluate and adapt as the file declares.",
    discussion: "Example: graphc run --ttt graphs/tiny.graph --data data --max-seconds 120")

  @Argument(help: "The .graph file, or a plan.")
  var file: String

  @Option(help: "Folder of token shards, as 'graphc data prepare' makes it.")
  var data: String

  @OptionGroup var tokenizing: TokenizerOptions

  @Option(help: "Run directory. Default: runs/NAME.")
  var out: String?

  @Flag(help: "Adapt at test time, as the file's ttt section says.")
  var ttt = false

  @Option(help: "Train this many steps. Resuming repeats to the bit.")
  var steps: Int?

  @Option(help: "Train at most this many seconds; evaluation does not count.")
  var maxSeconds: Double?

  @Option(help: "Seed of the initial weights.")
  var seed: UInt64 = 1

  @OptionGroup var threading: ThreadOptions

  @OptionGroup var validation: ValidationOptions

  @Flag(help: "Continue the run in --out from its newest checkpoint.")
  var resume = false

  @Flag(
    help: ArgumentHelp(
      "Record the third step and a scoring batch: where the time went, by kernel, on stderr and in "
        + "profile.txt, and every tile in trace.json, for Perfetto, in the run directory."))
  var profile = false

  @OptionGroup var compute: PrecisionOptions

  @OptionGroup var model: ModelOptions

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let phases = PhaseClock(clock: now)
    let threads = try threading.resolved()
    let validationTokens = try validation.limit()
    if let out { try Run.checkDirectory(out, resumes: resume) }
    let plan = try loadPlan(file, choices: model.choices(), compute: compute.precision)
    guard let train = plan.model.settings.train else {
      throw Failure(exitCode: 3, message: "error: \(file) has no train section; nothing to run")
    }
    if ttt && plan.model.settings.ttt == nil {
      throw Failure.usage("--ttt: the ttt section of \(file) is off or missing")
    }
    let length = try TrainingLength(
      of: train, steps: steps, seconds: maxSeconds, file: file)
    try checkBudget(plan.model, length)
    let directory = try out ?? defaultDirectory(plan.model.name)
    try Run.checkDirectory(directory, resumes: resume)
    let adapts = ttt
    let shortage = try MemoryShortage.of(plan) { MemoryNeed.run($0, adapts: adapts) }
    if let shortage { throw shortage.failure }
    let data = try DataFolder.open(data, tokenizer: tokenizing.tokenizer)
    try checkVocabulary(plan.model, data, isGraph: true)
    try data.requireDisjoint()
    try data.requireEvidence()
    let progress = RunProgress(length: length)
    var profiles: [Profile] = []
    Interruption.install()
    let options = RunOptions(
      directory: directory, length: length, seed: seed, threads: threads, adapts: ttt,
      resumes: resume, validationTokens: validationTokens, profiles: profile)
    let run = Run(
      plan: plan, data: data, options: options,
      clock: now, phases: phases, replan: { try compile($0, target: plan.target) },
      isInterrupted: { Interruption.signal != 0 },
      observe: { event in
        if case .profiles(let recorded) = event { profiles = recorded }
        try progress.observe(event)
      })
    progress.begin(plan, threads: threads, directory: directory)
    let manifest = try RunManifest(
      plan, data: data, options: options, preset: model.preset,
      overrides: model.overrides, version: version)
    let outcome = Result { try run.run(manifest: manifest) }
    progress.end()
    // Of an interrupted or failed run too.
    if !profiles.isEmpty { try write(profiles, in: directory) }
    var report = try outcome.get()
    if form.json {
      try printOutput(report.json.text)
    } else {
      report.heldOut = try HeldOutSizes(data)
      try printOutput(
        report.summary(
          budget: plan.model.settings.quantize?.budget, isPartial: validationTokens != nil,
          data: self.data))
    }
    if let overBudget = report.overBudget { throw overBudget }
    if let excess = report.overtime ?? report.scores.excess { throw excess }
    if let limit = plan.model.settings.expect.artifactAtMost, report.artifact.bytes > limit {
      throw Failure.check(
        "error: the artifact has \(report.artifact.bytes) bytes, the expect section allows \(limit)"
      )
    }
  }

  /// runs/NAME, for names that lead nowhere else.
  private func defaultDirectory(_ name: String) throws -> String {
    let isPlain = name.allSatisfy {
      $0.isASCII && ($0.isLetter || $0.isNumber || "_-.".contains($0))
    }
    guard isPlain, !name.hasPrefix("."), !name.isEmpty else {
      throw Failure.usage("the model's name '\(name)' is no folder's name; give --out")
    }
    return "runs/" + name
  }

  /// Refuses a budget that no training can meet, and warns of one that it may miss.
  private func checkBudget(_ model: Model, _ length: TrainingLength) throws {
    let estimate = try SizeEstimate(model, steps: length.certainSteps)
    if let infeasible = estimate.infeasible { throw infeasible }
    guard estimate.verdict == .uncertain, let room = estimate.room else { return }
    printError(
      "warning: the artifact is expected to have \(estimate.bytes.text) bytes, the budget has room for "
        + "\(grouped(room)); 'graphc estimate' says what takes them")
  }

  /// Writes profile.txt and trace.json; the table goes to stderr too.
  private func write(_ profiles: [Profile], in directory: String) throws {
    let peaks = Machine.measuredPeaks(threads: profiles[0].threads)
    let text = profileText(profiles, peaks: peaks)
    printError(text)
    try AtomicFile.write(directory + "/profile.txt", text + "\n")
    try writeTrace(profiles, to: directory + "/trace.json")
  }
}
