// SPDX-License-Identifier: Apache-2.0
// Which data a run may read, and how many bytes its artifact may have: checks that end the run.

import Formats
import IR

extension DataFolder {
  /// No validation document is a training document. Throws a `LegalityError` otherwise.
  public func requireDisjoint() throws {
    guard Safeguard.disjoint.isOn else { return }
    let shared = try verifyDisjoint()
    if shared > 0 {
      let documents = shared == 1 ? "document" : "documents"
      throw LegalityError(
        description:
          "\(shared) validation \(documents) also in the training data; prepare the data "
          + "again from distinct documents")
    }
  }

  /// Shards, tokenizer and documents are those that the folder's manifest names.
  public func requireEvidence() throws {
    if Safeguard.bytes.isOn { _ = try evidence() }
  }
}

/// The artifact does not fit; `largest` names the groups that cost most.
public struct OverBudget: Error, Sendable {
  public let bytes: Int
  public let code: Int
  public let budget: Int
  public let largest: [(group: String, bytes: Int)]

  /// What is wrong with the size of an artifact of `bytes` bytes; nil if it fits its budget.
  package static func exceeding(
    _ quantize: QuantizeSettings?, bytes: Int, groups: [StoredGroup]
  ) -> OverBudget? {
    guard let budget = quantize?.budget, let code = quantize?.codeBytes, bytes + code > budget,
      Safeguard.budget.isOn
    else { return nil }
    let sizes = groups.map { (group: $0.name, bytes: $0.frame.count) }
    return OverBudget(
      bytes: bytes, code: code, budget: budget,
      largest: Array(sizes.sorted { $0.bytes > $1.bytes }.prefix(5)))
  }
}
