// SPDX-License-Identifier: Apache-2.0
// The checks that a certificate of legality rests on, by the names that it gives them.

/// A pass or check without which a claim of the certificate would be an assumption.
///
/// All of them are always on. Only tests of this package can switch one off, for the calls inside of
/// `Safeguard.$disabled.withValue`, to show that what it guards against then happens, and that the
/// certificate says so.
public enum Safeguard: String, Hashable, Sendable, CaseIterable {
  /// Composes the read rules of a forward function.
  case causality = "pass prove-causality"
  /// Forward returns what a softmax made.
  case distribution = "check forward-problems"
  /// An update reads no target that was not scored before.
  case scoreBeforeUpdate = "check ScoreLedger.requireScored"
  /// A target is scored once.
  case scoreOnce = "check ScoreLedger.mark"
  /// Every target of a pass is scored.
  case coverage = "check ScoreLedger.checkComplete"
  /// No update follows the last score.
  case lastChunk = "check ScoreLedger.requireRest"
  /// Functions that see validation text before the artifact is sealed change no parameter.
  case readOnlyScorer = "check Scorer.init"
  /// Artifact and code fit the budget.
  case budget = "check OverBudget.exceeding"
  /// The bytes of a score are those of the documents.
  case bytes = "check DataFolder.requireEvidence"
  /// Training and validation share no document.
  case disjoint = "check DataFolder.requireDisjoint"

  @TaskLocal package static var disabled: Set<Safeguard> = []

  public var isOn: Bool { !Safeguard.disabled.contains(self) }
}
