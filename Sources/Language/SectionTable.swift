// SPDX-License-Identifier: Apache-2.0
// One table per section: every entry with its form, default and meaning. Reading, suggestions and
// the manual all follow these tables; what the entries become is in SectionReader.swift.

import IR

/// An entry of a section.
public struct SectionEntry: Sendable {
  /// The first word, or the slot's name in capitals for entries that begin with a target or name.
  public let word: String
  public let form: [EntryElement]
  /// The default's text; nil when leaving the entry out means that nothing is done.
  public let defaultText: String?
  public let meaning: String
  /// Set for entries that the language knows and this version does not compile.
  public let limit: String?
  /// The form as messages and the manual show it.
  public let formText: String

  /// `shown` replaces the form's own text where elements depend on each other.
  init(
    _ word: String, _ form: [EntryElement], shown: String? = nil, default text: String? = nil,
    _ meaning: String, limit: String? = nil
  ) {
    formText = shown ?? form.text
    self.word = word
    self.form = form
    defaultText = text
    self.meaning = meaning
    self.limit = limit
  }

  /// An entry that is known but not compiled.
  static func later(_ word: String, _ meaning: String, instead: String) -> SectionEntry {
    SectionEntry(word, [.word(word)], meaning, limit: instead)
  }
}

/// A section of a file. Commands name those that they use: others are not checked.
public enum SectionName: String, CaseIterable, Sendable {
  case initial = "init"
  case train, qat, quantize, evaluate, ttt, expect

  /// Every section: what a whole run uses.
  public static let all = Set(allCases)
}

/// The entries of one section.
public struct SectionTable: Sendable {
  public let section: SectionName
  public var name: String { section.rawValue }
  /// Words that may follow the section's name.
  public let kinds: [String]
  public let meaning: String
  public let entries: [SectionEntry]

  /// All sections, in the order of the manual.
  public static let all: [SectionTable] = [
    initial, train, qat, quantize, evaluate, ttt, expect,
  ]
}

private let lr = RuleParameter("lr", .number(.nonnegative))
private let decay = RuleParameter("decay", .number(.nonnegative), default: "0")
private let betas = RuleParameter("betas", .pair(.fraction), default: "[0.9, 0.95]")
private let eps = RuleParameter("eps", .number(.positive), default: "1e-8")
private let adam = RuleSignature("adam", [lr, betas, eps])
private let adamw = RuleSignature("adamw", [lr, betas, eps, decay])
private let sgd = RuleSignature(
  "sgd", [lr, RuleParameter("momentum", .number(.fraction), default: "0"), decay])
private let muon = RuleSignature(
  "muon",
  [
    lr, RuleParameter("momentum", .ramp, default: "0.95"),
    RuleParameter("newton_schulz", .number(.wholeUpTo(NewtonSchulz.mostSteps)), default: "5"),
    RuleParameter("iteration", .word(["standard", "polar_express"]), default: "standard"),
    RuleParameter("row_normalise", .bool, default: "false"), decay,
  ])
private let ema = RuleSignature(
  "ema", [RuleParameter("decay", .number(.fraction), positional: true)])
private func one(_ name: String, _ parameter: String, _ range: NumberRange) -> EntryElement {
  .rule(
    name, [RuleSignature(name, [RuleParameter(parameter, .number(range), positional: true)])])
}

/// `start`, `F of training`, `F of warmdown` or `lr_below(F)`: when something begins.
let scheduleStartForm: EntryElement = .oneOf([
  [.word("start")],
  [.number("fraction", .fraction), .word("of"), .choice("phase", ["training", "warmdown"])],
  [one("lr_below", "multiplier", .positive)],
])

extension SectionTable {
  static let initial = SectionTable(
    section: .initial, kinds: [], meaning: "Overrides how params start.",
    entries: [
      SectionEntry(
        "PATTERN",
        [
          .pattern("pattern"),
          .rule(
            "init",
            [
              RuleSignature("zeros"), RuleSignature("ones"), RuleSignature("uniform"),
              RuleSignature(
                "constant", [RuleParameter("value", .number(.any), positional: true)]),
              RuleSignature("normal", [RuleParameter("std", .number(.positive), positional: true)]),
              RuleSignature(
                "orthogonal",
                [RuleParameter("gain", .number(.positive), default: "1", positional: true)]),
              RuleSignature("rows", [RuleParameter("values", .numbers, positional: true)]),
            ]),
        ], "Params whose path the glob matches start like this.")
    ])

  static let train = SectionTable(
    section: .train, kinds: [], meaning: "The training run.",
    entries: [
      SectionEntry(
        "read",
        [
          .word("read"), .number("rows", .whole(atLeast: 1)), .word("rows"), .word("of"),
          .number("seq", .whole(atLeast: 1)), .optional([.word("shuffled")]),
        ],
        "Sequences of one forward pass, and their length in tokens: in the order of the stream, or "
          + "shuffled, each window of the stream once before any comes again."),
      SectionEntry(
        "accumulate", [.word("accumulate"), .number("passes", .whole(atLeast: 1))], default: "1",
        "Forward passes whose gradients make one step."),
      SectionEntry(
        "stop",
        [
          .word("stop"), .word("at"), .number("limit", .positive),
          .choice("unit", ["steps", "s"]),
          .optional([
            .word("or"), .number("limit2", .positive), .choice("unit2", ["steps", "s"]),
          ]),
        ], "The end of training, by steps, seconds, or whichever comes first."),
      SectionEntry(
        "optimizer",
        [.word("optimizer"), .optimizerTarget("target"), .rule("rule", [adam, adamw, muon, sgd])],
        "The update of a group or of the params a glob matches; the last match wins."),
      SectionEntry(
        "clip", [.word("clip"), .number("norm", .positive)],
        "Gradients are scaled down to this global norm."),
      SectionEntry(
        "warmup", [.word("warmup"), .number("steps", .whole(atLeast: 0)), .word("steps")],
        default: "0", "Steps in which the learning rate rises from 0."),
      SectionEntry(
        "warmdown",
        [
          .word("warmdown"),
          .oneOf([
            [.number("length", .positive), .word("steps")],
            [.number("length", .share), .word("of"), .word("training")],
          ]),
          .optional([.word("floor"), .number("floor", .fraction)]),
        ], "The learning rate falls linearly at the end, down to floor times itself."),
      SectionEntry(
        "average",
        [.word("average"), .rule("rule", [RuleSignature("none"), ema])], default: "none",
        "The weights that are exported: the last ones, or their moving average."),
      SectionEntry(
        "z_loss", [.word("z_loss"), .number("weight", .positive)],
        "Adds weight * (log of the softmax's sum)² to the loss."),
      SectionEntry(
        "validate",
        [
          .word("validate"), .word("every"), .number("steps", .whole(atLeast: 1)), .word("steps"),
          .optional([.word("on"), .number("tokens", .whole(atLeast: 1)), .word("tokens")]),
        ], default: "every 100 steps on 32_768 tokens",
        "How often validation text is scored, and how much of it."),
      SectionEntry(
        "checkpoint",
        [
          .word("checkpoint"), .word("every"), .number("steps", .whole(atLeast: 1)),
          .word("steps"),
        ], default: "every 200 steps", "How often a checkpoint is written."),
    ])

  static let qat = SectionTable(
    section: .qat, kinds: [], meaning: "Training with the weights rounded as `quantize` will.",
    entries: [
      SectionEntry("off", [.word("off")], "No rounding in training."),
      SectionEntry(
        "straight_through", [.word("straight_through"), .word("from"), scheduleStartForm],
        "Rounded weights forward, unchanged gradients backward."),
      SectionEntry(
        "soft_round",
        [
          .word("soft_round"), .optional([.word("form"), .choice("form", ["a", "b"])]),
          .optional([
            .word("alpha"), .number("from", .positive), .word("to"), .number("to", .positive),
          ]),
          .word("from"), scheduleStartForm,
        ], default: "form a alpha 1 to 16",
        "A smooth staircase (a: tanh, b: sigmoid) that grows steeper."),
    ])

  static let quantize = SectionTable(
    section: .quantize, kinds: [], meaning: "How params are stored; the last matching rule wins.",
    entries: [
      SectionEntry(
        "TARGET",
        [
          .target("target"),
          .rule(
            "precision",
            ["f32", "f16", "int2", "int3", "int4", "int5", "int6", "int7", "int8"].map {
              RuleSignature($0)
            }),
          .optional([.word("per_row")]),
          .optional([.word("max")]),
          .optional([one("quantile", "q", .share)]),
          .optional([one("sdclip", "k", .positive)]),
          .optional([one("floor", "step", .nonnegative)]),
          .optional([one("half_floor", "step", .nonnegative)]),
          .optional([.word("asymmetric")]),
          .optional([.word("unrounded")]),
        ],
        shown: "TARGET (f32 | f16 | (int2 | int3 | int4 | int5 | int6 | int7 | int8) per_row "
          + "(max | quantile(Q) | sdclip(K)) [floor(STEP)] [half_floor(STEP)] [asymmetric] "
          + "[unrounded])",
        "The precision; for integers, which only matrices have, what the largest code stands for "
          + "(the row's maximum, a "
          + "quantile of |w|, or k standard deviations) and the smallest step."),
      SectionEntry(
        "budget",
        [
          .word("budget"), .number("bytes", .whole(atLeast: 1)), .word("bytes"),
          .optional([.word("code"), .number("code", .whole(atLeast: 0)), .word("bytes")]),
        ], "The largest size of the artifact and the code."),
      .later(
        "calibrate", "Text for GPTQ's second moments.",
        instead: "leave it out: codes are rounded to nearest"),
      .later(
        "correct", "Low-rank corrections of the worst matrices.", instead: "leave it out"),
    ])

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
        "Windows of that many tokens; with a stride they overlap and each scores its last tokens.")
    ])

  static let ttt = SectionTable(
    section: .ttt, kinds: TTTSettings.Mode.allCases.map(\.rawValue),
    meaning: "Training on the text that is being scored, after it was scored.",
    entries: [
      SectionEntry("off", [.word("off")], "No test-time training."),
      SectionEntry(
        "chunk", [.word("chunk"), .number("chunk", .whole(atLeast: 1)), .word("tokens")],
        "Tokens scored before the next updates."),
      SectionEntry(
        "window", [.word("window"), .number("window", .whole(atLeast: 1))],
        "Tokens a window sees, and the length of a training sequence."),
      SectionEntry(
        "stride", [.word("stride"), .number("stride", .whole(atLeast: 1))], default: "the window",
        "Tokens from one scored window to the next."),
      SectionEntry(
        "epochs", [.word("epochs"), .number("epochs", .whole(atLeast: 0))], default: "1",
        "Passes over a chunk after it was scored; 0: chunks are scored, never trained on."),
      SectionEntry(
        "batch", [.word("batch"), .number("batch", .whole(atLeast: 1)), .word("rows")],
        default: "1", "Sequences of one update."),
      SectionEntry(
        "clip", [.word("clip"), .number("norm", .positive)],
        "Gradients are scaled down to this global norm."),
      SectionEntry(
        "optimizer",
        [
          .word("optimizer"), .optimizerTarget("target"), .rule("rule", [sgd, adam, adamw]),
          .optional([.word("cosine"), .word("over"), .word("chunks")]),
        ], "The update; with cosine the rate falls over the chunks, in adapt_first over all epochs."
      ),
      SectionEntry(
        "scale", [.word("scale"), .pattern("pattern"), .number("factor", .positive)],
        "A factor on the learning rate of matching params; the last match wins."),
      SectionEntry(
        "freeze", [.word("freeze"), .pattern("pattern")], "Matching params are not updated."),
      .later("by", "Documents instead of chunks.", instead: "use chunk N tokens"),
      .later("together", "Documents adapted side by side.", instead: "use chunk N tokens"),
      .later("adapter", "Low-rank adapters.", instead: "train the weights with optimizer"),
      .later("relearn", "Training on all scored text.", instead: "use chunk N tokens"),
      .later("pause", "Entries at some points of the text.", instead: "leave it out"),
    ])

  static let expect = SectionTable(
    section: .expect, kinds: [], meaning: "What the author expects; compiling fails otherwise.",
    entries: [
      SectionEntry(
        "parameters", [.word("parameters"), .number("count", .whole(atLeast: 0))],
        "The number of trained numbers."),
      SectionEntry(
        "artifact",
        [
          .word("artifact"), .word("at"), .word("most"), .number("bytes", .whole(atLeast: 1)),
          .word("bytes"),
        ], "The largest artifact, checked when it is packed."),
    ])

  /// Words of published recipes that no table compiles yet, for rules inside an entry.
  static let laterWords = [
    "gptq", "search", "ternary", "fp8", "shrink_fix", "lora", "swa", "bf16", "document", "bos",
  ]
}
