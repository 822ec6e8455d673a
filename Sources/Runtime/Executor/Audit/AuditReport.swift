// SPDX-License-Identifier: Apache-2.0
// What an audit found: claims, how each was established, and the verdict that follows from them.

/// The outcome of an audit.
public struct AuditReport: Sendable, Equatable {
  /// How a claim stands.
  public enum Standing: String, Sendable, Equatable {
    /// The files agree with one another. Whoever wrote all of them could have invented them.
    case consistent
    /// Computed again from the artifact and the data, and equal to the bit.
    case recomputed
    /// Computed again on a machine that rounds differently, and equal within a tolerance.
    case close
    /// What it would take to look was not given.
    case unchecked
    /// There is no evidence for it, or not for all of it.
    case missing
    /// The evidence contradicts it.
    case refused
  }

  /// One thing that a run claims.
  public struct Claim: Sendable, Equatable {
    public let standing: Standing
    /// "what: what was found".
    public let text: String
  }

  /// What follows from all claims.
  public enum Verdict: String, Sendable, Equatable {
    case ok
    /// Something is missing, partial or only close.
    case incomplete
    /// A rule was broken, or what was scored is no score.
    case illegal
    case overBudget = "over budget"
  }

  /// In the order in which they were checked.
  public private(set) var claims: [Claim] = []
  /// Lines of the log.
  public var events = 0
  /// The adapted score is one of adapt_first, which is not a score.
  public var hasIllegalScore = false
  public var isOverBudget = false
  /// Scores were computed again, whatever came out; else files were only compared with one another.
  public var isRecomputed = false

  public init() {}

  public mutating func add(_ standing: Standing, _ text: String) {
    claims.append(Claim(standing: standing, text: text))
  }

  public func texts(_ standings: Standing...) -> [String] {
    claims.filter { standings.contains($0.standing) }.map(\.text)
  }

  public var verdict: Verdict {
    func has(_ standing: Standing) -> Bool { claims.contains { $0.standing == standing } }
    if has(.refused) || hasIllegalScore { return .illegal }
    if isOverBudget { return .overBudget }
    return has(.missing) || has(.close) ? .incomplete : .ok
  }
}
