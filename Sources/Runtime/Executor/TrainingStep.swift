// SPDX-License-Identifier: Apache-2.0
// The phases of a training step on loaded functions: forward and backward, the sum, the update.

import IR

/// The functions of a step over one block of parameters.
final class TrainingStep {
  /// What the phases of one step found.
  struct Result {
    /// Σ over micro-batches.
    var loss = 0.0
    /// Before clipping.
    var gradientNorm = 0.0
    /// Whether the z_loss penalty made a loss another number.
    var hasZLoss = false
  }

  private let plan: StepPlan
  private let forwardBackward: [Executable]
  private let update: Executable?
  private var reducer: any GradientReducer

  /// States are new, or those of functions that update the same parameters alike.
  init(
    _ plan: Plan, _ step: StepPlan, parameters: ParameterBlock, threads: Int,
    reducer: any GradientReducer, sharing states: MemoryBlock? = nil
  ) throws {
    func load(_ name: String, sharing states: MemoryBlock? = nil) throws -> Executable {
      guard let function = plan[name] else { preconditionFailure("the plan has no \(name)") }
      return try Executable(function, parameters: parameters, threads: threads, sharing: states)
    }
    self.plan = step
    var loaded: [Executable] = []
    for name in step.forwardBackward {
      // States of updates are the model's, not a variant's: all whole steps have the same ones.
      loaded.append(
        try load(name, sharing: loaded.first?.states ?? (step.isWhole ? states : nil)))
    }
    forwardBackward = loaded
    update = try step.update.map { try load($0, sharing: states) }
    self.reducer = reducer
  }

  /// The function that owns the states of the updates.
  var updating: Executable { update ?? forwardBackward[0] }

  /// Does one step of a variant. `load` writes the tokens of the next micro-batch, `setScalars` the
  /// scalar inputs; with `observe` every function that runs is recorded and handed over.
  func run(
    variant: Int, load: (Executable) throws -> Void, setScalars: (Executable) -> Void,
    observe: ((Profile) -> Void)?
  ) throws -> Result {
    let executable = forwardBackward[variant]
    let gradients = executable.function.outputs.map(\.name).filter { Port.gradientPath($0) != nil }
    var result = Result()
    for microBatch in 0..<plan.microBatches {
      try load(executable)
      setScalars(executable)
      // Parameters and scalars stay as they are within a step.
      TrainingStep.run(executable, preparing: microBatch == 0, observe)
      result.loss += Double(executable.output(.loss)[0])
      result.hasZLoss = result.hasZLoss || executable.hasZLoss
      if update != nil { reducer.add(gradients.map { executable.output($0) }) }
    }
    if let update {
      for (name, sum) in zip(gradients, reducer.finish()) {
        _ = update.input(name).update(from: sum)
      }
      setScalars(update)
      TrainingStep.run(update, preparing: true, observe)
    }
    result.gradientNorm = Double((update ?? executable).output(.gradientNorm)[0])
    return result
  }

  private static func run(
    _ executable: Executable, preparing: Bool, _ observe: ((Profile) -> Void)?
  ) {
    if let observe {
      observe(executable.profile(preparing: preparing))
    } else {
      if preparing { executable.prepareParameters() }
      executable.run()
    }
  }
}

extension Executable {
  /// Writes the scalar inputs of updates: the multiplier of their learning rates, the number of the
  /// step, from 1, and what the ramps of every entry give when this part of training is over.
  func setUpdateScalars(
    rate: Double, step: Int, fraction: Double = 0, optimizers: [OptimizerEntry]
  ) {
    setScalar(.learningRate, rate)
    setScalar(.step, Double(step))
    for (index, entry) in optimizers.enumerated() {
      for (operand, ramp) in entry.rule.ramps {
        setScalar(.operand(operand, entry: index), ramp.value(after: step - 1, fraction: fraction))
      }
    }
  }

  /// Whether the penalty of the last run made the loss another number.
  fileprivate var hasZLoss: Bool {
    guard function.outputs.contains(where: { $0.name == Port.zLoss.name }) else { return false }
    let loss = output(.loss)[0]
    return loss - output(.zLoss)[0] != loss
  }
}
