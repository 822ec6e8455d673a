// SPDX-License-Identifier: Apache-2.0
// Every pipeline as a list, and the functions that a plan consists of.

import IR

/// The pipelines. Order matters where a comment says so.
public enum Pipeline {
  private static let simplify: [Pass] = [.foldConstants, .eliminateDuplicates, .eliminateDeadNodes]

  /// What a forward function must pass before anything is derived from it.
  public static let forward: [Pass] = [.proveCausality]

  /// Logits of every position.
  public static func logits(sizes: [String: Int]) -> [Pass] {
    [.bindSizes(sizes)] + simplify + [.deriveLogits, .eliminateDeadNodes]
  }

  /// Weighted loss and nll of given targets.
  public static func loss(sizes: [String: Int], zLoss: Double = 0) -> [Pass] {
    [.bindSizes(sizes)] + simplify + [.deriveLoss(zLoss: zLoss), .fuseSoftcapCrossEntropy]
  }

  /// Loss and gradients of parameters (all, or those in `only`).
  public static func gradient(
    sizes: [String: Int], zLoss: Double = 0, only: Set<String>? = nil
  ) -> [Pass] {
    loss(sizes: sizes, zLoss: zLoss) + [.differentiate(only: only)] + simplify
  }

  /// nll of the last `last` targets of each row, without computing what nobody reads.
  public static func score(sizes: [String: Int], last: Int?) -> [Pass] {
    [.bindSizes(sizes)] + simplify
      // The cap goes into the loss before slices sink past it.
      + [.deriveScore(last: last), .fuseSoftcapCrossEntropy, .sinkSlices]
      + simplify
  }

  /// Second moments of what each matrix multiplies.
  public static func moments(sizes: [String: Int]) -> [Pass] {
    [.bindSizes(sizes)] + simplify + [.deriveMoments] + simplify
  }

  /// One training step. `qat` is the form of the fake quantiser, nil for none.
  public static func train(
    sizes: [String: Int], zLoss: Double, precision: [String: Precision], qat: String?,
    optimizer: OptimizerPlan
  ) -> [Pass] {
    trainGradient(sizes: sizes, zLoss: zLoss, precision: precision, qat: qat)
      + [.insertOptimizer(optimizer)] + simplify
  }

  /// Gradients of one micro-batch, for steps that sum several.
  public static func trainGradient(
    sizes: [String: Int], zLoss: Double, precision: [String: Precision], qat: String?
  ) -> [Pass] {
    loss(sizes: sizes, zLoss: zLoss) + [.assignPrecision(precision)]
      // The quantiser must be there when gradients are taken.
      + (qat.map { [.markQAT(form: $0)] } ?? []) + [.differentiate()] + simplify
  }

  /// Updates from gradients that are inputs `grad.PATH`.
  public static func update(_ optimizer: OptimizerPlan) -> [Pass] {
    [.gradientsAsInputs, .insertOptimizer(optimizer)] + simplify
  }

  /// One step of test-time training: parameters without an update are left out of the gradients.
  public static func adapt(sizes: [String: Int], _ optimizer: OptimizerPlan) -> [Pass] {
    gradient(sizes: sizes, only: Set(optimizer.updates.keys)) + [.insertOptimizer(optimizer)]
      + simplify
  }

  /// What turns a function into one the runtime executes well, last before lowering, with products in
  /// the precision of the machine.
  public static func finish(in compute: ComputePrecision) -> [Pass] {
    [.chooseComputePrecision(compute)] + fuse
  }
  public static let fuse: [Pass] = [.recompute, .recomputeCheap, .fuseRows]

  /// From a fused graph to kernel calls with places in memory.
  public static let lowering: [PlanStep] = [
    .chooseStorage, .lower, .combineRows, .formChains, .planMemory,
  ]

  /// The names of all passes and steps, in their order.
  public static let names: [String] = all.map(\.name) + lowering.map(\.name)

  /// One pass of each name, for `--help` and for documentation.
  public static let all: [Pass] =
    [
      .proveCausality, .bindSizes([:]), .foldConstants, .eliminateDuplicates, .eliminateDeadNodes,
      .deriveLogits, .deriveLoss(), .deriveScore(), .fuseSoftcapCrossEntropy, .sinkSlices,
      .deriveMoments, .assignPrecision([:]), .markQAT(form: "straight_through"), .differentiate(),
      .gradientsAsInputs,
      .insertOptimizer(OptimizerPlan(updates: [:])),
    ] + finish(in: .f32)
}

extension Pass {
  /// Keeps the declarations of a function and takes its gradients as inputs.
  ///
  ///     param @w : f32[2, 3] {…}       ->   param @w : f32[2, 3] {…}
  ///     …                                   input %grad.w : f32[2, 3]
  ///                                         return grad.w = %grad.w
  public static let gradientsAsInputs = Pass(
    "gradients-as-inputs", "Take the gradients as inputs."
  ) { graph in
    var builder = Builder(name: "update")
    for parameter in graph.parameters where parameter.role == .param {
      _ = builder.declare(parameter)
    }
    for parameter in graph.parameters where parameter.role == .param {
      let gradient = builder.input(.gradient(parameter.path), parameter.type)
      builder.output(.gradient(parameter.path), gradient)
    }
    return builder.graph
  }
}
