// SPDX-License-Identifier: Apache-2.0
// Which windows score which targets of a stream, and which chunk a window belongs to.

/// One window over a stream of inputs 0 ..< targets; input i predicts target i (token i + 1).
public struct Window: Hashable, Sendable {
  /// First input it reads.
  public var start: Int
  /// First target it scores.
  public var firstScored: Int
  /// Behind the last target it scores.
  public var end: Int
}

/// Windows of `length` inputs every `stride`, each target scored once.
///
/// Starts are 0, S, 2S, … while start + (T - S) < targets; a window scores its last S targets, the
/// first one all. With S = T the windows do not overlap and the last one may be short.
public func slidingWindows(targets: Int, length: Int, stride: Int) -> [Window] {
  var windows: [Window] = []
  var start = 0
  while start == 0 ? targets > 0 : start + length - stride < targets {
    windows.append(
      Window(
        start: start, firstScored: start == 0 ? 0 : start + length - stride,
        end: min(start + length, targets)))
    start += stride
  }
  return windows
}

/// Windows that do not overlap, without the tail that does not fill one (the baseline's evaluation).
public func plainWindows(targets: Int, length: Int) -> [Window] {
  (0..<(targets / length)).map {
    Window(start: $0 * length, firstScored: $0 * length, end: ($0 + 1) * length)
  }
}

/// The windows of an evaluation: overlapping ones if it has a stride.
public func evaluationWindows(targets: Int, length: Int, stride: Int?) -> [Window] {
  stride.map { slidingWindows(targets: targets, length: length, stride: $0) }
    ?? plainWindows(targets: targets, length: length)
}

/// Groups windows by the chunk of their first scored target.
public func chunked(_ windows: [Window], targets: Int, chunk: Int) -> [[Window]] {
  let count = (targets + chunk - 1) / chunk
  var chunks = [[Window]](repeating: [], count: count)
  for window in windows { chunks[window.firstScored / chunk].append(window) }
  return chunks
}
