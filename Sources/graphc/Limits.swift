// SPDX-License-Identifier: Apache-2.0
// Limits of bytes and seconds: those that the command line replaces, and what is said where one is exceeded.

import IR
import Runtime

extension OverBudget {
  var message: String {
    let over = bytes + code - budget
    var text = "error: over budget: the artifact has \(bytes) bytes"
    if code > 0 { text += " and the code \(code)" }
    text += ", \(over) more than the budget of \(budget).\nWhat costs most, compressed:"
    for group in largest { text += "\n  \(group.bytes) bytes  \(group.group)" }
    return text
      + "\nLower their bits or raise their clip in the quantize section, or shrink the model."
  }
}

extension InfeasibleBudget {
  var message: String {
    var text =
      "error: no training makes it fit: the budget is \(budget) bytes, the artifact is expected to have "
      + "\(Int(bytes.expected.rounded())), at least \(Int(bytes.low.rounded()))"
    if code > 0 { text += ", and the code \(code)" }
    text += ".\nWhat is expected to cost most, compressed:"
    for group in largest { text += "\n  \(group.bytes) bytes  \(group.group)" }
    let change =
      isAutomatic
      ? "Even the coarsest forms are too large: shrink the model"
      : "Lower the bits or raise the clip of these in the quantize section, write 'precision auto' instead of "
        + "rules, shrink the model"
    return text + "\n\(change), or raise the budget. Nothing was trained."
  }
}

extension OverLimit {
  var message: String {
    let limits = "the file allows \(shortest(limit)) s"
    guard let unfinished else {
      return "error: \(work) took \(fixed(seconds, 1)) s, \(limits)"
    }
    return
      "error: \(unfinished) was stopped after \(fixed(seconds, 1)) s of \(work): it would have taken "
      + "longer than the \(shortest(limit)) s that the file allows. What was scored before is saved; evaluate "
      + "fewer windows (a larger stride), or raise 'limit \(work)'."
  }
}

extension Interval {
  /// `314,000 (290,000 to 330,000)`.
  var text: String {
    func number(_ value: Double) -> String { grouped(Int(value.rounded())) }
    return "\(number(expected)) (\(number(low)) to \(number(high)))"
  }
}

extension TrainingLength {
  /// The limits of a file, replaced by those of the command line. One limit there drops the other; `limit
  /// training` stays.
  init(of train: TrainSettings, steps: Int?, seconds: Double?, file: String) throws {
    if let steps, steps < 1 { throw Failure.usage("--steps takes a number from 1, found \(steps)") }
    if let seconds, !(seconds > 0) {
      throw Failure.usage("--max-seconds takes a positive number, found \(seconds)")
    }
    let isReplaced = steps != nil || seconds != nil
    self.init(
      steps: isReplaced ? steps : train.stopSteps,
      seconds: isReplaced ? seconds : train.stopSeconds,
      limit: train.limitSeconds)
    if self == TrainingLength(steps: nil, seconds: nil) {
      throw Failure.usage(
        "\(file) does not say when training stops; give --steps or --max-seconds")
    }
  }

  /// The steps that will be done, where no clock can end training before.
  var certainSteps: Int? { seconds == nil && limit == nil ? steps : nil }
}
