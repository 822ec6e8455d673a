// SPDX-License-Identifier: Apache-2.0
// The `qat` section: training with rounded weights, and when such things begin.

import IR

extension SectionTable {
  static let qat = SectionTable(
    section: .qat, kinds: [], meaning: "Training with the weights rounded as `quantize` will.",
    entries: [
      SectionEntry(
        "off", [.word("off")], "No rounding in training.", read: { $1.settings.qat = .off },
        prints: { [$0.qat == .off ? "off" : nil] }, live: { _ in [] }),
      SectionEntry(
        "straight_through", [.word("straight_through"), .word("from"), scheduleStartForm],
        "Rounded weights forward, unchanged gradients backward.",
        read: { $1.settings.qat = .on(.straightThrough, from: SectionReader.scheduleStart($0)) },
        prints: { settings in
          guard case .on(.straightThrough, let start) = settings.qat else { return [] }
          return ["straight_through from \(start.text)"]
        },
        live: { model in
          guard case .on(.straightThrough, let start) = model.settings.qat else { return [] }
          return [model.qatFeature(start)]
        }),
      SectionEntry(
        "soft_round",
        [
          .word("soft_round"), .optional([.word("form"), .choice("form", ["a", "b"])]),
          .optional([
            .word("alpha"), .number("from", .positive), .word("to"), .number("to", .positive),
          ]),
          .word("from"), scheduleStartForm,
        ], default: "form a alpha 1 to 16",
        "A smooth staircase (a: tanh, b: sigmoid) that grows steeper.",
        read: { match, reader in
          let form = match.word("form").flatMap(QATSettings.Form.init(rawValue:)) ?? .a
          reader.settings.qat = .on(
            .softRound(form: form, from: match.number("from") ?? 1, to: match.number("to") ?? 16),
            from: SectionReader.scheduleStart(match))
        },
        prints: { settings in
          guard case .on(.softRound(let form, let from, let to), let start) = settings.qat else {
            return []
          }
          return [
            "soft_round form \(form.rawValue) alpha \(shortest(from)) to \(shortest(to)) "
              + "from \(start.text)"
          ]
        },
        live: { model in
          guard case .on(.softRound, let start) = model.settings.qat else { return [] }
          return [model.qatFeature(start)]
        }),
    ],
    read: { given, reader in
      guard given.matches.count == 1 else {
        reader.report(
          given.matches.isEmpty ? .missingEntry : .duplicateEntry,
          "'qat' has one entry, found \(given.matches.count)",
          at: given.matches.dropFirst().first?.location ?? given.place,
          suggestion: "write off, straight_through or soft_round")
        return
      }
      given.read(into: &reader)
      reader.places["qat"] = given.matches[0].location
    },
    header: { _ in "qat" })
}

extension Model {
  fileprivate func qatFeature(_ start: ScheduleStart) -> Feature {
    let precision = precisionTable
    let free = Set(freeParameters.map(\.path))
    let rounded = paths { free.contains($0) || precision[$0]?.isRounded ?? false }
    return Feature(.qat, "qat", "from \(start.text)", rounded)
  }
}

/// `start`, `step N`, `F of training`, `F of warmdown` or `lr_below(F)`: when something begins.
private let scheduleStartForm: EntryElement = .oneOf([
  [.word("start")],
  [.word("step"), .number("step", .whole(atLeast: 1))],
  [.number("fraction", .fraction), .word("of"), .choice("phase", ["training", "warmdown"])],
  [one("lr_below", "multiplier", .positive)],
])

extension SectionReader {
  /// The start of QAT or of a variant from a matched form.
  fileprivate static func scheduleStart(_ match: EntryMatch) -> ScheduleStart {
    if let multiplier = match.rule("lr_below")?.arguments["multiplier"]?.number {
      return .rateBelow(multiplier)
    }
    if let step = match.whole("step") { return .step(step) }
    guard let fraction = match.number("fraction") else { return .start }
    return match.word("phase") == "warmdown" ? .warmdown(fraction) : .training(fraction)
  }

  /// The start of a variant, from the words after `from`.
  static func start(
    _ variant: SyntaxVariant, evaluator: ConstantEvaluator
  ) throws(Diagnostic) -> ScheduleStart {
    var matcher = EntryMatcher(
      evaluator: evaluator, atoms: variant.start, end: variant.entries.open)
    let table = SectionTable.form("START", [scheduleStartForm], of: .train)
    return try matcher.entries(of: table).first.map(scheduleStart) ?? .start
  }
}
