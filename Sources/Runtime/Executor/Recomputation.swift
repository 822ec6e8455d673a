// SPDX-License-Identifier: Apache-2.0
// What recomputing a run's scores starts from, and the ways in which the run scored.

import Formats
import IR

/// The functions and weights of an artifact with the text that was scored: what `Probe.swift`,
/// `SumCheck.swift` and `Replay.swift` compute from.
public struct Recomputation {
  let functions: [PlanFunction]
  let settings: Settings
  package let stream: ValidationStream
  let parameters: ParameterBlock
  /// Whether the run adapted, as the settings' ttt section says.
  let adapts: Bool
  let threads: Int
  /// Hears which part is being computed and how far it is.
  let observe: (RunEvent) throws -> Void

  /// `functions` are those that `settings` ask for; `parameters` keep their values.
  public init(
    functions: [PlanFunction], settings: Settings, stream: ValidationStream,
    parameters: ParameterBlock, adapts: Bool, threads: Int,
    observe: @escaping (RunEvent) throws -> Void = { _ in }
  ) {
    precondition(!adapts || settings.ttt != nil, "no ttt section to adapt by")
    (self.functions, self.settings, self.stream) = (functions, settings, stream)
    (self.parameters, self.adapts, self.threads) = (parameters, adapts, threads)
    self.observe = observe
  }

  /// The protocol of the run; nil where it did not adapt.
  var ttt: TTTSettings? { adapts ? settings.ttt : nil }

  /// Windows of every kind that the evaluations have, each once: entries that differ in nothing but
  /// their weights are scored by the same functions.
  var windowKinds: [WindowKind] {
    var kinds: [WindowKind] = []
    for entry in settings.evaluate {
      let kind = WindowKind(entry)
      if let index = kinds.firstIndex(where: { $0.isScored(like: kind) }) {
        kinds[index].names += kind.names
      } else {
        kinds.append(kind)
      }
    }
    return kinds
  }

  /// Up to `count` targets of `0 ..< end`, in order: the first, the last, borders of chunks and of
  /// documents for up to half of them, the rest at random. Equal arguments choose equal places.
  package func places(_ count: Int, below end: Int, for purpose: String) -> [Int] {
    let random = RandomStream(seed: UInt64(count), path: purpose + " borders")
    // One border of a chunk, one of a document, in turn.
    let kinds = [chunkBorders(below: end), documentBorders(below: end)].filter { !$0.isEmpty }
    let borders = (0..<(kinds.isEmpty ? 0 : count / 2)).map { draw in
      let kind = kinds[draw % kinds.count]
      return kind[Int(random.bits(UInt64(draw)) % UInt64(kind.count))]
    }
    return numbers(count, below: end, among: borders, for: purpose)
  }

  /// Up to `count` different numbers of `0 ..< end`, in order: the first, the last, those that are
  /// given, the rest at random.
  func numbers(_ count: Int, below end: Int, among given: [Int] = [], for purpose: String) -> [Int]
  {
    guard end > count else { return Array(0..<max(end, 0)) }
    var chosen: Set<Int> = []
    for number in [0, end - 1] + given where chosen.count < count { chosen.insert(number) }
    let random = RandomStream(seed: UInt64(count), path: purpose)
    var draw: UInt64 = 0
    while chosen.count < count {
      chosen.insert(Int(random.bits(draw) % UInt64(end)))
      draw += 1
    }
    return chosen.sorted()
  }

  /// The last target of every chunk and the first of the next.
  private func chunkBorders(below end: Int) -> [Int] {
    guard let ttt else { return [] }
    return stride(from: ttt.chunk, to: end, by: ttt.chunk).flatMap { [$0 - 1, $0] }
  }

  /// Targets that a control token precedes, and those that are one.
  private func documentBorders(below end: Int) -> [Int] {
    let boundary = stream.table.boundary
    return (0..<end).filter {
      boundary[Int(stream.tokens[$0])] || boundary[Int(stream.tokens[$0 + 1])]
    }
  }
}

/// Windows of one length and stride in calls of so many rows.
struct WindowKind {
  /// Entries of the evaluate section that have it.
  var names: [String]
  let window: Int
  let stride: Int?
  let rows: Int
  /// Targets scored in each window but the first; nil: all.
  let scored: Int?

  init(_ entry: Evaluation) {
    names = [entry.name]
    window = entry.window
    stride = entry.stride
    rows = entry.batch ?? scoringRows(window: entry.window)
    scored = entry.scoredPerWindow
  }

  var description: String { names.joined(separator: ", ") }

  func isScored(like other: WindowKind) -> Bool {
    window == other.window && stride == other.stride && rows == other.rows
  }

  func windows(targets: Int) -> [Window] {
    evaluationWindows(targets: targets, length: window, stride: stride)
  }

  func scorer(of recomputation: Recomputation) throws -> Scorer {
    try Scorer(
      recomputation.functions, window: window, rows: rows, scored: scored,
      parameters: recomputation.parameters, threads: recomputation.threads)
  }
}

extension [Window] {
  /// The window that scores a target, of windows in the order of their targets.
  func window(scoring target: Int) -> Window? {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].end <= target { low = middle + 1 } else { high = middle }
    }
    return low < count ? self[low] : nil
  }
}
