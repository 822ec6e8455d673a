// SPDX-License-Identifier: Apache-2.0
// The documents of what a run measured.

import Formats
import IR

extension RunResult {
  /// The document of `graphc run --json`.
  public var json: JSONValue {
    let measured: [String: JSONValue] = [
      "schema": "graphc-run/1", "precision": .string(precision.rawValue),
      "train": [
        "steps": .int(steps), "tokens_per_second": .double(tokensPerSecond), "loss": .double(loss),
        "seconds": .double(trainSeconds),
      ],
      "artifact": [
        "bytes": .int(artifactBytes), "code_bytes": .int(codeBytes), "path": .string(artifactPath),
      ],
      "eval": scores.json,
      "live": .array(live.map(\.json)), "warnings": .array(warnings.map(JSONValue.string)),
    ]
    return .object(measured.merging(manifest) { measured, _ in measured })
  }
}
