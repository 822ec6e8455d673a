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
    let free = Set(model.graph.parameters.filter { quantize?.isFree($0) ?? false }.map(\.path))
    var names: [String] = []
    var sums: [String: Interval] = [:]
    for parameter in model.graph.parameters {
      let forms =
        free.contains(parameter.path)
        ? [PrecisionSearch.forms.coarsest, PrecisionSearch.forms.finest]
        : [declared.precisionTable[parameter.path] ?? .f32]
      let streams = forms.map { $0.expectedStreams(parameter, prior) }
      // A form that is chosen later lies between the coarsest and the finest.
      for (first, last) in zip(streams[0], streams[streams.count - 1]) {
        if sums[first.group] == nil { names.append(first.group) }
        let range = Interval(
          first.bytes.low, (first.bytes.expected + last.bytes.expected) / 2, last.bytes.high)
        sums[first.group] = (sums[first.group] ?? Interval(0, 0, 0)) + range
      }
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
    form.streams.map { stream in
      let bytes = stream.bytes(of: parameter)
      let expected: Interval
      switch (stream.element, self) {
      case (.code, .int(let quantizer)): expected = prior.codes(parameter, quantizer)
      case (.half, .int): expected = prior.scales(bytes: bytes)
      default: expected = prior.numbers(parameter, bytes: bytes, isFloat8: self == .fp8)
      }
      return (stream.group(of: parameter), expected)
    }
  }
}
