// SPDX-License-Identifier: Apache-2.0
// Scores windows of a token stream with loaded functions, many windows at a time.

import IR

/// Scores windows of one length and stride with one set of parameters.
public final class Scorer {
  public let window: Int
  private let rows: Int
  /// Targets scored in windows but the first; the window's length where windows do not overlap.
  private let last: Int
  private let all: Executable
  private let tail: Executable?
  /// Executables that have not seen the parameters as they are now.
  private var stale = Set<ObjectIdentifier>()

  /// Loads the functions that score `window` tokens; `scored` targets in all windows but the first.
  /// Parameters that are not among `changing` keep their values; nil: all may change.
  public init(
    _ functions: [PlanFunction], window: Int, rows: Int, scored: Int?, parameters: ParameterBlock,
    threads: Int, changing: [String]? = nil
  ) throws {
    func load(_ last: Int?) throws -> Executable {
      let name = FunctionName.score(window: window, rows: rows, last: last)
      guard let function = functions.first(where: { $0.name == name }) else {
        preconditionFailure("the plan has no function \(name)")
      }
      guard function.updates.isEmpty else {
        throw LegalityError(
          description: "\(name) would change \(function.updates.sorted().joined(separator: ", ")): "
            + "scoring may not write parameters")
      }
      return Executable(function, parameters: parameters, threads: threads, changing: changing)
    }
    self.window = window
    self.rows = rows
    last = scored ?? window
    all = try load(nil)
    tail = try scored.map { try load($0) }
    parametersChanged()
  }

  /// Call it after the parameters changed.
  public func parametersChanged() {
    stale = Set(([all] + (tail.map { [$0] } ?? [])).map(ObjectIdentifier.init))
  }

  private func prepare(_ executable: Executable) {
    if stale.remove(ObjectIdentifier(executable)) != nil { executable.prepareParameters() }
  }

  /// Records the scoring of one batch: that of the latest windows, whatever they were.
  public func profile() -> Profile {
    prepare(all)
    // Warms up: the first run touches its memory for the first time.
    all.run()
    return all.profile()
  }

  /// Writes the nll of every scored target of `windows` to its place in `nll`.
  ///
  /// `tokens` is the stream, targets + 1 long. `progress` gets the number of windows done.
  public func score(
    _ windows: some Collection<Window>, of tokens: [Int32], into nll: inout [Float],
    progress: (Int) -> Void = { _ in }
  ) {
    var rest = Array(windows)[...]
    var done = 0
    while let first = rest.first {
      // The first window of a stream scores all its targets and cannot share a call with the others.
      let isFull = first.firstScored == first.start
      let executable = isFull ? all : tail ?? all
      let count = min(rows, rest.prefix { ($0.firstScored == $0.start) == isFull }.count)
      let scored = isFull ? window : last
      score(Array(rest.prefix(count)), scored, executable, tokens, &nll)
      rest = rest.dropFirst(count)
      done += count
      progress(done)
    }
  }

  private func score(
    _ windows: [Window], _ scored: Int, _ executable: Executable, _ tokens: [Int32],
    _ nll: inout [Float]
  ) {
    let ids = executable.tokens(executable.function.inputs[0].name)
    let targets = executable.tokens("targets")
    let inputs = tokens.count - 1
    for row in 0..<rows {
      // Rows beyond the last window and positions beyond the stream hold token 0: causality and row
      // independence keep them out of every other result.
      let current = row < windows.count ? windows[row] : nil
      for position in 0..<window {
        let index = (current?.start ?? inputs) + position
        ids[row * window + position] = index < inputs ? tokens[index] : 0
      }
      for position in 0..<scored {
        let index = (current?.start ?? inputs) + window - scored + position
        targets[row * scored + position] = index < inputs ? tokens[index + 1] : 0
      }
    }
    prepare(executable)
    executable.run()
    let results = executable.output("nll")
    for (row, window) in windows.enumerated() {
      let offset = window.start + self.window - scored
      for target in window.firstScored..<window.end {
        nll[target] = results[row * scored + target - offset]
      }
    }
  }
}
