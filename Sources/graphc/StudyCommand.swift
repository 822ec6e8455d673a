// SPDX-License-Identifier: Apache-2.0
// graphc study: runs a grid of consts and seeds, and says what differs and whether it could be chance.

import ArgumentParser
import Formats
import IR
import Passes
import Runtime

struct StudyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "study",
    abstract: "Measure what values of consts bring, over several seeds.",
    discussion: """
      Every value of --vary with every seed is a run, as 'graphc run' alone would do it, in a folder below \
      --out. The means stand in one table there (study.md, .csv, .json) with their difference to the first row \
      and Welch's p, and in a picture (study.svg). --stage quantize or ttt trains once for each seed, where \
      the consts act only behind training. --resume goes on, also with more values and seeds.

      Example: graphc study graphs/tiny.graph --data data --vary rate_matrix=0.01,0.02 --seeds 1,2,3 \
      --steps 200 --out studies/rate
      """)

  @Argument(help: "The .graph file.")
  var file: String

  @Option(help: "Folder of token shards, as 'graphc data prepare' makes it.")
  var data: String

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A const and its values; several make a grid.", valueName: "const=a,b,c"))
  var vary: [String] = []

  @Option(help: "Seeds, such as 1337,42,7.")
  var seeds = "1"

  @Option(help: "The first stage that the consts act in: train, quantize or ttt.")
  var stage = StudyStage.train

  @Option(help: "Train this many steps.")
  var steps: Int?

  @Option(help: "Train at most this many seconds; evaluation does not count.")
  var maxSeconds: Double?

  @Option(help: "Folder of the study.")
  var out: String

  @Flag(help: "Go on in --out: what is done is kept.")
  var resume = false

  @Flag(help: "Adapt at test time, as the file's ttt section says. --stage ttt does.")
  var ttt = false

  @Option(
    help: ArgumentHelp(
      "The number that settings are compared by: \(StudyTable.metrics.joined(separator: ", ")). "
        + "Default: the first that there is."))
  var metric: String?

  @OptionGroup var tokenizing: TokenizerOptions

  @OptionGroup var threading: ThreadOptions

  @OptionGroup var validation: ValidationOptions

  @OptionGroup var compute: PrecisionOptions

  @OptionGroup var model: ModelOptions

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let variations = try self.variations()
    let settings = StudySetting.grid(variations)
    let points = try seedNumbers().flatMap { seed in
      settings.map { StudyPoint(setting: $0, seed: seed) }
    }
    if let metric, !StudyTable.metrics.contains(metric) {
      let hint = suggestion(for: metric, among: StudyTable.metrics).map { "; \($0)" } ?? ""
      throw Failure.usage("--metric \(metric) is none of a study's numbers\(hint)")
    }
    let base = try check(settings)
    let directory = try StudyDirectory(out, resumes: resume, study: study(of: base))
    Interruption.install()
    let runner = StudyRunner(
      directory: directory, stage: stage, runArguments: try runArguments(),
      declares: { overrides in overrides.flatMap { ["--set", $0] } })
    var outcomes = points.map { StudyOutcome(point: $0) }
    for index in outcomes.indices {
      printError("[\(index + 1)/\(points.count)] \(points[index].description)")
      outcomes[index] = try runner.outcome(of: points[index])
      let table = StudyTable(
        variations: variations, settings: settings, outcomes: outcomes, chosen: metric)
      try directory.write(table, title: "\(base.name): \(vary.joined(separator: ", "))")
      if Interruption.signal != 0 { throw StudyInterrupted() }
    }
    let table = StudyTable(
      variations: variations, settings: settings, outcomes: outcomes, chosen: metric)
    try printOutput(form.json ? directory.json(table).text : table.text)
    let failed = outcomes.filter { $0.state != .done }
    guard failed.isEmpty else {
      throw Failure.check(
        "error: \(counted(failed.count, "point")) of \(points.count) failed; what they said stands in "
          + "\(out)/points/*/errors.txt, and --resume tries them again")
    }
  }

  // MARK: Arguments

  private func variations() throws -> [StudyVariation] {
    guard !vary.isEmpty else {
      throw Failure.usage("nothing is varied; such as --vary rate_matrix=0.01,0.02")
    }
    let variations = try vary.map(StudyVariation.init)
    for (index, variation) in variations.enumerated() {
      let others = variations[..<index].map(\.name) + (try model.texts().map(\.name))
      if others.contains(variation.name) {
        throw Failure.usage("'\(variation.name)' is given twice by --vary or --set")
      }
    }
    return variations
  }

  private func seedNumbers() throws -> [UInt64] {
    let numbers = seeds.split(separator: ",").map { UInt64($0) }
    guard !numbers.isEmpty, numbers.allSatisfy({ $0 != nil }), Set(numbers).count == numbers.count
    else {
      throw Failure.usage("--seeds takes different whole numbers with commas, found '\(seeds)'")
    }
    return numbers.compactMap(\.self)
  }

  /// Compiles every setting before anything runs. Returns the model without any of them.
  private func check(_ settings: [StudySetting]) throws -> Model {
    let base = try loadModel(file, choices: model.choices())
    let adapts = ttt || stage == .ttt
    for setting in settings {
      var options = model
      options.overrides += setting.overrides
      let varied = try loadModel(file, choices: options.choices())
      guard varied.settings.train != nil else {
        throw Failure(exitCode: 3, message: "error: \(file) has no train section; nothing to study")
      }
      if adapts, varied.settings.ttt == nil {
        throw Failure.usage(
          "\(setting.overrides.joined(separator: ", ")): the ttt section of \(file) is off or missing"
        )
      }
      let first = stage.earliest(base, varied)
      if first != stage {
        throw Failure.usage(
          "\(setting.overrides.joined(separator: ", ")) changes the stage '\(first.rawValue)' already; "
            + "give --stage \(first.rawValue)")
      }
      try checkVocabulary(
        varied, DataFolder.open(data, tokenizer: tokenizing.tokenizer), isGraph: true)
    }
    return base
  }

  /// What the study is of: another one does not go on in its folder.
  private func study(of base: Model) throws -> JSONValue {
    let folder = try DataFolder.open(data, tokenizer: tokenizing.tokenizer)
    return [
      "file": .string(file), "graph": .string(SHA256.hex(base.withoutLocations.printed())),
      "data": .string(try folder.evidence().content), "stage": .string(stage.rawValue),
      "steps": steps.map(JSONValue.int) ?? .null,
      "max_seconds": maxSeconds.map(JSONValue.double) ?? .null,
      "ttt": .bool(ttt || stage == .ttt),
      "validation_tokens": try validation.limit().map(JSONValue.int) ?? .null,
      "precision": .string(try compute.precision.resolved().rawValue),
    ]
  }

  /// The arguments that every run of the study has.
  private func runArguments() throws -> [String] {
    var arguments = ["run", file, "--data", data, "--json"]
    func add(_ option: String, _ value: String?) {
      if let value { arguments += [option, value] }
    }
    add("--tokenizer", tokenizing.tokenizer)
    add("--preset", model.preset)
    for override in model.overrides { add("--set", override) }
    add("--steps", steps.map { "\($0)" })
    add("--max-seconds", maxSeconds.map { "\($0)" })
    add("--threads", "\(try threading.resolved())")
    add("--validation-tokens", try validation.limit().map { "\($0)" })
    add("--precision", compute.precision.rawValue)
    return arguments + (ttt || stage == .ttt ? ["--ttt"] : [])
  }
}

/// A signal stopped a study between or in its points.
struct StudyInterrupted: Error {}

/// What comes one after another in a run.
enum StudyStage: String, ExpressibleByArgument, CaseIterable {
  case train, quantize, ttt

  /// The first stage whose results differ between two models.
  func earliest(_ base: Model, _ varied: Model) -> StudyStage {
    if self == .train || base.forTraining.printed() != varied.forTraining.printed() {
      return .train
    }
    return self == .quantize || base.settings.quantize != varied.settings.quantize
      ? .quantize : .ttt
  }
}
