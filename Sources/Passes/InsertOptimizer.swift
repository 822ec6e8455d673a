// SPDX-License-Identifier: Apache-2.0
// Turns gradients into updates of the parameters.

import IR

/// What updates one parameter.
public struct ParameterUpdate: Hashable, Sendable {
  public enum Rule: Hashable, Sendable {
    case adamw(beta1: Double, beta2: Double, epsilon: Double)
    case muon(steps: Int, iteration: String, rowNormalise: Bool)
    case sgd(momentum: Double)
  }
  public var rule: Rule
  /// Learning rate before the schedule's multiplier, per-tensor factors included.
  public var learningRate: Double
  public var decay: Double
  /// Name of the input with Muon's momentum in this step.
  public var momentumInput: String

  public init(rule: Rule, learningRate: Double, decay: Double, momentumInput: String = "momentum") {
    (self.rule, self.learningRate, self.decay) = (rule, learningRate, decay)
    self.momentumInput = momentumInput
  }
}

/// Settings of the updates of one phase.
public struct OptimizerPlan: Hashable, Sendable {
  /// By parameter path; parameters without an entry are not updated.
  public var updates: [String: ParameterUpdate]
  /// Limit of the global gradient norm, 0 for none.
  public var clip: Double
  /// Decay of an exponential moving average of all parameters, or nil.
  public var average: Double?

  public init(updates: [String: ParameterUpdate], clip: Double = 0, average: Double? = nil) {
    (self.updates, self.clip, self.average) = (updates, clip, average)
  }
}

extension Pass {
  /// Replaces the outputs `grad.PATH` by updates of the parameters and their states.
  ///
  ///     return grad.w = %g
  ///       ->
  ///     input %learning_rate : f32[]
  ///     %factor, %norm = clip_factor(%g) {limit=1}
  ///     %lr = scale(%learning_rate) {by=0.1}
  ///     %w, %m = sgd_update(@w, %g, @sgd.m.w, %lr, %factor) {decay=0, momentum=0.9}
  ///     write @w = %w
  ///     write @sgd.m.w = %m
  ///     return grad_norm = %norm
  ///
  /// Requires differentiate. The inputs are `learning_rate` (the schedule's multiplier), `step`
  /// (from 1) and one momentum input a Muon rule.
  public static func insertOptimizer(_ plan: OptimizerPlan) -> Pass {
    Pass("insert-optimizer", "Update parameters by their gradients.") { graph in
      var copy = Rebuilder(graph)
      for name in ["learning_rate", "step"] + plan.updates.values.map(\.momentumInput) {
        copy.builder.reserve(name)
      }
      for node in graph.nodes { copy.copy(node) }
      var builder = copy.builder
      builder.path = ""
      builder.location = ""
      var scalars: [String: Value] = [:]
      func scalar(_ name: String) -> Value {
        if let value = scalars[name] { return value }
        let value = builder.input(name, .scalar)
        scalars[name] = value
        return value
      }
      let values = Dictionary(
        zip(graph.parameters.map(\.path), graph.parameterValues),
        uniquingKeysWith: { first, _ in first })
      var targets:
        [(parameter: Parameter, value: Value, gradient: Value, update: ParameterUpdate)] = []
      for output in graph.outputs {
        guard output.name.hasPrefix("grad.") else {
          builder.output(output.name, copy[output.value])
          continue
        }
        let path = String(output.name.dropFirst(5))
        guard let update = plan.updates[path], let value = values[path] else {
          continue
        }
        targets.append((graph.parameter(value)!, copy[value], copy[output.value], update))
      }
      let clip = try builder.apply(
        .clipFactor, targets.map(\.gradient), [.limit: .double(plan.clip)],
        names: ["clip_factor", "grad_norm"])
      for target in targets {
        let path = target.parameter.path
        let rate = builder.rate(target.update.learningRate, of: scalar("learning_rate"))
        func state(_ name: String, _ initial: Initializer = .zeros) -> Value {
          builder.declare(
            Parameter(
              role: .state, path: "\(name).\(path)", type: target.parameter.type, group: "",
              initial: initial))
        }
        var written: [Value]
        var results: [Value]
        switch target.update.rule {
        case .adamw(let beta1, let beta2, let epsilon):
          let (m, v) = (state("adamw.m"), state("adamw.v"))
          written = [target.value, m, v]
          results = try builder.apply(
            .adamwUpdate,
            [target.value, target.gradient, m, v, rate, clip[0], scalar("step")],
            [
              .beta1: .double(beta1), .beta2: .double(beta2), .epsilon: .double(epsilon),
              .decay: .double(target.update.decay),
            ], names: ["new.\(path)", "new.adamw.m.\(path)", "new.adamw.v.\(path)"])
        case .sgd(let momentum):
          let m = state("sgd.m")
          written = [target.value, m]
          results = try builder.apply(
            .sgdUpdate, [target.value, target.gradient, m, rate, clip[0]],
            [.momentum: .double(momentum), .decay: .double(target.update.decay)],
            names: ["new.\(path)", "new.sgd.m.\(path)"])
        case .muon(let steps, let iteration, let rowNormalise):
          let m = state("muon.m")
          written = [target.value, m]
          results = try builder.apply(
            .muonUpdate,
            [
              target.value, target.gradient, m, rate, clip[0],
              scalar(target.update.momentumInput),
            ],
            [
              .steps: .int(steps), .iteration: .word(iteration),
              .rowNormalise: .bool(rowNormalise), .decay: .double(target.update.decay),
            ], names: ["new.\(path)", "new.muon.m.\(path)"])
        }
        for (target, result) in zip(written, results) { builder.write(target, result) }
        if let decay = plan.average {
          let shadow = state("ema", target.parameter.initial)
          let kept = builder.one(.scale, [shadow], [.by: .double(decay)])
          let fresh = builder.one(.scale, [results[0]], [.by: .double(1 - decay)])
          builder.write(shadow, builder.one(.add, [kept, fresh], name: "new.ema.\(path)"))
        }
      }
      builder.output("grad_norm", clip[1])
      return builder.graph
    }
  }
}

extension Builder {
  /// The multiplier times a constant; equal rates share one node after eliminate-duplicates.
  fileprivate mutating func rate(_ by: Double, of multiplier: Value) -> Value {
    one(.scale, [multiplier], [.by: .double(by)], name: "rate")
  }
}
