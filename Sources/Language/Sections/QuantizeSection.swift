// SPDX-License-Identifier: Apache-2.0
// The `quantize` section: how params are stored.

import IR

extension SectionTable {
  static let quantize = SectionTable(
    section: .quantize, kinds: [], meaning: "How params are stored; the last matching rule wins.",
    entries: [
      SectionEntry(
        \.quantize, "TARGET",
        [
          .target("target"),
          .rule(
            "precision",
            ["f32", "f16", "fp8", "int2", "int3", "int4", "int5", "int6", "int7", "int8"].map {
              RuleSignature($0)
            } + [ternary]),
          .optional([.word("to"), .choice("most", integers)]), .optional([.word("per_row")]),
          .optional([one("groups", "columns", .whole(atLeast: 1))]),
        ] + clips.map { .optional([$0]) } + [
          .optional([one("floor", "step", .nonnegative)]),
          .optional([one("half_floor", "step", .nonnegative)]),
          .optional([.word("asymmetric")]),
          .optional([.word("unrounded")]), .optional([.word("gptq")]),
          .optional([.word("shrink_fix")]), .optional([one("prune", "share", .share)]),
          .optional([one("sensitive", "lambda", .positive)]),
          .optional([counts("fine", ["start", "count", "bits"])]),
          .optional([counts("lqer", ["rank", "a_bits", "b_bits", "group"])]),
        ],
        shown:
          "TARGET (f32 | f16 | fp8 | (int2 | …) to (int2 | …) | ternary(COLUMNS) [gptq] [shrink_fix] | "
          + "(int2 | int3 | int4 | int5 | int6 | int7 | int8) (per_row | groups(COLUMNS)) "
          + "(\(clips.map(\.text).joined(separator: " | "))) [floor(STEP)] [half_floor(STEP)] "
          + "[asymmetric] [unrounded] [gptq] [prune(SHARE)] [sensitive(LAMBDA)] "
          + "[fine(START, COUNT, BITS)] [lqer(RANK, A_BITS, B_BITS, GROUP)])",
        "The precision. For integers, which only matrices have: what shares a scale (a row, or each so many "
          + "columns of it), what the largest code stands for (the maximum or mean of |w|, a quantile of it, k "
          + "standard deviations, or the one of 2 to 8 quantiles that leaves the least squared error) and the "
          + "smallest step. ternary is int2 of groups by their mean; shrink_fix divides its scale by the "
          + "mean of |code|, for weights that were not trained with the rounding. fp8 is E4M3 without a scale. "
          + "int5 to int8 bounds what `precision auto` chooses. "
          + "prune zeroes that share of the weights, the smallest, first; sensitive widens the sdclip of rows that "
          + "act on larger inputs; fine and lqer are what `protect` and `correct` add to an artifact's rules.",
        repeats: true,
        read: { match, quantize, reader in
          guard let target = match.target("target") else { return }
          if match.has("to") {
            guard let bounds = reader.bounds(match) else { return }
            let most = Quantizer(bits: bounds.upperBound, clip: .max)
            return quantize.rules.append(
              PrecisionRule(
                target: target, precision: .int(most), bounds: bounds, location: match.location))
          }
          guard let precision = reader.precision(match) else { return }
          quantize.rules.append(
            PrecisionRule(target: target, precision: precision, location: match.location))
        },
        prints: { $0.rules.map { "\($0.target.text) \($0.formText)" } },
        live: { quantize, model in
          let owners = quantize.rules.winners(model.graph.parameters)
          return quantize.rules.enumerated().map { index, rule in
            Feature(
              .quantize, "quantize \(rule.target.text)", rule.formText,
              model.paths { owners[$0] == index })
          }
        }),
      SectionEntry(
        \.quantize, "budget",
        [
          .word("budget"), .number("bytes", .whole(atLeast: 1)), .word("bytes"),
          .optional([.word("code"), .number("code", .whole(atLeast: 0)), .word("bytes")]),
        ], "The largest size of the artifact and the code.",
        read: { match, quantize, _ in
          quantize.budget = match.whole("bytes")
          quantize.codeBytes = match.whole("code") ?? 0
        },
        prints: { settings in
          [settings.budget.map { "budget \($0) bytes code \(settings.codeBytes) bytes" }]
        },
        live: { quantize, model in
          [
            quantize.budget.map {
              Feature(.quantize, "budget", "\(grouped($0)) bytes", model.paths())
            }
          ]
        }),
      SectionEntry(
        \.quantize, "calibrate",
        [.word("calibrate"), .number("tokens", .whole(atLeast: 1)), .word("tokens")],
        default: "32_768 tokens",
        "How much training text gives the second moments that gptq needs.",
        read: { match, quantize, _ in quantize.calibration = match.whole("tokens") },
        prints: { [$0.calibration.map { "calibrate \($0) tokens" }] },
        live: { quantize, model in
          [
            quantize.calibration.map { tokens in
              Feature(
                .quantize, "calibrate", "\(grouped(tokens)) tokens of training text",
                model.paths { model.precisionTable[$0]?.isSolved ?? false })
            }
          ]
        }),
      SectionEntry(
        \.quantize, "precision", [.word("precision"), .word("auto")],
        "Matrices that no rule stores get the forms of least damage that the budget has room for, chosen when "
          + "the weights are packed. Beside qat they are chosen at its first step, from the weights as they are "
          + "then, and only clips are chosen again when the weights are packed.",
        read: { _, quantize, _ in quantize.isAutomatic = true },
        prints: { [$0.isAutomatic ? "precision auto" : nil] },
        live: { quantize, model in
          [
            quantize.isAutomatic
              ? Feature(
                .quantize, "precision auto", "within the budget", model.freeParameters.map(\.path))
              : nil
          ]
        }),
      SectionEntry(
        \.quantize, "correct",
        [
          .word("correct"),
          .rule(
            "form",
            [
              RuleSignature(
                "lqer",
                [
                  RuleParameter("worst", .number(.whole(atLeast: 1))),
                  RuleParameter("rank", .number(.whole(atLeast: 1)), default: "4"),
                  RuleParameter("a", .word(integers), default: "int2"),
                  RuleParameter("b", .word(integers), default: "int4"),
                  RuleParameter("group", .number(.whole(atLeast: 0)), default: "64"),
                ])
            ]),
        ],
        "The matrices whose codes leave the largest errors, so many of them, get factors A and B of that rank, "
          + "whose product is added: a scale for each `group` numbers of B and one for A; 0: one a row of both.",
        read: { match, quantize, _ in
          let values = match.rule("form")?.arguments ?? [:]
          func whole(_ name: String) -> Int { Int(values[name]?.number ?? 0) }
          func bits(_ name: String) -> Int { Int(values[name]?.name?.dropFirst(3) ?? "") ?? 8 }
          quantize.correction = .init(
            worst: whole("worst"),
            form: .init(
              rank: whole("rank"), aBits: bits("a"), bBits: bits("b"), group: whole("group")))
        },
        prints: { [$0.correction.map { "correct \($0.text)" }] },
        live: { quantize, model in
          [quantize.correction.map { Feature(.quantize, "correct", $0.text, model.codedPaths) }]
        }),
      SectionEntry(
        \.quantize, "protect",
        [
          .word("protect"), .number("columns", .whole(atLeast: 1)), .word("columns"),
          .choice("bits", integers),
        ],
        "Of all groups of so many columns, in matrices that have fewer bits and more than 65,536 numbers, the one "
          + "with the largest inputs and weights gets these bits and scales of its own (AWQ-lite).",
        read: { match, quantize, _ in
          quantize.protection = .init(
            columns: match.whole("columns") ?? 64,
            bits: Int(match.word("bits")?.dropFirst(3) ?? "") ?? 8)
        },
        prints: { [$0.protection.map { "protect \($0.columns) columns int\($0.bits)" }] },
        live: { quantize, model in
          [
            quantize.protection.map {
              Feature(
                .quantize, "protect", "\($0.columns) columns in int\($0.bits)", model.codedPaths)
            }
          ]
        }),
    ],
    read: { given, reader in
      reader.settings.quantize = QuantizeSettings()
      given.read(into: &reader)
      let quantize = reader.settings.quantize!
      reader.reportOverruled(quantize.rules)
      if !quantize.isAutomatic, let rule = quantize.rules.first(where: { $0.bounds != nil }) {
        reader.report(
          .missingEntry, "'\(rule.formText)' bounds what is chosen, and nothing is",
          at: rule.location ?? given.place, suggestion: "write: precision auto")
      }
      if quantize.isAutomatic, quantize.budget == nil {
        reader.report(
          .missingEntry, "'precision auto' needs a budget to choose within",
          at: given["precision"]?.location ?? given.place,
          suggestion: "write: budget 16_000_000 bytes")
      }
      let needsMoments =
        quantize.isAutomatic || quantize.protection != nil
        || quantize.rules.contains { $0.precision.needsMoments }
      if needsMoments {
        reader.settings.quantize?.calibration =
          quantize.calibration ?? QuantizeSettings.usualCalibration
      } else if quantize.calibration != nil {
        reader.report(
          .emptyWindow, "nothing is calibrated: no rule says gptq",
          at: given["calibrate"]?.location ?? given.place,
          suggestion: "such as: default int6 per_row sdclip(12.85) gptq")
      }
    },
    header: { $0.quantize.map { _ in "quantize" } })
}

private let scalingWords =
  ["per_row", "groups"] + Quantizer.Clip.Kind.allCases.map(\.rawValue)
  + ["floor", "half_floor", "asymmetric", "unrounded"]
private let packingWords = ["prune", "sensitive", "fine", "lqer"]

private let integers = Quantizer.allBits.map { "int\($0)" }

/// A rule of whole numbers without labels.
private func counts(_ name: String, _ parameters: [String]) -> EntryElement {
  .rule(
    name,
    [
      RuleSignature(
        name,
        parameters.map { RuleParameter($0, .number(.whole(atLeast: 0)), positional: true) })
    ])
}

extension QuantizeSettings.Correction {
  /// As the entry has it.
  fileprivate var text: String {
    "lqer(worst: \(worst), rank: \(form.rank), a: int\(form.aBits), b: int\(form.bBits), "
      + "group: \(form.group))"
  }
}

extension Model {
  /// Params in codes.
  fileprivate var codedPaths: [String] {
    let table = precisionTable
    return paths { if case .int? = table[$0] { true } else { false } }
  }
}

private let ternary = RuleSignature(
  "ternary", [RuleParameter("columns", .number(.whole(atLeast: 1)), positional: true)])

/// How each clip is written.
private let clips: [EntryElement] = Quantizer.Clip.Kind.allCases.map { kind in
  guard let argument = kind.argument else { return .word(kind.rawValue) }
  if argument.count == 1...1 { return one(kind.rawValue, argument.name, argument.range) }
  let numbers = RuleParameter.Kind.numbers(argument.range, count: argument.count)
  return .rule(
    kind.rawValue,
    [RuleSignature(kind.rawValue, [RuleParameter(argument.name, numbers, positional: true)])])
}

extension PrecisionRule {
  /// The form, or the bounds of what is chosen.
  fileprivate var formText: String {
    bounds.map { "int\($0.lowerBound) to int\($0.upperBound)" } ?? "\(precision)"
  }
}

extension SectionReader {
  /// The bits of a rule such as `int5 to int8`; nil with an error if it says more, or they are none.
  fileprivate mutating func bounds(_ match: EntryMatch) -> ClosedRange<Int>? {
    let names = [match.rule("precision")?.name, match.word("most")]
    let bits = names.compactMap { $0.flatMap { Int($0.dropFirst(3)) } }
    let words = scalingWords + ["gptq", "shrink_fix"] + packingWords
    if let word = words.first(where: { match.has($0) }) {
      report(
        .malformedEntry, "'\(word)' has no meaning for bounds", at: match.location(of: word))
      return nil
    }
    guard bits.count == 2, bits[0] <= bits[1] else {
      report(
        .malformedEntry, "bounds go from fewer bits to more", at: match.location(of: "precision"),
        suggestion: "such as: int5 to int8")
      return nil
    }
    return bits[0]...bits[1]
  }

  /// The precision of a matched rule; nil with an error if its words do not fit each other.
  fileprivate mutating func precision(_ match: EntryMatch) -> Precision? {
    guard let name = match.rule("precision")?.name else { return nil }
    let (scaling, more) = (scalingWords, packingWords)
    func refused(_ words: [String]) -> Bool {
      guard let word = words.first(where: { match.has($0) }) else { return false }
      report(.malformedEntry, "'\(word)' has no meaning for \(name)", at: match.location(of: word))
      return true
    }
    if let float = ["f32": Precision.f32, "f16": .f16, "fp8": .fp8][name] {
      return refused(scaling + more + ["gptq", "shrink_fix"]) ? nil : float
    }
    func argument(_ rule: String) -> Double? {
      match.rule(rule)?.arguments.values.compactMap(\.number).first
    }
    if name == "ternary" {
      guard !refused(scaling + more) else { return nil }
      var quantizer = Quantizer.ternary(group: Int(argument("precision") ?? 1))
      (quantizer.isSolved, quantizer.keepsMean) = (match.has("gptq"), match.has("shrink_fix"))
      return .int(quantizer)
    }
    guard !refused(["shrink_fix"]) else { return nil }
    let kinds = Quantizer.Clip.Kind.allCases.filter { match.has($0.rawValue) }
    guard match.has("per_row") != match.has("groups"), kinds.count == 1 else {
      report(
        .malformedEntry,
        kinds.count > 1
          ? "'\(kinds[0])' and '\(kinds[1])' both say what the largest code stands for"
          : "an integer precision needs 'per_row' or 'groups(n)', and one of max, mean, quantile(q), "
            + "sdclip(k), search(q, …)",
        at: match.location(of: "precision"), suggestion: "such as: \(name) per_row sdclip(12.85)")
      return nil
    }
    let numbers: [Double] =
      switch match.rule(kinds[0].rawValue)?.arguments.values.first {
      case .number(let number): [number]
      case .numbers(let numbers): numbers
      default: []
      }
    let clip = Quantizer.Clip(kinds[0], numbers)
    var quantizer = Quantizer(bits: Int(name.dropFirst(3)) ?? 8, clip: clip)
    quantizer.group = argument("groups").map { Int($0) } ?? 0
    quantizer.floor = argument("floor") ?? quantizer.floor
    quantizer.halfFloor = argument("half_floor") ?? quantizer.halfFloor
    quantizer.isAsymmetric = match.has("asymmetric")
    quantizer.codesFromUnrounded = match.has("unrounded")
    quantizer.isSolved = match.has("gptq")
    quantizer.pruned = argument("prune") ?? 0
    quantizer.sensitivity = argument("sensitive") ?? 0
    if quantizer.sensitivity > 0, clip.kind != .sdclip || quantizer.group > 0 {
      report(
        .malformedEntry, "'sensitive' widens sdclip(k) per_row alone",
        at: match.location(of: "sensitive"),
        suggestion: "such as: \(name) per_row sdclip(12.85) sensitive(0.175)")
    }
    func counts(_ rule: String, _ names: [String]) -> [Int]? {
      match.rule(rule).map { rule in names.map { Int(rule.arguments[$0]?.number ?? 0) } }
    }
    if let n = counts("fine", ["start", "count", "bits"]) {
      quantizer.fine = .init(start: n[0], count: n[1], bits: n[2])
    }
    if let n = counts("lqer", ["rank", "a_bits", "b_bits", "group"]) {
      quantizer.correction = .init(rank: n[0], aBits: n[1], bBits: n[2], group: n[3])
    }
    return .int(quantizer)
  }
}
