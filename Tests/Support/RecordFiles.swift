// SPDX-License-Identifier: Apache-2.0
// The files of the leaderboard's history.

/// Paths of the records, and of the models that are no legal entry.
package enum RecordFiles {
  package static let records = Repository.files(in: "graphs/records")
  package static let seeds = Repository.files(in: "graphs/seeds")
  package static let all = records + seeds

  /// Two rows of thirteen tokens below 23, with documents that begin anywhere; two of them are empty.
  package static let documents: [Int32] = [
    7, 3, 1, 9, 14, 3, 3, 20, 11, 5, 1, 1, 8,  //
    1, 1, 2, 17, 22, 4, 6, 9, 0, 13, 2, 19, 1,
  ]

  /// Pieces that end inside rows as short as these, under the name that a file has for them.
  package static func pieces(_ path: String) throws -> [String: String] {
    let names = try Repository.model(path, preset: "small").constants.map(\.name)
    return ["piece": "5", "pieces": "[3, 5, 7]"].filter { names.contains($0.key) }
  }
}
