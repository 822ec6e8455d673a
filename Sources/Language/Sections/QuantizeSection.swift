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
          .optional([.word("per_row")]),
          .optional([one("groups", "columns", .whole(atLeast: 1))]),
        ] + clips.map { .optional([$0]) } + [
          .optional([one("floor", "step", .nonnegative)]),
          .optional([one("half_floor", "step", .nonnegative)]),
          .optional([.word("asymmetric")]),
          .optional([.word("unrounded")]), .optional([.word("gptq")]),
          .optional([.word("shrink_fix")]),
        ],
        shown: "TARGET (f32 | f16 | fp8 | ternary(COLUMNS) [gptq] [shrink_fix] | "
          + "(int2 | int3 | int4 | int5 | int6 | int7 | int8) (per_row | groups(COLUMNS)) "
          + "(\(clips.map(\.text).joined(separator: " | "))) [floor(STEP)] [half_floor(STEP)] "
          + "[asymmetric] [unrounded] [gptq])",
        "The precision. For integers, which only matrices have: what shares a scale (a row, or each so many "
          + "columns of it), what the largest code stands for (the maximum or mean of |w|, a quantile of it, k "
          + "standard deviations, or the one of 2 to 8 quantiles that leaves the least squared error) and the "
          + "smallest step. ternary is int2 of groups by their mean; shrink_fix divides its scale by the "
          + "mean of |code|, for weights that were not trained with the rounding. fp8 is E4M3 without a scale.",
        repeats: true,
        read: { match, quantize, reader in
          guard let target = match.target("target"), let precision = reader.precision(match) else {
            return
          }
          quantize.rules.append(
            PrecisionRule(target: target, precision: precision, location: match.location))
        },
        prints: { $0.rules.map { "\($0.target.text) \($0.precision)" } },
        live: { quantize, model in
          let owners = quantize.rules.winners(model.graph.parameters)
          return quantize.rules.enumerated().map { index, rule in
            Feature(
              .quantize, "quantize \(rule.target.text)", "\(rule.precision)",
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
          + "the weights are packed.",
        read: { _, quantize, _ in quantize.isAutomatic = true },
        prints: { [$0.isAutomatic ? "precision auto" : nil] },
        live: { quantize, model in
          [
            quantize.isAutomatic
              ? Feature(
                .quantize, "precision auto", "within the budget",
                model.graph.parameters.filter(quantize.isFree).map(\.path)) : nil
          ]
        }),
      .later(
        "correct", "Low-rank corrections of the worst matrices.", instead: "leave it out"),
    ],
    read: { given, reader in
      reader.settings.quantize = QuantizeSettings()
      given.read(into: &reader)
      let quantize = reader.settings.quantize!
      reader.reportOverruled(quantize.rules)
      if quantize.isAutomatic, quantize.budget == nil {
        reader.report(
          .missingEntry, "'precision auto' needs a budget to choose within",
          at: given["precision"]?.location ?? given.place,
          suggestion: "write: budget 16_000_000 bytes")
      }
      let needsMoments =
        quantize.isAutomatic || quantize.rules.contains { $0.precision.isSolved }
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

extension SectionReader {
  /// The precision of a matched rule; nil with an error if its words do not fit each other.
  fileprivate mutating func precision(_ match: EntryMatch) -> Precision? {
    guard let name = match.rule("precision")?.name else { return nil }
    let clips = Quantizer.Clip.Kind.allCases.map(\.rawValue)
    let scaling =
      ["per_row", "groups"] + clips + ["floor", "half_floor", "asymmetric", "unrounded"]
    func refused(_ words: [String]) -> Bool {
      guard let word = words.first(where: { match.has($0) }) else { return false }
      report(.malformedEntry, "'\(word)' has no meaning for \(name)", at: match.location(of: word))
      return true
    }
    if let float = ["f32": Precision.f32, "f16": .f16, "fp8": .fp8][name] {
      return refused(scaling + ["gptq", "shrink_fix"]) ? nil : float
    }
    func argument(_ rule: String) -> Double? {
      match.rule(rule)?.arguments.values.compactMap(\.number).first
    }
    if name == "ternary" {
      guard !refused(scaling) else { return nil }
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
    return .int(quantizer)
  }
}
