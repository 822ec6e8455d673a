// SPDX-License-Identifier: Apache-2.0
// Which phase of a run each second belongs to.

import Formats

/// Bills the seconds of a run to its phases. Every second between its creation and the last look at it is
/// billed to one phase.
public final class PhaseClock {
  /// Names of phases that several places know.
  public enum Name {
    public static let load = "load"
    public static let train = "train"
    /// Held-out text that is scored while training.
    public static let validate = "validate"
    public static let checkpoint = "checkpoint"
    public static let adapt = "ttt"
    /// The prefix of an evaluation's name.
    private static let evaluation = "eval "

    public static func evaluation(_ entry: String) -> String { evaluation + entry }

    /// The entry of a phase that is an evaluation.
    public static func entry(of phase: String) -> Substring? {
      phase.hasPrefix(evaluation) ? phase.dropFirst(evaluation.count) : nil
    }
  }

  private let clock: () -> Double
  private var phase: String
  /// When the phase went on last.
  private var latest: Double
  private var bills: [(phase: String, seconds: Double)] = []

  /// Begins in the phase `load`.
  public init(clock: @escaping () -> Double) {
    (self.clock, phase) = (clock, Name.load)
    latest = clock()
  }

  /// Ends the current phase and begins, or goes on with, another.
  public func enter(_ phase: String) {
    let time = clock()
    add(time - latest, to: self.phase)
    (self.phase, latest) = (phase, time)
  }

  /// Bills what `body` takes to a phase, then goes on with the current one. Returns the seconds.
  @discardableResult
  package func bill(_ phase: String, _ body: () throws -> Void) rethrows -> Double {
    let outer = self.phase
    enter(phase)
    let start = latest
    defer { if self.phase == phase { enter(outer) } }
    try body()
    enter(outer)
    return latest - start
  }

  /// Adds seconds that an earlier process of the same run spent.
  package func add(_ seconds: Double, to phase: String) {
    if let index = bills.firstIndex(where: { $0.phase == phase }) {
      bills[index].seconds += seconds
    } else {
      bills.append((phase, seconds))
    }
  }

  /// Phases in the order in which they first ended, with their seconds up to now.
  public var seconds: [(phase: String, seconds: Double)] {
    enter(phase)
    return bills
  }

  /// The seconds of some phases together, up to now.
  package func sum(_ phases: [String]) -> Double {
    seconds.reduce(0) { phases.contains($1.phase) ? $0 + $1.seconds : $0 }
  }

  /// Bills the events of a run to its phases, and hands them on.
  public func billing(
    _ observe: @escaping (RunEvent) throws -> Void
  ) -> (RunEvent) throws -> Void {
    { event in
      if case .phase(let name) = event { self.enter(name) }
      try observe(event)
    }
  }
}
