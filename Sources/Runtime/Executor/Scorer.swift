// SPDX-License-Identifier: Apache-2.0
// Scores windows of a token stream with loaded functions, many windows at a time.

import IR

/// Scores windows of one length and stride with one set of parameters.
public final class Scorer {
  public let window: Int
  let rows: Int
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
      guard function.updates.isEmpty || !Safeguard.readOnlyScorer.isOn else {
        throw LegalityError(
          description: "\(name) would change \(function.updates.sorted().joined(separator: ", ")): "
            + "scoring may not write parameters")
      }
      return try Executable(function, parameters: parameters, threads: threads, changing: changing)
    }
    (self.window, self.rows) = (window, rows)
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
  /// `tokens` is the stream, targets + 1 long. `progress` gets the part of the calls that is done.
  public func score(
    _ windows: some Collection<Window>, of tokens: [Int32], into nll: inout [Float],
    progress: (Double) throws -> Void = { _ in }
  ) throws {
    let calls = calls(Array(windows))
    for (index, call) in calls.enumerated() {
      load(call, of: tokens)
      let results = run(call)
      for (row, window) in call.windows.enumerated() {
        for target in window.firstScored..<window.end {
          nll[target] = results[call.place(of: target, row: row)]
        }
      }
      try progress(Double(index + 1) / Double(calls.count))
    }
  }

  // MARK: Calls

  /// One call of a scoring function: a window a row. Rows without a window hold token 0.
  struct Call {
    let windows: [Window]
    let executable: Executable
    /// Inputs of a row.
    let length: Int
    /// Targets of a row: the last of its window.
    let scored: Int
    let rows: Int

    /// [rows, length].
    var ids: UnsafeMutableBufferPointer<Int32> {
      executable.ids([rows, length])
    }
    /// [rows, scored].
    var targets: UnsafeMutableBufferPointer<Int32> { executable.tokens(.targets, [rows, scored]) }

    /// Where the nll of a target of the stream stands in the results, if the row scores it.
    func place(of target: Int, row: Int) -> Int {
      row * scored + target - (windows[row].start + length - scored)
    }
  }

  /// The calls that score windows in their order.
  func calls(_ windows: [Window]) -> [Call] {
    var calls: [Call] = []
    var rest = windows[...]
    while let first = rest.first {
      // The first window of a stream scores all its targets: it cannot share a call with others.
      let isFull = first.firstScored == first.start
      let count = min(rows, rest.prefix { ($0.firstScored == $0.start) == isFull }.count)
      calls.append(
        Call(
          windows: Array(rest.prefix(count)), executable: isFull ? all : tail ?? all,
          length: window, scored: isFull ? window : last, rows: rows))
      rest = rest.dropFirst(count)
    }
    return calls
  }

  /// Writes the ids and targets of a call.
  func load(_ call: Call, of tokens: [Int32]) {
    let (ids, targets, scored) = (call.ids, call.targets, call.scored)
    let inputs = tokens.count - 1
    for row in 0..<rows {
      // Rows beyond the last window and positions beyond the stream hold token 0: causality and row
      // independence keep them out of every other result.
      let start = row < call.windows.count ? call.windows[row].start : inputs
      for position in 0..<window {
        let index = start + position
        ids[row * window + position] = index < inputs ? tokens[index] : 0
      }
      for position in 0..<scored {
        let index = start + window - scored + position
        targets[row * scored + position] = index < inputs ? tokens[index + 1] : 0
      }
    }
  }

  /// The nll [rows, scored] of what was loaded, valid until the next run.
  func run(_ call: Call) -> UnsafeMutableBufferPointer<Float> {
    prepare(call.executable)
    call.executable.run()
    return call.executable.output(.nll, [call.rows, call.scored])
  }
}
