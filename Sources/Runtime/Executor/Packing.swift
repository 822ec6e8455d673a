// SPDX-License-Identifier: Apache-2.0
// From trained weights to an artifact: second moments where rules ask for them, codes, the container.

import Formats
import IR

/// Stores the weights of one model. Calibration reads training text alone.
public struct Packing {
  /// What was made, and from what.
  public struct Packed: Sendable {
    public let artifact: Artifact
    public let container: ArtifactContainer
    /// Nil where no rule asks for them.
    public var moments: SecondMoments?
    /// The size that was expected of the file; nil where nothing was chosen by it.
    public var predictedBytes: Int?
    /// What of the rules had no effect; a sentence each.
    public var remarks: [String] = []
  }

  private let plan: Plan
  private let data: DataFolder
  private let seed: UInt64
  private let threads: Int
  private let observe: (RunEvent) throws -> Void

  public init(
    _ plan: Plan, data: DataFolder, seed: UInt64, threads: Int,
    observe: @escaping (RunEvent) throws -> Void
  ) {
    (self.plan, self.data, self.seed, self.threads) = (plan, data, seed, threads)
    self.observe = observe
  }

  /// Stores weights as the model's rules say. Throws where a number is none, or a reader would refuse what
  /// is stored.
  public func pack(_ weights: ParameterBlock) throws -> Packed {
    let moments = try plan.model.settings.quantize?.calibration.map {
      try self.moments(of: weights, tokens: $0)
    }
    try observe(.phase("pack"))
    let model = plan.model.forArtifact
    let artifact = try Artifact(
      model: model, parameters: weights, precision: model.precisionTable, moments: moments,
      threads: threads)
    try artifact.checkFinite(madeFrom: weights)
    return Packed(
      artifact: artifact, container: try artifact.container(), moments: moments,
      remarks: moments.map { model.remarks($0) } ?? [])
  }

  /// Second moments of what the model's matrices multiply in training text.
  public func moments(of weights: ParameterBlock, tokens: Int) throws -> SecondMoments {
    guard let function = plan[FunctionName.moments] else {
      preconditionFailure("the plan has no function \(FunctionName.moments)")
    }
    try observe(.phase("calibrate"))
    let calibration = try Calibration(
      function, sizes: plan.model.calibrationSizes, parameters: weights, threads: threads)
    return try calibration.run(try data.train(), tokens: tokens, seed: seed) {
      try observe(.progress($0))
    }
  }
}

extension Model {
  /// Params whose rule asks for GPTQ, and which no node multiplies as they are.
  fileprivate func remarks(_ moments: SecondMoments) -> [String] {
    let precision = precisionTable
    let paths = graph.parameters.map(\.path).filter { path in
      if case .int(let quantizer)? = precision[path] {
        quantizer.isSolved && moments[path] == nil
      } else {
        false
      }
    }
    guard let first = paths.first else { return [] }
    return [
      "gptq: \(first)\(paths.count > 1 ? " and \(paths.count - 1) more" : "") multiply nothing as they "
        + "are, so their codes are rounded to nearest"
    ]
  }
}
