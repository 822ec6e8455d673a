// SPDX-License-Identifier: Apache-2.0
// Stable codes of diagnostics, each with its rule. Here stand those of graphs; those of the surface
// language are in Language.

/// A stable code of a diagnostic, `E0204`, with the rule behind it.
public struct DiagnosticCode: Hashable, Sendable {
  public let rawValue: String
  /// The rule that was broken, in one or two sentences.
  public let explanation: String

  public init(_ rawValue: String, _ explanation: String) {
    (self.rawValue, self.explanation) = (rawValue, explanation)
  }

  public static let wrongKind = DiagnosticCode(
    "E0211", "A value of another kind is needed here.")
  public static let badForward = DiagnosticCode(
    "E0305", "A model has one forward, which takes tokens and returns a dist.")
  public static let openSize = DiagnosticCode(
    "E0306", "Open sizes are bound by an annotated input and equal only themselves.")
  public static let badCore = DiagnosticCode(
    "E0601", "Core text has one op per line, as --dump-ir prints it.")
}
