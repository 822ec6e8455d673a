// SPDX-License-Identifier: Apache-2.0
// Causality seen from outside: other tokens where the model may not look, equal bits of every nll.

import Formats
import IR

/// A prediction that depends on what it may not see.
public struct Leak: Sendable, Equatable, CustomStringConvertible {
  /// What was changed when the prediction changed.
  public enum Cause: String, Sendable {
    case laterTokens = "the tokens behind it in its row"
    case otherRows = "the other rows of the call"
    case laterChunks = "the tokens of later chunks"
  }

  /// Entries of the evaluate section with these windows, or `ttt`.
  public var name: String
  public var cause: Cause
  /// Row of the call and the first input of its window; nil where weights were learned from what
  /// comes later.
  public var row: Int?
  public var window: Int?
  /// The target that was probed: all tokens from it on were others.
  public var place: Int
  /// The first target, up to `place`, whose nll has other bits.
  public var target: Int

  public var description: String {
    let at = row.map { ", in row \($0), the window from token \(window ?? 0)" } ?? ""
    return "\(name): the nll of target \(target) depends on \(cause.rawValue): it has other bits "
      + "when the tokens from target \(place) on are others\(at)"
  }
}

/// What a probe found.
public struct ProbeReport: Sendable {
  /// Places by window kind and protocol, in order.
  public var places: [(name: String, count: Int)] = []
  /// The first that was found; nothing was probed behind it.
  public var leak: Leak?
}

extension Recomputation {
  /// Probes `count` places in every window kind and in the protocol of the run.
  ///
  /// A place is a target t. All tokens from t on in its row, and all tokens of the other rows, are
  /// replaced by others of the vocabulary while the targets stay; every nll of the row up to t's
  /// must keep its bits.
  public func probe(places count: Int) throws -> ProbeReport {
    var report = ProbeReport()
    for kind in windowKinds {
      try observe(.phase("probe " + kind.description))
      let windows = kind.windows(targets: stream.targets)
      let places = places(count, below: windows.last?.end ?? 0, for: "probe " + kind.description)
      var probe = Probe(
        name: kind.description, scorer: try kind.scorer(of: self), tokens: stream.tokens,
        vocabulary: stream.table.vocab)
      report.leak = try probe.leak(at: places, in: windows) { try observe(.progress($0)) }
      report.places.append((kind.description, places.count))
      if report.leak != nil { return report }
    }
    if let ttt {
      try observe(.phase("probe ttt"))
      let places = places(count, below: stream.targets, for: "probe ttt")
      report.places.append(("ttt", places.count))
      report.leak =
        ttt.mode == .scoreFirst
        ? try leakWhileAdapting(places, ttt, ttt.steps(targets: stream.targets))
        : try leakOfAdaptingFirst(ttt)
    }
    return report
  }

  /// Runs the protocol twice, side by side: once on the stream, once on one whose tokens are others
  /// behind the current chunk. States and scores must be equal in every chunk; then the places of the
  /// chunk are probed with the state that the protocol has there. `steps` are the protocol's, or break
  /// it for a test.
  package func leakWhileAdapting(
    _ places: [Int], _ ttt: TTTSettings, _ steps: [AdaptationStep]
  ) throws -> Leak? {
    func learner() throws -> any Learner {
      try ttt.learner(functions, parameters: parameters.copy(), threads: threads)
    }
    let (real, blind) = (try learner(), try learner())
    var others = Others(vocabulary: stream.table.vocab)
    var seen = stream.tokens.map { others.other(than: $0) }
    var nll = [Float](repeating: 0, count: stream.targets)
    var blindNLL = nll
    real.begin()
    blind.begin()
    for (index, step) in steps.enumerated() {
      switch step {
      case .score(_, let windows, let targets):
        let end = targets.upperBound
        seen.replaceSubrange(0...end, with: stream.tokens[0...end])
        try real.scorer.score(windows, of: stream.tokens, into: &nll)
        try blind.scorer.score(windows, of: seen, into: &blindNLL)
        let target = targets.first { nll[$0].bitPattern != blindNLL[$0].bitPattern }
        if target != nil || real.stateHash() != blind.stateHash() {
          return Leak(
            name: "ttt", cause: .laterChunks, place: targets.lowerBound,
            target: target ?? targets.lowerBound)
        }
        var probe = Probe(
          name: "ttt", scorer: real.scorer, tokens: stream.tokens, vocabulary: stream.table.vocab)
        if let leak = try probe.leak(at: places.filter(targets.contains), in: windows) {
          return leak
        }
      case .learn(_, let targets, let rate, let epochs):
        _ = try real.learn(targets, of: stream.tokens, rate: rate, epochs: epochs) { _ in }
        _ = try blind.learn(targets, of: seen, rate: rate, epochs: epochs) { _ in }
      case .adaptedFirst: break
      }
      try observe(.progress(Double(index + 1) / Double(steps.count)))
    }
    return nil
  }

  /// adapt_first learns from everything before it scores: its first chunk depends on all others.
  private func leakOfAdaptingFirst(_ ttt: TTTSettings) throws -> Leak? {
    let end = min(ttt.chunk, stream.targets)
    var others = Others(vocabulary: stream.table.vocab)
    var changed = stream.tokens
    for index in end + 1..<max(changed.count, end + 1) {
      changed[index] = others.other(than: changed[index])
    }
    func run(_ tokens: [Int32]) throws -> Adaptation.Result {
      try Adaptation(functions, settings: ttt, parameters: parameters.copy(), threads: threads)
        .run(tokens)
    }
    let (real, blind) = (try run(stream.tokens), try run(changed))
    return (0..<end).first { real.nll[$0].bitPattern != blind.nll[$0].bitPattern }.map {
      Leak(name: "ttt", cause: .laterChunks, place: end, target: $0)
    }
  }
}

/// Other tokens than those that stand somewhere, the same ones in every probe.
private struct Others {
  let vocabulary: Int
  private let random = RandomStream(seed: 1, path: "probe tokens")
  private var draws: UInt64 = 0

  init(vocabulary: Int) { self.vocabulary = vocabulary }

  mutating func other(than token: Int32) -> Int32 {
    draws += 1
    let step = 1 + Int(random.bits(draws) % UInt64(max(vocabulary - 1, 1)))
    return Int32((Int(token) + step) % vocabulary)
  }
}

/// Probes places of one scorer with the weights as they are.
private struct Probe {
  let name: String
  let scorer: Scorer
  let tokens: [Int32]
  private var others: Others

  init(name: String, scorer: Scorer, tokens: [Int32], vocabulary: Int) {
    (self.name, self.scorer, self.tokens) = (name, scorer, tokens)
    others = Others(vocabulary: vocabulary)
  }

  mutating func leak(
    at places: [Int], in windows: [Window], progress: (Double) throws -> Void = { _ in }
  ) throws -> Leak? {
    let rows = places.compactMap { windows.window(scoring: $0) }
    var done = 0
    for call in scorer.calls(rows) {
      let here = Array(places[done..<done + call.windows.count])
      if let leak = leak(at: here, in: call) { return leak }
      done += call.windows.count
      try progress(Double(done) / Double(places.count))
    }
    return nil
  }

  /// Probes a place a row. A row keeps its tokens up to its place in one half of the calls and has
  /// none of them in the other, so that for any two rows there is a call that keeps just the first.
  private mutating func leak(at places: [Int], in call: Scorer.Call) -> Leak? {
    scorer.load(call, of: tokens)
    let expected = Array(scorer.run(call))
    let bits = max(1, Int.bitWidth - (places.count - 1).leadingZeroBitCount)
    /// Behind what the prediction of the row's place may see.
    func behind(_ row: Int) -> Int { places[row] - call.windows[row].start + 1 }
    for bit in 0..<bits {
      for half in [0, 1] {
        let kept = places.indices.filter { $0 >> bit & 1 == half }
        let found = nll(call) { kept.contains($0) ? behind($0) : 0 }
        for row in kept {
          guard let target = difference(found, expected, row, places, call) else { continue }
          let alone = nll(call) { $0 == row ? behind(row) : call.length }
          let isAlone = difference(alone, expected, row, places, call) != nil
          return Leak(
            name: name, cause: isAlone ? .laterTokens : .otherRows, row: row,
            window: call.windows[row].start, place: places[row], target: target)
        }
      }
    }
    return nil
  }

  /// The nll of a call whose rows hold other tokens from a position on.
  private mutating func nll(_ call: Scorer.Call, changedFrom first: (Int) -> Int) -> [Float] {
    scorer.load(call, of: tokens)
    let ids = call.ids
    for row in 0..<call.rows {
      for position in min(first(row), call.length)..<call.length {
        let index = row * call.length + position
        ids[index] = others.other(than: ids[index])
      }
    }
    return Array(scorer.run(call))
  }

  /// The first target of a row, up to its place, whose nll has other bits.
  private func difference(
    _ found: [Float], _ expected: [Float], _ row: Int, _ places: [Int], _ call: Scorer.Call
  ) -> Int? {
    (call.windows[row].firstScored...places[row]).first {
      let index = call.place(of: $0, row: row)
      return found[index].bitPattern != expected[index].bitPattern
    }
  }
}
