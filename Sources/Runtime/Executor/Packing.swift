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
    /// The rule of each param, as declared or chosen.
    public let precision: [String: Precision]
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

  /// Stores weights as the model's rules say, or as its budget allows. Throws where a number is none, or a
  /// reader would refuse what is stored, and `OverBudget` where no choice fits.
  public func pack(_ weights: ParameterBlock) throws -> Packed {
    let quantize = plan.model.settings.quantize
    let moments = try quantize?.calibration.map { try self.moments(of: weights, tokens: $0) }
    if let quantize, quantize.isAutomatic, let budget = quantize.budget, let moments {
      return try choose(weights, moments, quantize, budget: budget)
    }
    try observe(.phase("pack"))
    return try pack(weights, quantize, moments)
  }

  private func pack(
    _ weights: ParameterBlock, _ quantize: QuantizeSettings?, _ moments: SecondMoments?
  ) throws -> Packed {
    var model = plan.model
    model.settings.quantize = quantize?.protecting(model.graph.parameters, weights, moments)
    var artifact = try Artifact(
      model: model.forArtifact, parameters: weights, precision: model.precisionTable,
      moments: moments, threads: threads)
    if let correction = quantize?.correction {
      artifact = try artifact.corrected(
        correction, madeFrom: weights, declaring: &model, threads: threads)
    }
    let precision = model.precisionTable
    try artifact.checkFinite(madeFrom: weights)
    return Packed(
      artifact: artifact, container: try artifact.container(), precision: precision,
      moments: moments,
      remarks: moments.map { model.remarks($0) } ?? [])
  }

  // MARK: Choice

  /// Parts of the budget that an artifact may leave.
  private static let spare = 0.005
  private static let attempts = 6
  /// About so many tokens of training text say what an error does to the loss: where forms are chosen by
  /// it, and where it is only told.
  static let lossTokens = (choice: 8192, account: 2048)

  /// Chooses by the table of a search, and corrects its prediction by what the container really takes.
  private func choose(
    _ weights: ParameterBlock, _ moments: SecondMoments, _ quantize: QuantizeSettings, budget: Int
  ) throws -> Packed {
    try observe(.phase("choose-precision"))
    let free = plan.model.freeParameters
    let search = try search(weights, moments, tokens: Self.lossTokens.choice)
    let sensitivities = try search.sensitivities(of: free) { try observe(.progress($0)) }
    var table = try search.table(of: free, sensitivities, bits: quantize.bits)
    try observe(.phase("pack"))
    let limit = Double(budget - quantize.codeBytes)
    var best: Packed?
    // Until something was packed the table alone speaks, and it knows only of codes and scales.
    var ratio = 1.0
    for _ in 0..<Self.attempts {
      let scaled = table.scaled(by: ratio)
      guard let choice = scaled.choose(budget: limit) else { break }
      var packed = try pack(weights, quantize.fixed(table.chosen(choice)), moments)
      let bytes = try packed.container.encoded().count
      packed.predictedBytes = Int(choice.bytes.rounded())
      if Double(bytes) <= limit, bytes > (try best?.container.encoded().count ?? 0) {
        best = packed
      }
      if Double(bytes) <= limit, Double(bytes) >= (1 - Self.spare) * limit { break }
      // Codes and scales follow the choice, everything else is the same whatever is chosen.
      let codes = packed.container.groups.filter {
        $0.name.hasPrefix("codes ") || $0.name == "scales"
      }
      .reduce(0) { $0 + $1.frame.count }
      let predicted = table.choice(choice.indices).bytes - table.fixedBytes
      table.fixedBytes = Double(bytes - codes)
      ratio = Double(codes) / max(predicted, 1)
    }
    if let best { return best }
    let least = table.scaled(by: ratio).leastBytes
    throw OverBudget(
      bytes: Int(least.rounded(.up)), code: quantize.codeBytes, budget: budget, largest: [])
  }

  private func search(
    _ weights: ParameterBlock, _ moments: SecondMoments?, tokens: Int
  ) throws -> PrecisionSearch {
    let loss = try CalibrationLoss(
      plan, data: data, weights, tokens: tokens, seed: seed, threads: threads)
    return PrecisionSearch(
      weights: weights, moments: moments, threads: threads, loss: loss.callAsFunction)
  }

  /// What the stored form of each param costs, and what the forms next to it would.
  public func account(of packed: Packed, madeFrom weights: ParameterBlock) throws
    -> PrecisionAccount
  {
    try observe(.phase("weigh-precision"))
    let search = try search(weights, packed.moments, tokens: Self.lossTokens.account)
    let matrices = plan.model.graph.parameters.filter { $0.type.rank == 2 }
    let sensitivities = try search.sensitivities(of: matrices) { try observe(.progress($0)) }
    return try PrecisionAccount(plan.model, packed, search, sensitivities)
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

extension PrecisionTable {
  /// With the bytes of all forms times a factor.
  fileprivate func scaled(by factor: Double) -> PrecisionTable {
    var table = self
    for entry in entries.indices {
      for index in entries[entry].candidates.indices {
        table.entries[entry].candidates[index].bytes *= factor
      }
    }
    return table
  }

  fileprivate func chosen(_ choice: Choice) -> [(path: String, precision: Precision)] {
    zip(entries, choice.indices).map { ($0.path, $0.candidates[$1].precision) }
  }
}

/// The mean loss of training text, in nats a token, with weights in one block.
private struct CalibrationLoss {
  private let scorer: Scorer
  private let parameters: ParameterBlock
  private let tokens: [Int32]

  /// About so many tokens are read.
  init(
    _ plan: Plan, data: DataFolder, _ weights: ParameterBlock, tokens: Int, seed: UInt64,
    threads: Int
  ) throws {
    let sizes = plan.model.calibrationSizes
    parameters = try weights.copy()
    scorer = try Scorer(
      plan.functions, window: sizes.seq, rows: sizes.rows, scored: nil, parameters: parameters,
      threads: threads)
    let stream = try data.train()
    let windows = max(1, min(tokens, stream.count - 1) / sizes.seq)
    let count = min(windows * sizes.seq, stream.count - 1)
    let places = UInt64(stream.count - count)
    let start = Int(RandomStream(seed: seed, path: "calibration loss").bits(0) % places)
    self.tokens = try stream.read(start..<start + count + 1).map(Int32.init)
  }

  func callAsFunction(_ weights: ParameterBlock) throws -> Double {
    for entry in parameters.layout.entries {
      let path = entry.parameter.path
      _ = parameters[path]!.update(from: weights[path]!)
    }
    scorer.parametersChanged()
    let windows = evaluationWindows(
      targets: tokens.count - 1, length: scorer.window, stride: nil)
    var nll = [Float](repeating: 0, count: tokens.count - 1)
    try scorer.score(windows, of: tokens, into: &nll)
    let targets = windows.last?.end ?? 0
    return nll.prefix(targets).reduce(0) { $0 + Double($1) } / Double(max(targets, 1))
  }
}

extension Model {
  /// Params whose rule asks for GPTQ, and which no node multiplies as they are.
  fileprivate func remarks(_ moments: SecondMoments) -> [String] {
    let precision = precisionTable
    let paths = graph.parameters.map(\.path).filter { path in
      precision[path]?.isSolved ?? false && moments.place(of: path) == nil
    }
    guard let first = paths.first else { return [] }
    return [
      "gptq: \(first)\(paths.count > 1 ? " and \(paths.count - 1) more" : "") multiply nothing as they "
        + "are, so their codes are rounded to nearest"
    ]
  }
}
