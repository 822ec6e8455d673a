// SPDX-License-Identifier: Apache-2.0
// One function of a model on given tokens: a batch by kernels or by the interpreter, a stream by the
// scorer or by test-time training. Results are tensors under the names of the weights file.

import Formats
import IR
import Passes
import Runtime

/// A model with weights, ready to be executed.
struct Exec {
  let model: Model
  /// The graph's file, for messages.
  let file: String
  let parameters: ParameterBlock
  /// Names of the weights file by parameter path.
  let names: [String: String]
  let target: TargetMachine
  let threads: Int

  private func name(_ path: String) -> String { names[path] ?? path }
}

/// Tokens and targets [rows, seq].
struct ExecBatch {
  let sizes: TokenSizes
  let ids: [Int32]
  let targets: [Int32]?
}

// MARK: Batches

extension Exec {
  /// Logits, or loss and nll, or loss and gradients.
  func run(
    _ function: ExecCommand.Function, _ batch: ExecBatch, interpreted: Bool
  ) throws -> [String: TensorBlob] {
    let kind: FunctionKind =
      switch function {
      case .logits: .logits
      case .loss: .loss
      default: .gradient
      }
    var results = try interpreted ? interpret(kind, batch) : execute(kind, batch)
    if function == .grad { results["nll"] = nil }
    return results
  }

  private func execute(_ kind: FunctionKind, _ batch: ExecBatch) throws -> [String: TensorBlob] {
    func compiled(rows: Int) throws -> PlanFunction {
      try compileFunction(
        kind, TokenSizes(rows: rows, seq: batch.sizes.seq), of: model, target: target)
    }
    let function = try compiled(rows: batch.sizes.rows)
    let others = parameters.layout.bytes
    let shortage = try MemoryShortage(
      function.name, needed: others + function.memoryBytes(threads: threads), rows: batch.sizes.rows
    ) { others + (try compiled(rows: $0).memoryBytes(threads: threads)) }
    if let shortage { throw shortage.failure }
    let executable = try Executable(function, parameters: parameters, threads: threads)
    let sizes = [batch.sizes.rows, batch.sizes.seq]
    _ = executable.ids(sizes).update(from: batch.ids)
    if let targets = batch.targets {
      _ = executable.tokens(.targets, sizes).update(from: targets)
      // The loss is a mean.
      executable.input(.weights).update(repeating: 1 / Float(targets.count))
    }
    executable.prepareParameters()
    executable.run()
    var results: [String: TensorBlob] = [:]
    for output in function.outputs where isBlob(output.name) {
      results[renamed(output.name)] = TensorBlob(
        Array(executable.output(output.name)), shape: output.type.sizes)
    }
    if case .logits = kind { return results }
    let nll = executable.output(.nll).map(Double.init)
    results["nll"] = TensorBlob(nll, shape: sizes)
    let loss =
      model.settings.train?.zLoss ?? 0 > 0
      ? Double(executable.output(.loss)[0]) : nll.reduce(0, +) / Double(nll.count)
    results["loss"] = TensorBlob([loss], shape: [1])
    return results
  }

  private func interpret(_ kind: FunctionKind, _ batch: ExecBatch) throws -> [String: TensorBlob] {
    var runner = PassRunner()
    let graph = try derivedGraph(kind, batch.sizes, of: model, runner: &runner)
    var values: [String: [Double]] = [:]
    for entry in parameters.layout.entries {
      values[entry.parameter.path] = parameters[entry.parameter.path]!.map(Double.init)
    }
    var inputs: [String: Interpreter.Content] = [graph.name(graph.inputs[0]): .ids(batch.ids)]
    if let targets = batch.targets {
      inputs[Port.targets.name] = .ids(targets)
      let weight = 1 / Double(targets.count)
      inputs[Port.weights.name] = .reals([Double](repeating: weight, count: targets.count))
    }
    let outputs = try Interpreter(graph).run(parameters: values, inputs: inputs).outputs
    var results: [String: TensorBlob] = [:]
    for (name, content) in outputs {
      guard case .reals(let reals) = content else { continue }
      let shape = graph.type(graph.output(named: name)!).sizes
      switch name {
      case Port.loss.name: results[name] = TensorBlob(reals, shape: [1])
      case Port.nll.name: results[name] = TensorBlob(reals, shape: shape)
      case let name where isBlob(name):
        results[renamed(name)] = TensorBlob(reals.map(Float.init), shape: shape)
      default: break
      }
    }
    return results
  }

  /// Whether an output is given as it is.
  private func isBlob(_ output: String) -> Bool {
    output == Port.logits.name || Port.gradientPath(output) != nil
  }

  /// A gradient under the name that the weights file has for its parameter.
  private func renamed(_ output: String) -> String {
    Port.gradientPath(output).map { Port.gradient(name($0)).name } ?? output
  }
}

// MARK: Streams

extension Exec {
  /// nll of a stream in the overlapping windows of the evaluate section.
  func slide(_ tokens: [Int32]) throws -> [String: TensorBlob] {
    guard let sliding = model.settings.evaluate.first(where: { $0.stride != nil }) else {
      throw Failure(
        exitCode: 3, message: "error: the evaluate section of \(file) has no entry with a stride")
    }
    let plan = try compiled { $0.evaluate = [sliding] }
    let scorer = try Scorer(
      plan.functions, window: sliding.window,
      rows: sliding.batch ?? scoringRows(window: sliding.window), scored: sliding.scoredPerWindow,
      parameters: parameters, threads: threads)
    var nll = [Float](repeating: 0, count: tokens.count - 1)
    let windows = slidingWindows(
      targets: nll.count, length: sliding.window, stride: sliding.stride!)
    try scorer.score(windows, of: tokens, into: &nll)
    return ["nll": TensorBlob(nll.map(Double.init), shape: [nll.count])]
  }

  /// nll of a stream under test-time training, with what it did to the parameters.
  func adapt(_ tokens: [Int32]) throws -> [String: TensorBlob] {
    guard let ttt = model.settings.ttt else {
      throw Failure(exitCode: 3, message: "error: the ttt section of \(file) is off or missing")
    }
    let plan = try compiled()
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
      results["final." + name(path)] = TensorBlob(
        Array(parameters[path]!), shape: entry.parameter.type.sizes)
    }
    return results
  }

  /// The plan of the sections, if it fits into memory.
  private func compiled(_ change: (inout Settings) -> Void = { _ in }) throws -> Plan {
    var model = model
    change(&model.settings)
    let plan = try compile(model, target: target)
    let shortage = try MemoryShortage.of(plan) { MemoryNeed.evaluation($0, adapts: true) }
    if let shortage { throw shortage.failure }
    return plan
  }
}
