// SPDX-License-Identifier: Apache-2.0
// The record of which targets were scored, asked before a target is scored or learnt from.

import IR

/// A rule of legal scoring was broken: never a user's mistake once the protocol is score_first.
public struct LegalityError: Error, CustomStringConvertible {
  public let description: String
}

/// Which targets were scored. Each may be scored once, and trained on only afterwards.
package struct ScoreLedger {
  private var scored: [Bool]
  private var count = 0

  package init(targets: Int) { scored = [Bool](repeating: false, count: targets) }

  /// Notes that targets are scored now. Throws if one was before.
  package mutating func mark(_ range: Range<Int>) throws {
    for target in range {
      if scored[target], Safeguard.scoreOnce.isOn {
        throw LegalityError(description: "target \(target) would be scored twice")
      }
      if !scored[target] { count += 1 }
      scored[target] = true
    }
  }

  /// Inputs start ..< end and their targets: tokens that were all targets before, but for the first.
  package func requireScored(_ range: Range<Int>) throws {
    guard Safeguard.scoreBeforeUpdate.isOn else { return }
    if let target = range.first(where: { !scored[$0] }) {
      throw LegalityError(
        description: "an update would read target \(target) before it was scored")
    }
  }

  /// Something is left to be scored: an update after that would learn for nobody.
  package func requireRest() throws {
    if count == scored.count, Safeguard.lastChunk.isOn {
      throw LegalityError(description: "an update would follow the last score")
    }
  }

  /// Everything was scored.
  package func checkComplete() throws {
    if count != scored.count, Safeguard.coverage.isOn {
      throw LegalityError(description: "\(scored.count - count) targets were never scored")
    }
  }
}
