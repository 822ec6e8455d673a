// SPDX-License-Identifier: Apache-2.0
// From a model to a plan: which functions its sections ask for, and at which sizes.

import IR

/// Compiles all functions that the sections of the model ask for, each name once.
public func compile(
  _ model: Model, target: TargetMachine, runner: inout PassRunner
) throws -> Plan {
  for variant in model.variants { _ = try runner.run(Pipeline.forward, on: variant.graph) }
  var functions: [PlanFunction] = []
  for (kind, sizes) in model.functions {
    let name = model.name(of: kind, sizes)
    guard !functions.contains(where: { $0.name == name }) else { continue }
    functions.append(
      try compileFunction(kind, sizes, of: model, target: target, runner: &runner))
  }
  return Plan(target: target, model: model, functions: functions)
}

/// Compiles all functions without dumps and times.
public func compile(_ model: Model, target: TargetMachine) throws -> Plan {
  var runner = PassRunner()
  return try compile(model, target: target, runner: &runner)
}

/// Compiles one function for tokens of these sizes. It reads the sections that its kind names and no
/// other: what does not fit elsewhere in the file is no error here.
public func compileFunction(
  _ kind: FunctionKind, _ sizes: TokenSizes, of model: Model, target: TargetMachine,
  runner: inout PassRunner
) throws -> PlanFunction {
  let derived = try derivedGraph(kind, sizes, of: model, runner: &runner)
  var graph = try runner.run(Pipeline.finish(in: target.compute), on: derived)
  graph.name = derived.name
  return try lower(
    graph, layout: ParameterLayout(model.graph.parameters), runner: &runner)
}

/// Compiles one function without dumps and times.
public func compileFunction(
  _ kind: FunctionKind, _ sizes: TokenSizes, of model: Model, target: TargetMachine
) throws -> PlanFunction {
  var runner = PassRunner()
  return try compileFunction(kind, sizes, of: model, target: target, runner: &runner)
}

/// The graph of one function, as the reference interpreter runs it.
public func derivedGraph(
  _ kind: FunctionKind, _ sizes: TokenSizes, of model: Model, runner: inout PassRunner
) throws -> Graph {
  var graph = model.variant(of: kind).graph
  let passes = try model.passes(of: kind, graph.openSizes(["B": sizes.rows, "T": sizes.seq]))
  let name = model.name(of: kind, sizes)
  graph.name = name
  graph = try runner.run(passes.map { $0.naming(name) }, on: graph)
  graph.name = name
  return graph
}

/// What a function computes. Everything that is executed is one of these.
public enum FunctionKind: Sendable {
  /// Logits of every position.
  case logits
  /// Weighted loss and nll of given targets, with the train section's z_loss.
  case loss
  /// `loss` with the gradients of all parameters.
  case gradient
  /// nll of the last targets of each row; nil: of all.
  case score(last: Int?)
  /// Second moments of what each matrix multiplies.
  case moments
  /// One training step of a variant, by its index, with the updates of the train section.
  case train(variant: Int)
  /// Gradients of one micro-batch of a variant, as training takes them: of quantised weights, if the
  /// file trains so.
  case trainGradient(variant: Int)
  /// The updates of the train section on sums of gradients.
  case update
  /// One step of test-time training.
  case adapt
  /// One step with given updates, whatever the sections say.
  case step(OptimizerPlan)
}

extension Model {
  /// All functions that the sections ask for. Equal ones may stand here several times.
  var functions: [(kind: FunctionKind, sizes: TokenSizes)] {
    var functions: [(FunctionKind, TokenSizes)] = []
    func addScore(_ sizes: TokenSizes, last: Int?) {
      // The first window of a sliding pass scores all of its targets.
      functions.append((.score(last: nil), sizes))
      if let last { functions.append((.score(last: last), sizes)) }
    }
    if let train = settings.train, let step {
      for (index, variant) in variants.enumerated() {
        let sizes = sizes(of: variant, train)
        functions.append(
          (step.isWhole ? .train(variant: index) : .trainGradient(variant: index), sizes))
        if !step.isWhole { functions.append((.update, sizes)) }
      }
      // Validation on the way, with the longest windows of training.
      let window = longestSizes(train).seq
      addScore(TokenSizes(rows: scoringRows(window: window), seq: window), last: nil)
    }
    if let quantize = settings.quantize, quantize.calibration != nil {
      functions.append((.moments, calibrationSizes))
      // What a form does to the loss is measured on the same windows.
      if quantize.isAutomatic { addScore(calibrationSizes, last: nil) }
    }
    for evaluation in settings.evaluate {
      let rows = evaluation.batch ?? scoringRows(window: evaluation.window)
      addScore(
        TokenSizes(rows: rows, seq: evaluation.window), last: evaluation.scoredPerWindow)
    }
    if let ttt = settings.ttt {
      addScore(
        TokenSizes(rows: scoringRows(window: ttt.window), seq: ttt.window),
        last: ttt.stride == ttt.window ? nil : ttt.stride)
      functions.append((.adapt, TokenSizes(rows: ttt.batch, seq: ttt.window)))
    }
    return functions
  }

  /// The name of a function in a plan and in dumps.
  fileprivate func name(of kind: FunctionKind, _ sizes: TokenSizes) -> String {
    switch kind {
    case .logits: return "logits"
    // As the pass names what it derives.
    case .loss, .gradient, .step: return "loss"
    case .score(let last):
      return FunctionName.score(window: sizes.seq, rows: sizes.rows, last: last)
    case .moments: return FunctionName.moments
    case .train(let index): return FunctionName.train(variants[index].name)
    case .trainGradient(let index): return FunctionName.gradient(variants[index].name)
    case .update: return FunctionName.update
    case .adapt: return FunctionName.adapt
    }
  }

  fileprivate func variant(of kind: FunctionKind) -> Variant {
    switch kind {
    case .train(let index), .trainGradient(let index): return variants[index]
    case .update: return variants[0]
    case .logits, .loss, .gradient, .score, .moments, .adapt, .step: return scored
    }
  }

  /// What makes a function of a forward graph whose open sizes get these numbers.
  fileprivate func passes(of kind: FunctionKind, _ sizes: [String: Int]) throws -> [Pass] {
    let zLoss = settings.train?.zLoss ?? 0
    // What is chosen at QAT's first step is planned again then.
    let (precision, qat) = (precisionTable, choosesWhileTraining ? nil : settings.qat.form)
    switch kind {
    case .logits: return Pipeline.logits(sizes: sizes)
    case .loss: return Pipeline.loss(sizes: sizes, zLoss: zLoss)
    case .gradient: return Pipeline.gradient(sizes: sizes, zLoss: zLoss)
    case .score(let last): return Pipeline.score(sizes: sizes, last: last)
    case .moments: return Pipeline.moments(sizes: sizes)
    case .train:
      return Pipeline.train(
        sizes: sizes, zLoss: zLoss, precision: precision, qat: qat, optimizer: try trainOptimizer())
    case .trainGradient:
      return Pipeline.trainGradient(sizes: sizes, zLoss: zLoss, precision: precision, qat: qat)
    case .update: return Pipeline.update(try trainOptimizer())
    case .adapt:
      guard let ttt = settings.ttt else { throw OpError("the file has no ttt section") }
      let updates = adaptUpdates(ttt)
      return Pipeline.adapt(
        sizes: sizes, OptimizerPlan(updates: updates, clip: ttt.clip ?? 0))
    case .step(let optimizer):
      return Pipeline.train(
        sizes: sizes, zLoss: 0, precision: [:], qat: nil, optimizer: optimizer)
    }
  }
}

extension Pass {
  /// The pass, keeping the function's name through derivations, so that dumps tell functions apart.
  fileprivate func naming(_ name: String) -> Pass {
    Pass(self.name, summary) { graph in
      var graph = try run(graph)
      graph.name = name
      return graph
    }
  }
}

extension QATSettings {
  /// The attribute of fake_quant; nil when QAT is off.
  public var form: String? {
    switch self {
    case .off: return nil
    case .on(.straightThrough, _): return "straight_through"
    case .on(.softRound(let form, _, _), _):
      return form == .a ? "soft_round" : "soft_round_logistic"
    }
  }
}

extension Graph {
  /// The numbers for the open sizes of the first input, batch first.
  public func openSizes(_ sizes: [String: Int]) -> [String: Int] {
    let dims = type(inputs[0]).shape
    var result: [String: Int] = [:]
    for (dim, key) in zip(dims, ["B", "T"]) {
      if case .open(let name) = dim { result[name] = sizes[key] }
    }
    return result
  }
}

extension Model {
  /// The updates of the train section.
  public func trainOptimizer() throws -> OptimizerPlan {
    guard let train = settings.train else { throw OpError("the file has no train section") }
    return OptimizerPlan(
      updates: updates(train.optimizers), clip: train.clip ?? 0, average: train.average)
  }

  /// The updates of the ttt section by parameter path; frozen parameters have none.
  public func adaptUpdates(_ ttt: TTTSettings) -> [String: ParameterUpdate] {
    var updates = updates(ttt.optimizers)
    for path in updates.keys {
      if let scale = ttt.scale(of: path) { updates[path]!.rule.lr *= ttt.scales[scale].factor }
      if ttt.isFrozen(path) { updates[path] = nil }
    }
    return updates
  }

  /// Each parameter's update by the last entry that matches it.
  private func updates(_ entries: [OptimizerEntry]) -> [String: ParameterUpdate] {
    entries.winners(graph.parameters).mapValues {
      ParameterUpdate(entries[$0].rule, entry: $0)
    }
  }
}
