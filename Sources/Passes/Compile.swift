// SPDX-License-Identifier: Apache-2.0
// From a model to a plan: which functions its sections ask for, and at which sizes.

import IR

/// Compiles all functions that the sections of the model ask for.
public func compile(
  _ model: Model, target: TargetMachine, runner: inout PassRunner
) throws -> Plan {
  var functions: [PlanFunction] = []
  let layout = ParameterLayout(model.graph.parameters)
  func add(_ name: String, _ graph: Graph, _ passes: [Pass], _ runner: inout PassRunner) throws {
    guard !functions.contains(where: { $0.name == name }) else { return }
    var named = graph
    named.name = name
    let last = [.chooseComputePrecision(target.compute)] + Pipeline.fuse
    var compiled = try runner.run(passes.map { $0.naming(name) } + last, on: named)
    compiled.name = name
    functions.append(try lower(compiled, layout: layout, runner: &runner))
  }
  for variant in model.variants { _ = try runner.run(Pipeline.forward, on: variant.graph) }
  if let train = model.settings.train {
    let sizes = ["B": train.rows, "T": train.seq]
    let (precision, qat) = (model.precisionTable, model.settings.qat.form)
    let optimizer = try model.trainOptimizer()
    for variant in model.variants {
      let zLoss = train.zLoss ?? 0
      let bound = variant.graph.openSizes(sizes)
      if train.accumulate == 1 {
        try add(
          FunctionName.train(variant.name), variant.graph,
          Pipeline.train(
            sizes: bound, zLoss: zLoss, precision: precision, qat: qat, optimizer: optimizer),
          &runner)
      } else {
        try add(
          FunctionName.gradient(variant.name), variant.graph,
          Pipeline.trainGradient(sizes: bound, zLoss: zLoss, precision: precision, qat: qat),
          &runner)
        try add(FunctionName.update, variant.graph, Pipeline.update(optimizer), &runner)
      }
    }
    // Validation on the way, with the windows of training.
    try addScore(window: train.seq, rows: scoringRows(window: train.seq), last: nil)
  }
  func addScore(window: Int, rows: Int, last: Int?) throws {
    // The first window of a sliding pass scores all of its targets.
    for count in Set([nil, last]).sorted(by: { ($0 ?? 0) < ($1 ?? 0) }) {
      let graph = model.scored.graph
      try add(
        FunctionName.score(window: window, rows: rows, last: count), graph,
        Pipeline.score(sizes: graph.openSizes(["B": rows, "T": window]), last: count), &runner)
    }
  }
  for evaluation in model.settings.evaluate {
    let rows = evaluation.batch ?? scoringRows(window: evaluation.window)
    try addScore(window: evaluation.window, rows: rows, last: evaluation.scoredPerWindow)
  }
  if let ttt = model.settings.ttt {
    try addScore(
      window: ttt.window, rows: scoringRows(window: ttt.window),
      last: ttt.stride == ttt.window ? nil : ttt.stride)
    let graph = model.scored.graph
    try add(FunctionName.adapt, graph, try model.adaptPipeline(ttt), &runner)
  }
  return Plan(target: target, model: model, functions: functions)
}

/// Compiles without a look at the passes.
public func compile(_ model: Model, target: TargetMachine) throws -> Plan {
  var runner = PassRunner()
  return try compile(model, target: target, runner: &runner)
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
    var average: Double?
    if case .ema(let decay) = train.average { average = decay }
    return OptimizerPlan(
      updates: updates(train.optimizers), clip: train.clip ?? 0, average: average)
  }

  /// The updates of the ttt section by parameter path; frozen parameters have none.
  public func adaptUpdates(_ ttt: TTTSettings) -> [String: ParameterUpdate] {
    var updates = updates(ttt.optimizers)
    for path in updates.keys {
      if let scale = ttt.scale(of: path) { updates[path]!.learningRate *= ttt.scales[scale].factor }
      if ttt.frozen.contains(where: { $0.matches(path) }) { updates[path] = nil }
    }
    return updates
  }

  /// The passes of the adaptation step: all rows of `batch` windows, frozen parameters left out.
  public func adaptPipeline(_ ttt: TTTSettings) throws -> [Pass] {
    let updates = adaptUpdates(ttt)
    let graph = scored.graph
    return Pipeline.gradient(
      sizes: graph.openSizes(["B": ttt.batch, "T": ttt.window]), only: Set(updates.keys))
      + [.insertOptimizer(OptimizerPlan(updates: updates, clip: ttt.clip ?? 0))]
      + [.foldConstants, .eliminateDuplicates, .eliminateDeadNodes]
  }

  /// Each parameter's update by the last entry that matches it.
  private func updates(_ entries: [OptimizerEntry]) -> [String: ParameterUpdate] {
    entries.winners(graph.parameters) { $0.target }.mapValues {
      ParameterUpdate(entries[$0].rule, index: $0)
    }
  }
}

extension ParameterUpdate {
  /// The update that a rule of the file asks for; `index` is its place among the optimiser entries.
  public init(_ rule: OptimizerRule, index: Int) {
    switch rule {
    case .adamw(let rule):
      self.init(
        rule: .adamw(beta1: rule.beta1, beta2: rule.beta2, epsilon: rule.epsilon),
        learningRate: rule.lr, decay: rule.decay)
    case .muon(let rule):
      self.init(
        rule: .muon(
          steps: rule.steps, iteration: rule.iteration.rawValue, rowNormalise: rule.normalisesRows),
        learningRate: rule.lr, decay: rule.decay, momentumInput: "momentum.\(index)")
    case .sgd(let rule):
      self.init(rule: .sgd(momentum: rule.momentum), learningRate: rule.lr, decay: rule.decay)
    }
  }
}
