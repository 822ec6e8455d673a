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

  @Option(help: "Products and attention: f32, bf16, or auto: bf16 where the machine has it.")
  var precision: PrecisionChoice = .f32

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @OptionGroup var model: ModelOptions

  @Flag(help: "Print a summary as one JSON document.")
  var json = false

  mutating func run() throws {
    let compute = try precision.resolved()
    if interpreter && compute == .bf16 {
      throw Failure.usage("--interpreter computes in float64; drop --precision bf16")
    }
    let threads = try Host.threads(threads)
    let isStream = function == .slide || function == .ttt
    if interpreter && isStream {
      throw Failure.usage(
        "--interpreter runs loss, logits and grad; \(function.rawValue) has no interpreter")
    }
    // The graph first: what is wrong with it counts more than what is wrong with the files.
    let graph = try loadModel(file, overrides: model.pairs(), used: function.sections)
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
    var results: [String: TensorBlob]
    switch function {
    case .slide, .ttt:
      guard ids.shape.count == 1, ids.count > 1 else {
        throw FormatError(
          .corrupt, file: tokens,
          "\(function.rawValue) takes a stream [targets + 1], found shape \(ids.shape)")
      }
      results = try runStream(graph, parameters, values, threads, names)
    case .loss, .logits, .grad:
      let batch = try Batch(ids.shape, values, try readTargets(ids.shape, graph))
      results =
        interpreter
        ? try interpret(graph, parameters, batch, names)
        : try execute(graph, parameters, batch, threads, compute, names)
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

  private struct Batch {
    let rows: Int
    let seq: Int
    let ids: [Int32]
    let targets: [Int32]?
    var sizes: [String: Int] { ["B": rows, "T": seq] }

    init(_ shape: [Int], _ ids: [Int32], _ targets: [Int32]?) throws {
      (rows, seq) = (shape[0], shape[1])
      self.ids = ids
      self.targets = targets
    }
  }

  private func passes(_ model: Model, _ batch: Batch) -> [Pass] {
    let sizes = model.scored.graph.openSizes(batch.sizes)
    let zLoss = model.settings.train?.zLoss ?? 0
    switch function {
    case .logits: return Pipeline.logits(sizes: sizes)
    case .loss: return Pipeline.loss(sizes: sizes, zLoss: zLoss)
    default: return Pipeline.gradient(sizes: sizes, zLoss: zLoss)
    }
  }

  // MARK: Kernels

  private func execute(
    _ model: Model, _ parameters: ParameterBlock, _ batch: Batch, _ threads: Int,
    _ compute: ComputePrecision, _ names: [String: String]
  ) throws -> [String: TensorBlob] {
    func lowered(_ batch: Batch) throws -> (Graph, PlanFunction) {
      var runner = PassRunner()
      let graph = try runner.run(
        passes(model, batch) + [.chooseComputePrecision(compute)] + Pipeline.fuse,
        on: model.scored.graph)
      return (graph, try lower(graph, layout: parameters.layout))
    }
    let (graph, function) = try lowered(batch)
    let others = parameters.layout.bytes
    let shortage = try MemoryShortage(
      function.name, needed: others + function.memoryBytes, rows: batch.rows
    ) { others + (try lowered(try Batch([$0, batch.seq], [], nil)).1.memoryBytes) }
    if let shortage { throw shortage.failure }
    let executable = try Executable(function, parameters: parameters, threads: threads)
    let sizes = [batch.rows, batch.seq]
    _ = executable.tokens(function.inputs[0].name, sizes).update(from: batch.ids)
    if let targets = batch.targets {
      _ = executable.tokens("targets", sizes).update(from: targets)
      executable.input("weights").update(repeating: 1 / Float(batch.rows * batch.seq))
    }
    executable.prepareParameters()
    executable.run()
    var results: [String: TensorBlob] = [:]
    if self.function == .logits {
      results["logits"] = TensorBlob(
        Array(executable.output("logits")), shape: type(graph, "logits").sizes)
      return results
    }
    let nll = executable.output("nll").map(Double.init)
    results["nll"] = TensorBlob(nll, shape: [batch.rows, batch.seq])
    results["loss"] = TensorBlob([nll.reduce(0, +) / Double(nll.count)], shape: [1])
    if model.settings.train?.zLoss ?? 0 > 0 {
      results["loss"] = TensorBlob([Double(executable.output("loss")[0])], shape: [1])
    }
    for output in function.outputs where output.name.hasPrefix("grad.") {
      let path = String(output.name.dropFirst(5))
      results["grad." + (names[path] ?? path)] = TensorBlob(
        Array(executable.output(output.name)), shape: output.type.sizes)
    }
    return keep(results)
  }

  private func type(_ graph: Graph, _ output: String) -> TensorType {
    graph.type(graph.output(named: output)!)
  }

  /// loss has loss and nll; grad has loss and gradients.
  private func keep(_ results: [String: TensorBlob]) -> [String: TensorBlob] {
    function == .grad ? results.filter { $0.key != "nll" } : results
  }

  // MARK: Interpreter

  private func interpret(
    _ model: Model, _ parameters: ParameterBlock, _ batch: Batch, _ names: [String: String]
  ) throws -> [String: TensorBlob] {
    var runner = PassRunner()
    let graph = try runner.run(passes(model, batch), on: model.scored.graph)
    var values: [String: [Double]] = [:]
    for entry in parameters.layout.entries {
      values[entry.parameter.path] = parameters[entry.parameter.path]!.map(Double.init)
    }
    var inputs: [String: Interpreter.Content] = [graph.name(graph.inputs[0]): .ids(batch.ids)]
    if let targets = batch.targets {
      inputs["targets"] = .ids(targets)
      let count = batch.rows * batch.seq
      inputs["weights"] = .reals([Double](repeating: 1 / Double(count), count: count))
    }
    let outputs = try Interpreter(graph).run(parameters: values, inputs: inputs).outputs
    var results: [String: TensorBlob] = [:]
    for (name, content) in outputs {
      guard case .reals(let reals) = content else { continue }
      let shape = type(graph, name).sizes
      switch name {
      case "loss": results[name] = TensorBlob(reals, shape: [1])
      case "nll": results[name] = TensorBlob(reals, shape: shape)
      case "logits": results[name] = TensorBlob(reals.map(Float.init), shape: shape)
      case let name where name.hasPrefix("grad."):
        let path = String(name.dropFirst(5))
        results["grad." + (names[path] ?? path)] = TensorBlob(reals.map(Float.init), shape: shape)
      default: break
      }
    }
    return keep(results)
  }

  // MARK: Streams

  private func runStream(
    _ model: Model, _ parameters: ParameterBlock, _ tokens: [Int32], _ threads: Int,
    _ names: [String: String]
  ) throws -> [String: TensorBlob] {
    var model = model
    var runner = PassRunner()
    if function == .slide {
      guard let sliding = model.settings.evaluate.first(where: { $0.stride != nil }) else {
        throw Failure(
          exitCode: 3, message: "error: the evaluate section of \(file) has no entry with a stride")
      }
      model.settings.evaluate = [sliding]
      let plan = try compile(model, target: try Host.target(precision), runner: &runner)
      try requireMemory(plan)
      let scorer = try Scorer(
        plan.functions, window: sliding.window,
        rows: sliding.batch ?? scoringRows(window: sliding.window), scored: sliding.scoredPerWindow,
        parameters: parameters, threads: threads)
      var nll = [Float](repeating: 0, count: tokens.count - 1)
      let windows = slidingWindows(
        targets: nll.count, length: sliding.window, stride: sliding.stride!)
      scorer.score(windows, of: tokens, into: &nll)
      return ["nll": TensorBlob(nll.map(Double.init), shape: [nll.count])]
    }
    guard let ttt = model.settings.ttt else {
      throw Failure(exitCode: 3, message: "error: the ttt section of \(file) is off or missing")
    }
    let plan = try compile(model, target: try Host.target(precision), runner: &runner)
    try requireMemory(plan)
    let adaptation = try Adaptation(
      plan.functions, settings: ttt, parameters: parameters, threads: threads)
    let result = try adaptation.run(tokens)
    var results: [String: TensorBlob] = [
      "nll": TensorBlob(result.nll.map(Double.init), shape: [result.nll.count]),
      "chunk_nll": TensorBlob(result.chunks, shape: [result.chunks.count]),
      "grad_norm": TensorBlob(result.gradientNorms, shape: [result.gradientNorms.count]),
    ]
    for entry in parameters.layout.entries {
      let path = entry.parameter.path
      results["final." + (names[path] ?? path)] = TensorBlob(
        Array(parameters[path]!), shape: entry.parameter.type.sizes)
    }
    return results
  }

  private func requireMemory(_ plan: Plan) throws {
    let shortage = try MemoryShortage.of(plan) { MemoryNeed.evaluation($0, adapts: true) }
    if let shortage { throw shortage.failure }
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
    if json {
      try printOutput(JSONValue.object(summary).text)
    } else {
      for key in ["loss", "nll_sum"] {
        if let value = summary[key] { try printOutput("\(key) \(value.text)") }
      }
      if let output { try printOutput("\(results.count) tensors in \(output)") }
    }
  }
}

/// A safetensors file of weights, matched to parameters with or without the suffix `.weight`.
struct WeightsFile {
  private let path: String
  private let tensors: [String: TensorBlob]

  init(_ path: String) throws {
    self.path = path
    tensors = try SafeTensors.read(path)
  }

  /// Fills a block and returns the file's name of each parameter. Everything must match exactly.
  func load(into parameters: ParameterBlock) throws -> [String: String] {
    var names: [String: String] = [:]
    let paths = parameters.layout.entries.map(\.parameter.path)
    for entry in parameters.layout.entries {
      let (path, shape) = (entry.parameter.path, entry.parameter.type.sizes)
      let name = tensors[path] != nil ? path : path + ".weight"
      guard let tensor = tensors[name] else {
        let hint = suggestion(for: path, among: Array(tensors.keys)).map { "; " + $0 } ?? ""
        throw FormatError(
          .corrupt, file: path == "" ? nil : self.path, "no tensor named \(path)\(hint)")
      }
      guard tensor.shape == shape else {
        throw FormatError(
          .corrupt, file: self.path, field: name,
          "shape \(tensor.shape), the graph declares \(shape); check --set")
      }
      let values = try tensor.floats()
      if let index = values.firstIndex(where: { !$0.isFinite }) {
        throw FormatError(.corrupt, file: self.path, field: name, "element \(index) is not finite")
      }
      _ = parameters[path]!.update(from: values)
      names[path] = name
    }
    let known = Set(names.values)
    if let extra = tensors.keys.sorted().first(where: { !known.contains($0) }) {
      let hint = suggestion(for: extra, among: paths).map { "; " + $0 } ?? ""
      throw FormatError(
        .corrupt, file: path, field: extra, "the graph has no such parameter\(hint)")
    }
    return names
  }
}
