// SPDX-License-Identifier: Apache-2.0
// A wrong and a right line for the codes that people meet most, as `graphc explain` shows them.

import IR

/// What a code is about, in two small texts: one that raises it and one that does not.
public struct DiagnosticExample: Sendable {
  /// Where the lines stand in a file.
  public enum Place: Sendable {
    /// A file of their own, after `model m`.
    case file
    /// At the top of a model, among its consts and params.
    case top
    /// In `forward`, with the value `x` [B, T, dim] and the const `dim = 4`.
    case forward
    /// In the `train` section, beside an optimizer and a stop.
    case train
  }

  public let place: Place
  public let wrong: String
  public let right: String

  /// A complete model around lines of an example.
  public func file(_ lines: String) -> String {
    let top = place == .top ? lines + "\n" : ""
    let body = place == .forward ? "  " + lines.indented + "\n" : ""
    let train = place == .train ? "  " + lines.indented + "\n" : ""
    if case .file = place { return "model m\n\(lines)\n" }
    return """
      model m
      const vocab = 8, dim = 4
      param table [vocab, dim]  group embedding
      \(top)forward(ids: tokens[B, T]) -> dist[B, T, vocab] {
        x = embed(table, ids)
      \(body)  return softmax(linear(x, table))
      }
      train {
        read 2 rows of 8
        stop at 100 steps
        optimizer embedding adam(lr: 0.01)
      \(train)}

      """
  }
}

extension String {
  fileprivate var indented: String { split(separator: "\n").joined(separator: "\n  ") }
}

extension DiagnosticCode {
  /// A wrong and a right text, for the codes that people meet most.
  public var example: DiagnosticExample? { DiagnosticCode.examples[rawValue] }

  private static func forward(_ wrong: String, _ right: String) -> DiagnosticExample {
    DiagnosticExample(place: .forward, wrong: wrong, right: right)
  }
  private static func top(_ wrong: String, _ right: String) -> DiagnosticExample {
    DiagnosticExample(place: .top, wrong: wrong, right: right)
  }
  private static func train(_ wrong: String, _ right: String) -> DiagnosticExample {
    DiagnosticExample(place: .train, wrong: wrong, right: right)
  }

  private static let examples: [String: DiagnosticExample] = [
    "E0102": forward("x = 2. * x", "x = 2.0 * x"),
    "E0104": forward("x = square(x", "x = square(x)"),
    "E0105": forward("x = x\n+ square(x)", "x = x +\nsquare(x)"),
    "E0106": forward("x = x |> square + x", "x = (x |> square) + x"),
    "E0107": forward(
      "for in in 0 ..< 2 { x = square(x) }", "for i in 0 ..< 2 { x = square(x) }"),
    "E0201": forward("x = x + y", "y = square(x)\nx = x + y"),
    "E0202": forward(
      "for dim in 0 ..< 2 { x = square(x) }", "for i in 0 ..< 2 { x = square(x) }"),
    "E0203": forward("table = x", "y = x"),
    "E0204": forward("x = x + table", "x = x + table[0]"),
    "E0205": forward(
      "x = split_heads(x, dim / 3) |> merge_heads", "x = split_heads(x, dim / 2) |> merge_heads"),
    "E0209": forward(
      "for i in 0 ..< 2 { y = square(x) }\nx = y",
      "y = x\nfor i in 0 ..< 2 { y = square(y) }\nx = y"),
    "E0210": forward("if x { x = square(x) }", "if dim > 2 { x = square(x) }"),
    "E0212": forward("x = relu(x)", "x = leaky_relu(x, 0)"),
    "E0213": forward("x = softcap(x, 30, 2)", "x = softcap(x, 30)"),
    "E0214": top("const unused = 3", "# a const that nobody reads is left out"),
    "E0301": top("param gain [dim]", "# such as: param gain [dim]  init ones  group scalar"),
    "E0305": DiagnosticExample(
      place: .file, wrong: "const vocab = 8",
      right: """
        const vocab = 8
        param table [vocab, 4]  group embedding
        forward(ids: tokens[B, T]) -> dist[B, T, vocab] {
          return softmax(linear(embed(table, ids), table))
        }
        """),
    "E0306": forward("x = x + x[:, 0 : 1]", "x = x + x[..., 0 : 1]"),
    "E0401": train("warmups 10 steps", "warmup 10 steps"),
    "E0402": train("warmup 10", "warmup 10 steps"),
    "E0403": train("warmdown 2 of training", "warmdown 0.2 of training"),
    "E0404": train("optimizer matrix sgd(lr: 0.1)", "clip 1"),
    "E0408": train("clip 1\nclip 2", "clip 1"),
  ]
}
