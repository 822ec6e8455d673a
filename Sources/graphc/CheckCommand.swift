// SPDX-License-Identifier: Apache-2.0
// graphc check: everything that can be wrong with a file before any data is read.

import ArgumentParser
import Formats
import IR
import Language
import Passes
import Runtime

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Check a file and compile all its functions, writing nothing.",
    discussion: """
      The file is checked under each of its presets too. --legal says for each of the twelve invariants \
      of a legal score what establishes it: a type, a \
      proof, a check at run time, or nobody (assumed), with what a reviewer has to look at.

      Example: graphc check graphs/tiny.graph --set dim=256
      """)

  @Argument(help: "The .graph file, or - for standard input.")
  var file: String

  @OptionGroup var model: ModelOptions

  @Flag(help: "Name the params that each feature acts on.")
  var verbose = false

  @Flag(help: "Print the certificate: what makes the scores legal, claim by claim.")
  var legal = false

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let text = try readText(file)
    let choices = try self.model.choices()
    let model = try loadModel(file, text: text, choices: choices)
    if legal { return try printCertificate(model) }
    // Of the file as it stands and of each preset; of a preset alone where one was asked for.
    let presets = choices.first == nil ? model.presets : []
    for preset in presets {
      _ = try loadModel(file, text: text, choices: Choices(preset: preset))
    }
    let plan = try compile(model, target: Host.target())
    let parameters = model.graph.parameterCount
    let limit = MemoryLimit.current()
    let shortage = try MemoryShortage.of(plan, { MemoryNeed.run($0, adapts: true) }, limit: limit)
    if form.json {
      let document: JSONValue = [
        "schema": "graphc-check/1", "model": .string(model.name), "parameters": .int(parameters),
        "vocab": model.vocab.map(JSONValue.int) ?? .null, "float_bytes": .int(4 * parameters),
        "flops": model.flopsDocument, "presets": .array(presets.map(JSONValue.string)),
        "functions": .array(
          plan.functions.map {
            [
              "name": .string($0.name), "calls": .int($0.body.count),
              "arena_bytes": .int($0.arenaBytes), "state_bytes": .int($0.stateBytes),
            ]
          }),
        "live": .array(
          model.features.map {
            [
              "feature": .string($0.name), "window": .string($0.window),
              "params": .array($0.params.map(JSONValue.string)),
            ]
          }),
        "memory": plan.memoryDocument(shortage, limit: limit),
        "warnings": .int(model.warnings.count),
      ]
      return try printOutput(document.text)
    }
    try printOutput(
      "\(model.name): \(grouped(parameters)) parameters, \(grouped(4 * parameters)) bytes as floats"
    )
    if let flops = model.flopsPerToken {
      try printOutput(
        "a token takes \(fixed(flops.forward / 1e6, 1)) MFLOP forward, "
          + "\(fixed(flops.training / 1e6, 1)) in a training step")
    }
    try printOutput("\nfunctions")
    try printOutput(
      textTable(
        plan.functions.map {
          let megabytes = Double($0.arenaBytes + $0.stateBytes) / 1_000_000
          return ["  " + $0.name, counted($0.body.count, "call"), fixed(megabytes, 1) + " MB"]
        }, right: [1, 2]))
    if !model.features.isEmpty {
      try printOutput("\nfeatures")
      try printOutput(table(model.features))
    }
    if let shortage { try printOutput("\nmemory\n  it does not run here: \(shortage.description)") }
    if !presets.isEmpty { try printOutput("\npresets\n  " + presets.joined(separator: ", ")) }
    try printOutput("\nok")
  }

  /// A line a feature, with the number of params it acts on; with --verbose their paths below it.
  private func table(_ features: [Feature]) -> String {
    let rows = textTable(
      features.map { ["  " + $0.name, counted($0.params.count, "param"), $0.window] }, right: [1])
    guard verbose else { return rows }
    return zip(rows.split(separator: "\n"), features).map { row, feature in
      ([String(row)] + feature.params.map { "      " + $0 }).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  private func printCertificate(_ model: Model) throws {
    let certificate = try Certificate(of: model)
    try printOutput(form.json ? certificate.json.text : certificate.text)
  }
}

extension Model {
  /// Entries of the distribution that the model returns.
  var vocab: Int? {
    scored.graph.outputs.first.flatMap { scored.graph.type($0.value).shape.last?.number }
  }

  /// FLOPs of one token in the sizes of the train section; nil without one.
  var flopsPerToken: (forward: Double, training: Double)? {
    guard let train = settings.train else { return nil }
    let usesMuon = train.optimizers.contains { $0.rule.op == .muonUpdate }
    return ModelFlops(self).perToken(
      rows: train.rows * train.accumulate, seq: train.seq, optimizer: usesMuon ? .muon : .adamw)
  }

  var flopsDocument: JSONValue {
    guard let flops = flopsPerToken else { return .null }
    return ["forward_per_token": .double(flops.forward), "step_per_token": .double(flops.training)]
  }
}

extension Certificate {
  /// The certificate for people: each invariant with what establishes it, its claim below.
  var text: String {
    let width = invariants.map(\.how.rawValue.count).max() ?? 0
    let lines = invariants.map { entry in
      let id = entry.id + String(repeating: " ", count: max(1, 5 - entry.id.count))
      let how =
        entry.how.rawValue + String(repeating: " ", count: width - entry.how.rawValue.count)
      return "\(id)\(how)  \(entry.by)\n     \(entry.claim)"
    }
    let assumed = invariants.count { $0.how == .assumed }
    return "\(model), model \(graph.prefix(16))\n\n" + lines.joined(separator: "\n")
      + "\n\n\(counted(assumed, "claim")) assumed: nobody here checks what they say"
  }
}
