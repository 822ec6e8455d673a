// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the nearest of the known spellings to an unknown one.

/// The number of single-character edits (insert, delete, replace, swap neighbours) between two
/// words.
public func editDistance(_ first: String, _ second: String) -> Int {
  let a = Array(first.unicodeScalars)
  let b = Array(second.unicodeScalars)
  if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
  var beforePrevious = [Int](repeating: 0, count: b.count + 1)
  var previous = Array(0...b.count)
  for i in 1...a.count {
    var row = [i] + [Int](repeating: 0, count: b.count)
    for j in 1...b.count {
      let cost = a[i - 1] == b[j - 1] ? 0 : 1
      row[j] = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + cost)
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
        row[j] = min(row[j], beforePrevious[j - 2] + 1)
      }
    }
    beforePrevious = previous
    previous = row
  }
  return previous[b.count]
}

/// The nearest candidate, if it is near enough to be what was meant. The first of equals wins.
public func nearest(to word: String, among candidates: [String]) -> String? {
  let length = word.unicodeScalars.count
  // In words of one or two letters every other word is near.
  guard (3...100).contains(length) else { return nil }
  let limit = max(1, length / 3)
  var best: (word: String, distance: Int)?
  for candidate in candidates where abs(candidate.unicodeScalars.count - length) <= limit {
    let distance = editDistance(word, candidate)
    if distance <= limit, distance < best?.distance ?? Int.max { best = (candidate, distance) }
  }
  return best?.word
}

/// `did you mean 'heads'?`, or nil when nothing is near.
public func suggestion(for word: String, among candidates: [String]) -> String? {
  nearest(to: word, among: candidates).map { "did you mean '\($0)'?" }
}
