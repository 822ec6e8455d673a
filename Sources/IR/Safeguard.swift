// SPDX-License-Identifier: Apache-2.0
// The checks that a certificate of legality rests on, by the names that it gives them.

/// A pass or check without which a claim of the certificate would be an assumption.
///
/// All of them are always on. Only tests of this package can switch one off, for the calls inside of
/// `withValue`, to show that what it guards against then happens and that the certificate says so.
public enum Safeguard: String, Hashable, Sendable, CaseIterable {
  /// The pass that composes the read rules of a forward function.
  case causality = "pass prove-causality"
  /// The rule that forward returns what a softmax made.
  case distribution = "type dist"

  @TaskLocal package static var disabled: Set<Safeguard> = []

  public var isOn: Bool { !Safeguard.disabled.contains(self) }
}
