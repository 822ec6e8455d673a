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
      --legal says for each of the twelve invariants of a legal score what establishes it: a type, a \
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
    let model = try loadModel(file, overrides: model.pairs())
    if legal { return try printCertificate(model) }
    let plan = try compile(model, target: Host.target())
    let parameters = model.graph.parameterCount
    let limit = MemoryLimit.current()
    let shortage = try MemoryShortage.of(plan, { MemoryNeed.run($0, adapts: true) }, limit: limit)
    if form.json {
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
