// SPDX-License-Identifier: Apache-2.0
// What can be known about scores before anything is trained: whether there is a target to score.

import Formats
import IR

extension Settings {
  /// Throws when the validation data of a folder is too short, or too empty, for an evaluation that the
  /// settings declare, or for test-time training. A run calls it before it trains.
  ///
  /// `limit` is the number of targets that will be scored; nil: all.
  public func checkScorable(
    _ data: DataFolder, limit: Int? = nil, adapts: Bool
  ) throws(FormatError) {
    let stream = try data.validation()
    let available = max(stream.count - 1, 0)
    let targets = min(available, limit ?? .max)
    // Fewer targets than were asked for are the fault of the data, else of the limit.
    let isLimited = targets < available
    func error(_ message: String) -> FormatError {
      isLimited
        ? FormatError(.usage, message + "; score more tokens than --validation-tokens \(targets)")
        : FormatError(
          .corrupt, file: data.path,
          message + "; hold out more text (data prepare --validation) or lower the window")
    }
    guard targets > 0 else {
      throw error("the validation data has \(stream.count) tokens, so none to predict")
    }
    for entry in evaluate where entry.stride == nil && targets < entry.window {
      throw error(
        "evaluation '\(entry.name)': a window of \(entry.window) takes as many validation "
          + "tokens and one more; there are \(targets + 1)")
    }
    guard adapts || !evaluate.isEmpty else { return }
    // Plain windows leave the tail out.
    let ends = evaluate.map { $0.stride == nil ? targets / $0.window * $0.window : targets }
    guard try data.holdsBytes(targets: ends.min() ?? targets, of: stream) else {
      throw error(
        "the validation data has no byte to score: its tokens are all without text, such as the "
          + "begin-of-document token")
    }
  }
}

extension DataFolder {
  /// Whether one of the first targets of the validation tokens stands for a byte.
  fileprivate func holdsBytes(
    targets: Int, of stream: TokenStream
  ) throws(FormatError) -> Bool {
    let size = 1 << 16
    for start in stride(from: 0, to: targets, by: size) {
      let tokens = try stream.read(start..<min(start + size, targets) + 1)
      if try bytes(ofValidation: tokens, at: start).dropFirst().contains(where: { $0 > 0 }) {
        return true
      }
    }
    return false
  }
}
