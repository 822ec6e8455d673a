// SPDX-License-Identifier: Apache-2.0
// Turns gradients into updates of the parameters.

import IR

/// What updates one parameter.
public struct ParameterUpdate: Hashable, Sendable {
  /// With per-tensor factors in its learning rate.
  public var rule: OptimizerRule
  /// The optimizer entry that it is from: a part of the names of inputs that its ramps give.
  public var entry: Int?

  public init(_ rule: OptimizerRule, entry: Int? = nil) { (self.rule, self.entry) = (rule, entry) }
}

/// Settings of the updates of one phase.
public struct OptimizerPlan: Hashable, Sendable {
  /// By parameter path; parameters without an entry are not updated.
  public var updates: [String: ParameterUpdate]
  /// Limit of the global gradient norm, 0 for none.
  public var clip: Double
  /// The average of all parameters that is kept beside them.
  public var average: TrainSettings.Average

  public init(
    updates: [String: ParameterUpdate], clip: Double = 0, average: TrainSettings.Average = .none
  ) {
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
  /// (from 1) and one for each ramp of an entry.
  public static func insertOptimizer(_ plan: OptimizerPlan) -> Pass {
    Pass("insert-optimizer", "Update parameters by their gradients.") { graph in
      var copy = Rebuilder(graph)
      let ramped = plan.updates.values.flatMap { update in
        update.rule.ramps.keys.map { Port.operand($0, entry: update.entry) }
      }
      for port in [.learningRate, .step, .averageRate] + ramped { copy.builder.reserve(port.name) }
      for node in graph.nodes { copy.copy(node) }
      var builder = copy.builder
      builder.path = ""
      builder.location = ""
      var scalars: [Port: Value] = [:]
      func scalar(_ port: Port) -> Value {
        if let value = scalars[port] { return value }
        let value = builder.input(port, .scalar)
        scalars[port] = value
        return value
      }
      let values = Dictionary(
        zip(graph.parameters.map(\.path), graph.parameterValues),
        uniquingKeysWith: { first, _ in first })
      var targets:
        [(parameter: Parameter, value: Value, gradient: Value, update: ParameterUpdate)] = []
      for output in graph.outputs {
        guard let path = Port.gradientPath(output.name) else {
          builder.output(output.name, copy[output.value])
          continue
        }
        guard let update = plan.updates[path], let value = values[path] else {
          continue
        }
        targets.append((graph.parameter(value)!, copy[value], copy[output.value], update))
      }
      let clip = try builder.apply(
        .clipFactor, targets.map(\.gradient), [.limit: .double(plan.clip)],
        names: ["clip_factor", Port.gradientNorm.name])
      for target in targets {
        let path = target.parameter.path
        let rule = target.update.rule
        let rate = builder.rate(rule.lr, of: scalar(.learningRate))
        // Results are the parameter and its states, which are operands of the same names.
        let prefix = rule.op.rawValue.replacing("_update", with: "")
        var written = [target.value]
        for result in rule.op.definition.results.dropFirst() {
          written.append(
            builder.declare(
              Parameter(
                role: .state, path: "\(prefix).\(result).\(path)", type: target.parameter.type,
                group: "", initial: .zeros)))
        }
        let operands = rule.op.definition.operands.map { name in
          if let state = rule.op.definition.results.firstIndex(of: name) { return written[state] }
          switch name {
          case "g": return target.gradient
          case "lr": return rate
          case "factor": return clip[0]
          case "step": return scalar(.step)
          default: return scalar(.operand(name, entry: target.update.entry))
          }
        }
        let results = try builder.apply(
          rule.op, operands, rule.attributes,
          names: written.map { "new.\(builder.graph.name($0))" })
        for (target, result) in zip(written, results) { builder.write(target, result) }
        switch plan.average {
        case .none: break
        case .ema(let decay):
          let shadow = builder.declare(.average(of: target.parameter))
          let kept = builder.one(.scale, [shadow], [.by: .double(decay)])
          let fresh = builder.one(.scale, [results[0]], [.by: .double(1 - decay)])
          builder.write(shadow, builder.one(.add, [kept, fresh], name: "new.ema.\(path)"))
        case .swa:
          let shadow = builder.declare(.average(of: target.parameter))
          let mean = builder.one(
            .lerp, [shadow, results[0], scalar(.averageRate)], name: "new.swa.\(path)")
          builder.write(shadow, mean)
        }
      }
      builder.output(.gradientNorm, clip[1])
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
