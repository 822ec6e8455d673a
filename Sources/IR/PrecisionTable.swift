// SPDX-License-Identifier: Apache-2.0
// Which stored form each param takes under a budget of bytes: a multiple-choice knapsack.

/// What one stored form of a param costs and damages.
public struct PrecisionCandidate: Hashable, Sendable {
  public var precision: Precision
  /// Bytes in the artifact, as predicted.
  public var bytes: Double
  /// Increase of the loss, in nats per token, as predicted.
  public var damage: Double

  public init(_ precision: Precision, bytes: Double, damage: Double) {
    (self.precision, self.bytes, self.damage) = (precision, bytes, damage)
  }
}

/// The stored forms that each param may take.
public struct PrecisionTable: Sendable, Equatable {
  public struct Entry: Sendable, Equatable {
    public var path: String
    /// At least one.
    public var candidates: [PrecisionCandidate]

    public init(path: String, candidates: [PrecisionCandidate]) {
      (self.path, self.candidates) = (path, candidates)
    }
  }

  /// In the order of the model.
  public var entries: [Entry]
  /// Bytes of the artifact that no choice changes.
  public var fixedBytes: Double

  public init(entries: [Entry], fixedBytes: Double = 0) {
    (self.entries, self.fixedBytes) = (entries, fixedBytes)
  }

  /// A choice: the index of a candidate for each entry.
  public struct Choice: Sendable, Equatable {
    public var indices: [Int]
    public var bytes: Double
    public var damage: Double
  }

  /// The smallest artifact that the table allows, in bytes.
  public var leastBytes: Double {
    entries.reduce(fixedBytes) { $0 + ($1.candidates.map(\.bytes).min() ?? 0) }
  }

  /// The choice of least damage that takes at most `budget` bytes; nil if none fits.
  ///
  /// Steps along the lower convex hulls of (bytes, damage) are taken in the order of the damage that a byte
  /// saves, which is optimal for every budget that a step ends at (Lagrange multipliers; Everett 1963,
  /// Sinha and Zoltners 1979). What is left then goes to the single changes that save most of what fits.
  public func choose(budget: Double) -> Choice? {
    let hulls = entries.map { PrecisionTable.hull($0.candidates) }
    var places = [Int](repeating: 0, count: entries.count)
    var bytes =
      fixedBytes
      + zip(entries, hulls).reduce(0.0) {
        $0 + $1.0.candidates[$1.1[0]].bytes
      }
    guard bytes <= budget else { return nil }
    var steps: [(slope: Double, entry: Int, place: Int)] = []
    for (entry, hull) in hulls.enumerated() {
      for place in hull.indices.dropFirst() {
        let (less, more) = (
          entries[entry].candidates[hull[place - 1]], entries[entry].candidates[hull[place]]
        )
        steps.append(((less.damage - more.damage) / (more.bytes - less.bytes), entry, place))
      }
    }
    // A hull is convex, so the steps of an entry come in their order.
    steps.sort { ($1.slope, $0.entry, $0.place) < ($0.slope, $1.entry, $1.place) }
    for step in steps where places[step.entry] == step.place - 1 {
      let candidates = entries[step.entry].candidates
      let hull = hulls[step.entry]
      let more = candidates[hull[step.place]].bytes - candidates[hull[step.place - 1]].bytes
      guard bytes + more <= budget else { continue }
      places[step.entry] = step.place
      bytes += more
    }
    var indices = zip(hulls, places).map { $0[$1] }
    spend(budget - bytes, &indices)
    return choice(indices)
  }

  /// The sums of a choice.
  public func choice(_ indices: [Int]) -> Choice {
    var choice = Choice(indices: indices, bytes: fixedBytes, damage: 0)
    for (entry, index) in zip(entries, indices) {
      choice.bytes += entry.candidates[index].bytes
      choice.damage += entry.candidates[index].damage
    }
    return choice
  }

  /// Takes the change that saves most damage as long as one fits into what is left.
  private func spend(_ left: Double, _ indices: inout [Int]) {
    var left = left
    while true {
      var best: (saved: Double, entry: Int, index: Int)?
      for (entry, chosen) in indices.enumerated() {
        let now = entries[entry].candidates[chosen]
        for (index, candidate) in entries[entry].candidates.enumerated() {
          let saved = now.damage - candidate.damage
          guard saved > best?.saved ?? 0, candidate.bytes - now.bytes <= left else { continue }
          best = (saved, entry, index)
        }
      }
      guard let best else { return }
      let candidates = entries[best.entry].candidates
      left -= candidates[best.index].bytes - candidates[indices[best.entry]].bytes
      indices[best.entry] = best.index
    }
  }

  /// Indices of the candidates on the lower convex hull, from the fewest bytes to the least damage.
  static func hull(_ candidates: [PrecisionCandidate]) -> [Int] {
    let order = candidates.indices.sorted {
      (candidates[$0].bytes, candidates[$0].damage, $0)
        < (candidates[$1].bytes, candidates[$1].damage, $1)
    }
    var hull: [Int] = []
    for index in order {
      let point = candidates[index]
      if let last = hull.last, candidates[last].damage <= point.damage { continue }
      while hull.count >= 2 {
        let (a, b) = (candidates[hull[hull.count - 2]], candidates[hull[hull.count - 1]])
        // b stays where it lies below the line from a to the new point.
        let isBelow =
          (b.damage - a.damage) * (point.bytes - a.bytes)
          < (point.damage - a.damage) * (b.bytes - a.bytes)
        if isBelow { break }
        hull.removeLast()
      }
      hull.append(index)
    }
    return hull
  }
}
