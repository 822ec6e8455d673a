// SPDX-License-Identifier: Apache-2.0
// The size of an artifact before there are weights: each stored form by what trained weights are like.

import Formats
import IR

/// Bytes that the artifact of a model will have, by the groups of its container.
public struct SizeEstimate: Sendable, Equatable {
  public struct Group: Sendable, Equatable {
    public var name: String
    public var bytes: Interval
  }

  /// In file order.
  public private(set) var groups: [Group] = []
  /// The graph's text, and what the file has beside its groups.
  public let frame: Int
  /// The whole file.
  public private(set) var bytes: Interval
  /// Bytes that the budget leaves the artifact; nil without a budget.
  public let room: Int?
  private let quantize: QuantizeSettings?

  /// Of a model that trains for so many steps; nil: nobody knows.
  public init(_ model: Model, steps: Int?) throws(FormatError) {
    quantize = model.settings.quantize
    room = quantize.flatMap { settings in settings.budget.map { $0 - settings.codeBytes } }
    let declared = model.forArtifact
    frame = try declared.artifactFrame()
    bytes = Interval(0, 0, 0)
    let prior = WeightPrior(model, steps: steps)
    let free = Set(model.freeParameters.map(\.path))
    let table = model.precisionTable
    var names: [String] = []
    var sums: [String: Interval] = [:]
    func add(_ group: String, _ bytes: Interval) {
      if sums[group] == nil { names.append(group) }
      sums[group] = (sums[group] ?? Interval(0, 0, 0)) + bytes
    }
    for parameter in model.graph.parameters {
      let path = parameter.path
      guard free.contains(path), let bits = quantize?.bits(of: parameter) else {
        let form = table[path] ?? .f32
        for stream in form.expectedStreams(parameter, prior) { add(stream.group, stream.bytes) }
        continue
      }
      // A form that is chosen later lies between the coarsest and the finest.
      let forms = [PrecisionSearch.coarsest(bits), PrecisionSearch.finest(bits)]
      let streams = forms.map { $0.expectedStreams(parameter, prior) }
      for (first, last) in zip(streams[0], streams[1]) {
        let expected = (first.bytes.expected + last.bytes.expected) / 2
        add(first.group, Interval(first.bytes.low, expected, last.bytes.high))
      }
    }
    for addition in quantize?.expectedAdditions(model.graph.parameters) ?? [] {
      add(addition.group, addition.bytes)
    }
    groups = names.map { Group(name: $0, bytes: sums[$0]!) }
    let whole = groups.reduce(Interval(0, 0, 0)) { $0 + $1.bytes }
    let fixed = Double(frame)
    bytes = whole + Interval(fixed, fixed, fixed)
    if !free.isEmpty, let room { choose(within: Double(room)) }
  }

  /// What is chosen by the budget takes all of it that it has use for.
  private mutating func choose(within room: Double) {
    guard bytes.low <= room else { return }
    let most = min(bytes.high, room)
    let expected = min(max(room, bytes.expected), most)
    bytes = Interval(min(bytes.low, most), expected, most)
  }

  // MARK: Budget

  /// How the estimate stands to the budget of the file.
  public enum Verdict: String, Sendable {
    case none = "no budget"
    case fits
    /// The interval holds the budget.
    case uncertain
    /// No training makes it fit.
    case infeasible
  }

  /// The low end is a number that no trained model came near; a part of it is left for those that will.
  private static let margin = 0.95

  public var verdict: Verdict {
    guard let room else { return .none }
    if Self.margin * bytes.low > Double(room) { return .infeasible }
    return bytes.high > Double(room) ? .uncertain : .fits
  }

  /// The error of a budget that nothing can meet.
  public var infeasible: InfeasibleBudget? {
    guard verdict == .infeasible, let quantize, let budget = quantize.budget else { return nil }
    let sorted = groups.sorted { $0.bytes.expected > $1.bytes.expected }
    return InfeasibleBudget(
      budget: budget, code: quantize.codeBytes, bytes: bytes, isAutomatic: quantize.isAutomatic,
      largest: sorted.prefix(5).map { ($0.name, Int($0.bytes.expected.rounded())) })
  }
}

/// A budget that even the smallest artifact that training could lead to exceeds.
public struct InfeasibleBudget: Error, Sendable {
  public let budget: Int
  public let code: Int
  /// Of the artifact.
  public let bytes: Interval
  /// Whether forms are chosen by the budget, and even the coarsest are too large.
  public let isAutomatic: Bool
  /// The groups of the container that are expected to cost most.
  public let largest: [(group: String, bytes: Int)]
}

extension Precision {
  /// The groups that the streams of a param lie in, and the bytes that they are expected to take there.
  func expectedStreams(
    _ parameter: Parameter, _ prior: WeightPrior
  ) -> [(group: String, bytes: Interval)] {
    form.streams.enumerated().map { index, stream in
      let bytes = stream.bytes(of: parameter)
      let expected: Interval
      switch (stream.element, self) {
      case (.code, .int(let quantizer)) where index == 0:
        expected = prior.codes(parameter, quantizer)
      case (.code(let range, _), .int):
        expected = WeightPrior.corrections(codes: bytes, of: range.count)
      case (_, .int): expected = prior.scales(bytes: bytes)
      default: expected = prior.numbers(parameter, bytes: bytes, isFloat8: self == .fp8)
      }
      return (stream.group(of: parameter), expected)
    }
  }
}

extension QuantizeSettings {
  /// What packing adds to the rules when it knows the weights: which matrices, nobody knows before.
  func expectedAdditions(_ parameters: [Parameter]) -> [(group: String, bytes: Interval)] {
    let matrices = parameters.filter { parameter in
      if case .int? = rule(for: parameter)?.precision { parameter.type.rank == 2 } else { false }
    }
    var additions: [(group: String, bytes: Interval)] = []
    if let correction {
      let low = correction.form
      let sizes = matrices.map { parameter in
        let (rows, columns) = (parameter.type.sizes[0], parameter.type.sizes[1])
        let codes =
          WeightPrior.corrections(codes: low.rank * rows, of: 1 << low.aBits)
          + WeightPrior.corrections(codes: low.rank * columns, of: 1 << low.bBits)
        return codes + Interval(0, 1, 2) * Double(low.group > 0 ? low.rank : low.rank + rows)
      }.sorted { $0.expected > $1.expected }
      let largest = sizes.prefix(correction.worst).reduce(Interval(0, 0, 0), +)
      additions.append(("corrections", Interval(0, 0.7 * largest.expected, largest.high)))
    }
    if let protection {
      let rows = matrices.map { $0.type.sizes[0] }.max() ?? 0
      let most = Double(rows * (protection.columns * protection.bits / 8 + 2))
      additions.append(("protected columns", Interval(0, 0.3, 1) * most))
    }
    return additions
  }
}
