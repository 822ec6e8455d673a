// SPDX-License-Identifier: Apache-2.0
// The files of the leaderboard's history.

/// Paths of the records, and of the models that are no legal entry.
package enum RecordFiles {
  package static let records = Repository.files(in: "graphs/records")
  package static let seeds = Repository.files(in: "graphs/seeds")
  package static let all = records + seeds
}
