// SPDX-License-Identifier: Apache-2.0
// Optimizer rules in short.

import IR

extension OptimizerRule {
  package static func adamw(
    lr: Double, beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, decay: Double = 0
  ) -> Self {
    OptimizerRule(
      .adamwUpdate, lr: lr,
      [
        .beta1: .double(beta1), .beta2: .double(beta2), .epsilon: .double(epsilon),
        .decay: .double(decay),
      ])
  }

  package static func sgd(lr: Double, momentum: Double = 0, decay: Double = 0) -> Self {
    OptimizerRule(
      .sgdUpdate, lr: lr, [.momentum: .double(momentum), .decay: .double(decay)])
  }

  package static func muon(
    lr: Double, momentum: Ramp = Ramp(0.95), steps: Int = 5, iteration: String = "standard",
    normalisesRows: Bool = false, decay: Double = 0
  ) -> Self {
    OptimizerRule(
      .muonUpdate, lr: lr,
      [
        .steps: .int(steps), .iteration: .word(iteration), .rowNormalise: .bool(normalisesRows),
        .decay: .double(decay),
      ], ramps: ["momentum": momentum, "taper": Ramp(1)])
  }
}
