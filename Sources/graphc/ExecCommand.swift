// SPDX-License-Identifier: Apache-2.0
// graphc exec: one function of a model on given weights and tokens, by kernels or by the interpreter.

import ArgumentParser
import Formats
import IR
import Language
import Passes
import Runtime

struct ExecCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec",
    abstract: "Run one function on given weights and tokens.",
    discussion: """
      Example: graphc exec m.graph --function grad --weights w.safetensors --tokens x.npy \
      --targets y.npy -o out.safetensors
      """)

  enum Function: String, ExpressibleByArgument, CaseIterable {
    case loss, logits, grad, slide, ttt

    /// The sections that the function uses; sizes that fit no other one do not matter.
    fileprivate var sections: Set<SectionName> {
      switch self {
      case .logits: [.initial, .expect]
      case .loss, .grad: [.initial, .expect, .train]
      case .slide: [.initial, .expect, .evaluate]
      case .ttt: [.initial, .expect, .ttt]
      }
    }
  }

  @Argument(help: "The .graph file.")
  var file: String

  @Option(help: "loss, logits, grad, slide or ttt.")
  var function: Function

  @Option(help: "Weights by parameter path; a suffix .weight is accepted.")
  var weights: String

  @Option(help: "int32 [batch, seq], or a stream [targets + 1] for slide and ttt.")
  var tokens: String

  @Option(help: "int32 [batch, seq], for loss and grad.")
  var targets: String?

  @Option(name: .shortAndLong, help: "Write the results to this safetensors file.")
  var output: String?

  @Flag(help: "Compute in float64 by the reference interpreter (loss, logits, grad).")
  var interpreter = false

  // The reference is f32, whatever the machine has.
  @Option(help: PrecisionChoice.help)
  var precision: PrecisionChoice = .f32

  @OptionGroup var threading: ThreadOptions

  @OptionGroup var model: ModelOptions

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    if try interpreter && precision.resolved() == .bf16 {
      throw Failure.usage("--interpreter computes in float64; drop --precision bf16")
    }
    let threads = try threading.resolved()
    let isStream = function == .slide || function == .ttt
    if interpreter && isStream {
      throw Failure.usage(
        "--interpreter runs loss, logits and grad; \(function.rawValue) has no interpreter")
    }
    // The graph first: what is wrong with it counts more than what is wrong with the files.
    let graph = try loadModel(file, choices: model.choices(), used: function.sections)
    let loaded = try WeightsFile(weights)
    let ids = try Npy.read(tokens)
    if !isStream {
      guard ids.shape.count == 2, ids.count > 0 else {
        throw FormatError(
          .corrupt, file: tokens, "tokens must be [batch, seq], found shape \(ids.shape)")
      }
      try checkSizes(ids.shape)
    }
    let parameters = try ParameterBlock(layout: ParameterLayout(graph.graph.parameters))
    let names = try loaded.load(into: parameters)
    let values = try checkedTokens(ids, tokens, graph)
    let exec = Exec(
      model: graph, file: file, parameters: parameters, names: names,
      target: try Host.target(precision), threads: threads)
    let results: [String: TensorBlob]
    switch function {
    case .slide, .ttt:
      guard ids.shape.count == 1, ids.count > 1 else {
        throw FormatError(
          .corrupt, file: tokens,
          "\(function.rawValue) takes a stream [targets + 1], found shape \(ids.shape)")
      }
      results = try function == .slide ? exec.slide(values) : exec.adapt(values)
    case .loss, .logits, .grad:
      let batch = ExecBatch(
        sizes: TokenSizes(rows: ids.shape[0], seq: ids.shape[1]), ids: values,
        targets: try readTargets(ids.shape, graph))
      results = try exec.run(function, batch, interpreted: interpreter)
    }
    if let output { _ = try SafeTensors.write(output, results) }
    try printSummary(results)
  }

  /// The tokens decide batch and seq; a --set that says otherwise is a contradiction.
  private func checkSizes(_ shape: [Int]) throws {
    for (name, size) in [("batch", shape[0]), ("seq", shape[1])] {
      if let text = try model.texts().last(where: { $0.name == name })?.text, Int(text) != size {
        throw Failure.usage(
          "--set \(name)=\(text) contradicts \(tokens), whose shape \(shape) makes \(name) \(size)")
      }
    }
  }

  private func checkedTokens(_ blob: TensorBlob, _ path: String, _ model: Model) throws -> [Int32] {
    let values = try blob.int32s()
    guard
      case .number(let vocabulary)? = model.graph.outputs.first.map({
        model.graph.type($0.value).shape.last!
      })
    else { return values }
    if let index = values.firstIndex(where: { $0 < 0 || $0 >= vocabulary }) {
      throw FormatError(
        .corrupt, file: path, field: "element \(index)",
        "token \(values[index]) is outside of the model's vocabulary of \(vocabulary)")
    }
    return values
  }

  private func readTargets(_ shape: [Int], _ model: Model) throws -> [Int32]? {
    if function == .logits { return nil }
    guard let targets else {
      throw Failure.usage("--function \(function.rawValue) needs --targets")
    }
    let blob = try Npy.read(targets)
    guard blob.shape == shape else {
      throw FormatError(
        .corrupt, file: targets, "targets have shape \(blob.shape), tokens \(shape)")
    }
    return try checkedTokens(blob, targets, model)
  }

  private func printSummary(_ results: [String: TensorBlob]) throws {
    var summary: [String: JSONValue] = [
      "schema": "graphc-exec/1", "function": .string(function.rawValue),
      "interpreter": .bool(interpreter),
    ]
    if let loss = try results["loss"]?.doubles().first { summary["loss"] = .double(loss) }
    if function == .slide || function == .ttt, let nll = try results["nll"]?.doubles() {
      summary["nll_sum"] = .double(nll.reduce(0, +))
    }
    if let output { summary["output"] = .string(output) }
    if form.json {
      try printOutput(JSONValue.object(summary).text)
    } else {
      for key in ["loss", "nll_sum"] {
        if let value = summary[key] { try printOutput("\(key) \(value.text)") }
      }
      if let output { try printOutput("\(results.count) tensors in \(output)") }
    }
  }
}
