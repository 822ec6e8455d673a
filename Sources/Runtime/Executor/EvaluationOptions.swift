// SPDX-License-Identifier: Apache-2.0
// Windows and strides that the command line chooses in place of a file's.

import Formats
import IR

/// What `graphc eval` may change of the evaluations that an artifact declares.
public struct EvaluationOptions: Sendable, Equatable {
  /// For every evaluation.
  public var window: Int?
  /// For evaluations that overlap; where there is none, one is added.
  public var stride: Int?

  public init(window: Int? = nil, stride: Int? = nil) {
    (self.window, self.stride) = (window, stride)
  }

  /// Whether everything stays as the file declares it.
  public var isEmpty: Bool { window == nil && stride == nil }

  /// The declared evaluations with these windows and strides. Only those on quantised weights can
  /// be scored on an artifact; where there is none, one is added if a window is known.
  public func applied(to declared: [Evaluation]) throws(FormatError) -> [Evaluation] {
    for (name, value) in [("--window", window), ("--stride", stride)] {
      if let value, value < 1 {
        throw FormatError(.usage, "\(name) takes a number from 1, found \(value)")
      }
    }
    var result = declared
    for index in result.indices {
      if let window { result[index].window = window }
      if let stride, result[index].stride != nil { result[index].stride = stride }
    }
    if let stride, !result.contains(where: { $0.stride != nil && !$0.onFloat }) {
      guard let size = window ?? result.first?.window else {
        throw FormatError(.usage, "the artifact declares no evaluation; give --window too")
      }
      var sliding = Evaluation(name: Self.unused("sliding", result), window: size)
      sliding.stride = stride
      result.append(sliding)
    } else if let window, result.allSatisfy(\.onFloat) {
      result.append(Evaluation(name: Self.unused("quantized", result), window: window))
    }
    for entry in result {
      guard let stride = entry.stride, stride > entry.window else { continue }
      throw FormatError(
        .usage,
        "a stride of \(stride) with windows of \(entry.window) would leave tokens out; choose a "
          + "stride of at most \(entry.window)")
    }
    return result
  }

  private static func unused(_ name: String, _ entries: [Evaluation]) -> String {
    var name = name
    while entries.contains(where: { $0.name == name }) { name += "_quantized" }
    return name
  }
}
