// SPDX-License-Identifier: Apache-2.0
// graphc check: everything that can be wrong with a file before any data is read.

import ArgumentParser
import Formats
import IR
import Passes
import Runtime

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Check a file and compile all its functions, writing nothing.",
    discussion: "Example: graphc check graphs/tiny.graph --set dim=256")

  @Argument(help: "The .graph file, or - for standard input.")
  var file: String

  @OptionGroup var model: ModelOptions

  @Flag(help: "Print the summary as one JSON document.")
  var json = false

  mutating func run() throws {
    let model = try loadModel(file, overrides: model.pairs())
    var runner = PassRunner()
    let plan = try compile(model, target: try Host.target(), runner: &runner)
    let parameters = model.graph.parameterCount
    let limit = MemoryLimit.current()
    let shortage = try MemoryShortage.of(plan, { MemoryNeed.run($0, adapts: true) }, limit: limit)
    if json {
      let document: JSONValue = [
        "schema": "graphc-check/1", "model": .string(model.name), "parameters": .int(parameters),
        "float_bytes": .int(4 * parameters),
        "functions": .array(
          plan.functions.map {
            [
              "name": .string($0.name), "calls": .int($0.body.count),
              "arena_bytes": .int($0.arenaBytes), "state_bytes": .int($0.stateBytes),
            ]
          }),
        "features": .array(
          model.features.map { ["feature": .string($0.name), "window": .string($0.window)] }),
        "memory": plan.memoryDocument(shortage, limit: limit),
        "warnings": .int(model.warnings.count),
      ]
      return try printOutput(document.text)
    }
    try printOutput(
      "\(model.name): \(grouped(parameters)) parameters, \(grouped(4 * parameters)) bytes as floats"
    )
    try printOutput("\nfunctions")
    try printOutput(
      textTable(
        plan.functions.map {
          let megabytes = Double($0.arenaBytes + $0.stateBytes) / 1_000_000
          return ["  " + $0.name, counted($0.body.count, "call"), fixed(megabytes, 1) + " MB"]
        }, right: [1, 2]))
    if !model.features.isEmpty {
      try printOutput("\nfeatures")
      try printOutput(textTable(model.features.map { ["  " + $0.name, $0.window] }))
    }
    if let shortage { try printOutput("\nmemory\n  it does not run here: \(shortage.description)") }
    try printOutput("\nok")
  }
}

extension Model {
  /// What the sections switch on, and when or over what.
  var features: [(name: String, window: String)] {
    var features: [(name: String, window: String)] = []
    if let train = settings.train {
      for entry in train.optimizers {
        features.append(("optimizer \(entry.target.optimizerText)", entry.rule.text))
      }
      if let clip = train.clip { features.append(("clip", "norm \(shortest(clip)), every step")) }
      if train.warmup > 0 { features.append(("warmup", "steps 1 to \(train.warmup)")) }
      switch train.warmdown {
      case .steps(let steps): features.append(("warmdown", "the last \(steps) steps"))
      case .fraction(let part):
        features.append(("warmdown", "the last \(shortest(part)) of training"))
      case nil: break
      }
      if case .ema(let decay) = train.average {
        features.append(("average", "ema(\(shortest(decay))), every step"))
      }
      if let zLoss = train.zLoss { features.append(("z_loss", "\(shortest(zLoss)), every step")) }
      if train.accumulate > 1 {
        features.append(("accumulate", "\(train.accumulate) passes a step"))
      }
    }
    if case .on(_, let start) = settings.qat { features.append(("qat", "from \(start.text)")) }
    for variant in variants {
      if let start = variant.start {
        features.append(("variant \(variant.name)", "from \(start.text)"))
      }
    }
    if let budget = settings.quantize?.budget {
      features.append(("budget", "\(grouped(budget)) bytes"))
    }
    for entry in settings.evaluate {
      let stride = entry.stride.map { ", stride \($0)" } ?? ""
      features.append(("evaluate \(entry.name)", "window \(entry.window)\(stride)\(entry.onFloat ? ", on float" : "")"))
    }
    if let ttt = settings.ttt {
      features.append(
        (
          "ttt \(ttt.mode.rawValue)",
          "chunks of \(grouped(ttt.chunk)), window \(ttt.window), stride \(ttt.stride), "
            + counted(ttt.epochs, "epoch")
        ))
    }
    return features
  }
}
