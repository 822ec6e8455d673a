// SPDX-License-Identifier: Apache-2.0
// graphc diff: what changes from one model to another.

import ArgumentParser
import Formats
import IR
import Language

struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Print what changes from one model to another.",
    discussion: """
      Elaborated models are compared: params, ops by the part they stand in, variants, sections. Comments, \
      layout and names of locals do not count; equal models print nothing. --preset and --set apply to both.

      Example: graphc diff graphs/baseline.graph graphs/tiny.graph
      """)

  @Argument(help: "The .graph file to begin with.")
  var old: String

  @Argument(help: "The .graph file that it becomes.")
  var new: String

  @OptionGroup var model: ModelOptions

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    let choices = try model.choices()
    let (first, second) = (
      try loadModel(old, choices: choices), try loadModel(new, choices: choices)
    )
    let difference = ModelDifference(first, second)
    if form.json {
      let document: JSONValue = [
        "schema": "graphc-diff/1", "old": .string(first.name), "new": .string(second.name),
        "parameters": [.int(first.graph.parameterCount), .int(second.graph.parameterCount)],
        "changes": .array(
          difference.changes.map {
            [
              "kind": .string($0.kind.rawValue), "sign": .string(String($0.sign)),
              "text": .string($0.text),
            ]
          }),
      ]
      return try printOutput(document.text)
    }
    for change in difference.changes { try printOutput("\(change.sign) \(change.text)") }
  }
}
