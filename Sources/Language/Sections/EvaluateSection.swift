// SPDX-License-Identifier: Apache-2.0
// The `evaluate` and `expect` sections: what is scored, and what the author expects.

import IR

extension SectionTable {
  static let evaluate = SectionTable(
    section: .evaluate, kinds: [], meaning: "Named scores of the validation text.",
    entries: [
      SectionEntry(
        "NAME",
        [
          .name("name"), .word("window"), .number("window", .whole(atLeast: 1)),
          .optional([.word("stride"), .number("stride", .whole(atLeast: 1))]),
          .optional([.word("batch"), .number("batch", .whole(atLeast: 1)), .word("rows")]),
          .optional([.word("on"), .word("float")]),
        ],
        "Windows of that many tokens; with a stride they overlap and each scores its last tokens.",
        repeats: true, read: readEvaluation,
        prints: { $0.evaluate.map { "\($0.name) window \($0.window)\($0.options)" } },
        live: { model in
          model.settings.evaluate.map { entry in
            let stride = entry.stride.map { ", stride \($0)" } ?? ""
            let weights = entry.onFloat ? ", on float" : ""
            return Feature(
              .evaluate, "evaluate \(entry.name)", "window \(entry.window)\(stride)\(weights)",
              model.paths())
          }
        }),
      SectionEntry(
        "limit",
        [.word("limit"), .word("evaluation"), .number("seconds", .positive), .word("s")],
        "Seconds that all evaluations and test-time training may take together: what would take longer is stopped, "
          + "and the run fails with what was scored before.",
        read: { $1.settings.evaluationLimit = $0.number("seconds") },
        prints: { [$0.evaluationLimit.map { "limit evaluation \(shortest($0)) s" }] },
        live: { _ in [] }),
    ],
    read: { $0.read(into: &$1) },
    header: { $0.evaluate.isEmpty && $0.evaluationLimit == nil ? nil : "evaluate" })

  static let expect = SectionTable(
    section: .expect, kinds: [], meaning: "What the author expects; compiling fails otherwise.",
    entries: [
      SectionEntry(
        "parameters", [.word("parameters"), .number("count", .whole(atLeast: 0))],
        "The number of trained numbers.",
        read: { match, reader in
          reader.settings.expect.parameters = match.whole("count")
          reader.places["parameters"] = match.location(of: "count")
        },
        prints: { [$0.expect.parameters.map { "parameters \($0)" }] }, live: { _ in [] }),
      SectionEntry(
        "artifact",
        [
          .word("artifact"), .word("at"), .word("most"), .number("bytes", .whole(atLeast: 1)),
          .word("bytes"),
        ], "The largest artifact, checked when it is packed.",
        read: { $1.settings.expect.artifactAtMost = $0.whole("bytes") },
        prints: { [$0.expect.artifactAtMost.map { "artifact at most \($0) bytes" }] },
        live: { _ in [] }),
    ],
    read: { $0.read(into: &$1) }, header: { _ in "expect" })
}

@Sendable private func readEvaluation(_ match: EntryMatch, _ reader: inout SectionReader) {
  guard let name = match.word("name"), let window = match.whole("window") else { return }
  let place = "evaluate \(name)"
  if let first = reader.places[place] {
    reader.report(
      .duplicateEntry, "two evaluations are named '\(name)'", at: match.location,
      notes: [.init("the first one is here", at: first)])
  }
  reader.places[place] = match.location
  var evaluation = Evaluation(name: name, window: window)
  evaluation.stride = match.whole("stride")
  evaluation.batch = match.whole("batch")
  evaluation.onFloat = match.has("float")
  if let stride = evaluation.stride, stride > window {
    reader.report(
      .misaligned, "a stride of \(stride) leaves out tokens between windows of \(window)",
      at: match.location(of: "stride"))
  }
  reader.settings.evaluate.append(evaluation)
}

extension Evaluation {
  fileprivate var options: String {
    (stride.map { " stride \($0)" } ?? "") + (batch.map { " batch \($0) rows" } ?? "")
      + (onFloat ? " on float" : "")
  }
}
