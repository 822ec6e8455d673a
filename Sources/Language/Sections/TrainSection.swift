// SPDX-License-Identifier: Apache-2.0
// The `train` section: the training run.

import IR

extension SectionTable {
  static let train = SectionTable(
    section: .train, kinds: [], meaning: "The training run.",
    entries: [
      SectionEntry(
        \.train, "read",
        [
          .word("read"), .number("rows", .whole(atLeast: 1)), .word("rows"), .word("of"),
          .number("seq", .whole(atLeast: 1)),
          .optional([
            .oneOf([
              [.word("shuffled")], [.word("coprime")],
              [.word("from"), .number("first", .whole(atLeast: 0))],
            ])
          ]),
        ],
        "Sequences of one forward pass, and their length in tokens: in the order of the stream; from the "
          + "first token of an id on; or shuffled, or in strides that are coprime to the number of windows, each "
          + "window of the stream once before any comes again.",
        read: { match, train, _ in
          if match.has("shuffled") { train.order = .shuffled }
          if match.has("coprime") { train.order = .coprime }
          if let first = match.whole("first") { train.order = .from(first) }
        },
        prints: { ["read \($0.rows) rows of \($0.seq)" + $0.order.text] }),
      SectionEntry(
        \.train, "accumulate", [.word("accumulate"), .number("passes", .whole(atLeast: 1))],
        default: "1", "Forward passes whose gradients make one step.",
        read: { match, train, _ in train.accumulate = match.whole("passes") ?? 1 },
        prints: { ["accumulate \($0.accumulate)"] },
        live: { train, model in
          guard train.accumulate > 1 else { return [] }
          return [
            Feature(
              .accumulate, "accumulate", "\(train.accumulate) passes a step", model.trained(train))
          ]
        }),
      SectionEntry(
        \.train, "stop",
        [
          .word("stop"), .word("at"), .number("limit", .positive),
          .choice("unit", ["steps", "s"]),
          .optional([
            .word("or"), .number("limit2", .positive), .choice("unit2", ["steps", "s"]),
          ]),
        ], "The end of training, by steps, seconds, or whichever comes first.",
        read: readStop,
        prints: { train in
          let limits = [
            train.stopSteps.map { "\($0) steps" }, train.stopSeconds.map { "\(shortest($0)) s" },
          ].compactMap { $0 }
          return [limits.isEmpty ? nil : "stop at " + limits.joined(separator: " or ")]
        }),
      SectionEntry(
        \.train, "limit",
        [.word("limit"), .word("training"), .number("seconds", .positive), .word("s")],
        "Seconds that training may take on the clock, steps, validations and checkpoints together: it ends before "
          + "them, and the schedule counts on them as on those of `stop`.",
        read: { match, train, _ in train.limitSeconds = match.number("seconds") },
        prints: { [$0.limitSeconds.map { "limit training \(shortest($0)) s" }] }),
      SectionEntry(
        \.train, "optimizer",
        [
          .word("optimizer"), .optimizerTarget("target"),
          .rule("rule", Optimizer.all.map { RuleSignature($0) }),
        ],
        "The update of a group or of the params a glob matches; the last match wins.",
        repeats: true,
        read: { match, train, _ in train.optimizers += [match.optimizer].compactMap { $0 } },
        prints: { $0.optimizers.map { "optimizer \($0.target.optimizerText) \($0.rule.text)" } },
        live: { train, model in
          let owners = train.optimizers.winners(model.graph.parameters)
          return train.optimizers.enumerated().map { index, entry in
            Feature(
              .optimizer(index), "optimizer \(entry.target.optimizerText)", entry.rule.text,
              model.paths { owners[$0] == index })
          }
        }),
      SectionEntry(
        \.train, "clip", [.word("clip"), .number("norm", .positive)],
        "Gradients are scaled down to this global norm.",
        read: { match, train, _ in train.clip = match.number("norm") },
        prints: { [$0.clip.map { "clip \(shortest($0))" }] },
        live: { train, model in
          [
            train.clip.map {
              Feature(.clip, "clip", "norm \(shortest($0)), every step", model.trained(train))
            }
          ]
        }),
      SectionEntry(
        \.train, "warmup",
        [.word("warmup"), .number("steps", .whole(atLeast: 0)), .word("steps")], default: "0",
        "Steps in which the learning rate rises from 0.",
        read: { match, train, _ in train.warmup = match.whole("steps") ?? 0 },
        prints: { [$0.warmup > 0 ? "warmup \($0.warmup) steps" : nil] },
        live: { train, model in
          guard train.warmup > 0 else { return [] }
          return [Feature(.warmup, "warmup", "steps 1 to \(train.warmup)", model.trained(train))]
        }),
      SectionEntry(
        \.train, "warmdown",
        [
          .word("warmdown"),
          .oneOf([
            [.number("length", .positive), .word("steps")],
            [.number("length", .share), .word("of"), .word("training")],
          ]),
          .optional([.word("floor"), .number("floor", .fraction)]),
        ], "The learning rate falls linearly at the end, down to floor times itself.",
        read: readWarmdown,
        prints: { train in
          [train.warmdown.map { "warmdown \($0.length) floor \(shortest(train.floor))" }]
        },
        live: { train, model in
          [
            train.warmdown.map {
              Feature(.warmdown, "warmdown", "the last \($0.counted)", model.trained(train))
            }
          ]
        }),
      SectionEntry(
        \.train, "average",
        [.word("average"), .rule("rule", [RuleSignature("none"), .ema, .swa])],
        default: "none",
        "The weights that are exported: the last ones, their moving average, or the mean of snapshots, one "
          + "`every` so many steps once the multiplier of the learning rate is below a limit.",
        read: { match, train, _ in
          let arguments = match.rule("rule")?.arguments ?? [:]
          if let decay = arguments["decay"]?.number { train.average = .ema(decay) }
          if let every = arguments["every"]?.number, let below = arguments["below"]?.number {
            train.average = .swa(every: Int(every), below: below)
          }
        },
        prints: { ["average \($0.average.text)"] },
        live: { train, model in
          let window =
            switch train.average {
            case .none: ""
            case .ema: ", every step"
            case .swa(let every, let below):
              ", every \(every) steps from lr_below(\(shortest(below)))"
            }
          guard !window.isEmpty else { return [] }
          return [
            Feature(.average, "average", train.average.text + window, model.trained(train))
          ]
        }),
      SectionEntry(
        \.train, "z_loss", [.word("z_loss"), .number("weight", .positive)],
        "Adds weight * (log of the softmax's sum)² to the loss.",
        read: { match, train, _ in train.zLoss = match.number("weight") },
        prints: { [$0.zLoss.map { "z_loss \(shortest($0))" }] },
        live: { train, model in
          [
            train.zLoss.map {
              Feature(.zLoss, "z_loss", "\(shortest($0)), every step", model.trained(train))
            }
          ]
        }),
      SectionEntry(
        \.train, "validate",
        [
          .word("validate"), .word("every"), .number("steps", .whole(atLeast: 1)), .word("steps"),
          .optional([.word("on"), .number("tokens", .whole(atLeast: 1)), .word("tokens")]),
        ], default: "every 100 steps on 32_768 tokens",
        "How often validation text is scored, and how much of it.",
        read: { match, train, _ in
          train.validateEvery = match.whole("steps") ?? train.validateEvery
          train.validateTokens = match.whole("tokens") ?? train.validateTokens
        },
        prints: { ["validate every \($0.validateEvery) steps on \($0.validateTokens) tokens"] }),
      SectionEntry(
        \.train, "checkpoint",
        [
          .word("checkpoint"), .word("every"), .number("steps", .whole(atLeast: 1)),
          .word("steps"),
        ], default: "every 200 steps", "How often a checkpoint is written.",
        read: { match, train, _ in
          train.checkpointEvery = match.whole("steps") ?? train.checkpointEvery
        },
        prints: { ["checkpoint every \($0.checkpointEvery) steps"] }),
    ],
    read: readTrain, header: { $0.train.map { _ in "train" } })
}

@Sendable private func readTrain(_ given: SectionMatches, _ reader: inout SectionReader) {
  guard let read = given["read"], let rows = read.whole("rows"), let seq = read.whole("seq") else {
    reader.report(
      .missingEntry, "'train' needs 'read'", at: given.place,
      suggestion: "write: read batch rows of seq")
    return
  }
  reader.settings.train = TrainSettings(rows: rows, seq: seq)
  for match in given.matches { reader.places[match.entry.word] = match.location }
  given.read(into: &reader)
  let train = reader.settings.train!
  if train.stopSteps == nil, train.stopSeconds == nil, train.limitSeconds == nil {
    reader.report(
      .missingEntry, "'train' needs 'stop', or it would never end", at: given.place,
      suggestion: "write: stop at 1000 steps or 600 s")
  }
  if train.optimizers.isEmpty {
    reader.report(
      .missingEntry, "'train' has no optimizer, so nothing would be trained", at: given.place)
  }
  reader.reportOverruled(train.optimizers)
  let (tokens, overflow) = rows.multipliedReportingOverflow(by: seq)
  if overflow || tokens > 1 << 32 {
    reader.report(
      .tooLarge, "\(rows) rows of \(seq) tokens are more than one pass can hold", at: read.location)
  }
}

@Sendable private func readStop(
  _ match: EntryMatch, _ train: inout TrainSettings, _ reader: inout SectionReader
) {
  for (limit, unit) in [("limit", "unit"), ("limit2", "unit2")] {
    guard let number = match.number(limit), let word = match.word(unit) else { continue }
    if word == "s" {
      if train.stopSeconds != nil {
        reader.report(.duplicateEntry, "two limits in seconds", at: match.location(of: limit))
      }
      train.stopSeconds = number
    } else if let steps = Int(exactly: number) {
      if train.stopSteps != nil {
        reader.report(.duplicateEntry, "two limits in steps", at: match.location(of: limit))
      }
      train.stopSteps = steps
    } else {
      reader.report(
        .notWhole, "a number of steps must be whole, found \(shortest(number))",
        at: match.location(of: limit))
    }
  }
}

@Sendable private func readWarmdown(
  _ match: EntryMatch, _ train: inout TrainSettings, _ reader: inout SectionReader
) {
  guard let length = match.number("length") else { return }
  train.floor = match.number("floor") ?? 0
  if match.has("training") {
    train.warmdown = .fraction(length)
  } else if let steps = Int(exactly: length) {
    train.warmdown = .steps(steps)
  } else {
    reader.report(
      .notWhole, "a number of steps must be whole, found \(shortest(length))",
      at: match.location(of: "length"),
      suggestion: "a fraction is written: \(shortest(length)) of training")
  }
}

extension TrainSettings.ReadOrder {
  fileprivate var text: String {
    switch self {
    case .stream: ""
    case .shuffled: " shuffled"
    case .coprime: " coprime"
    case .from(let first): " from \(first)"
    }
  }
}

extension TrainSettings.Warmdown {
  fileprivate var length: String {
    switch self {
    case .steps(let steps): "\(steps) steps"
    case .fraction(let part): "\(shortest(part)) of training"
    }
  }

  fileprivate var counted: String {
    if case .steps(let steps) = self { IR.counted(steps, "step", "steps") } else { length }
  }
}

extension TrainSettings.Average {
  fileprivate var text: String {
    switch self {
    case .none: "none"
    case .ema(let decay): "ema(\(shortest(decay)))"
    case .swa(let every, let below): "swa(every: \(every), below: \(shortest(below)))"
    }
  }
}

extension RuleSignature {
  fileprivate static let ema = RuleSignature(
    "ema", [RuleParameter("decay", .number(.fraction), positional: true)])
  fileprivate static let swa = RuleSignature(
    "swa",
    [
      RuleParameter("every", .number(.whole(atLeast: 1))),
      RuleParameter("below", .number(.share)),
    ])
}

extension Model {
  /// The params that an optimizer of `train` updates.
  fileprivate func trained(_ train: TrainSettings) -> [String] {
    let owners = train.optimizers.winners(graph.parameters)
    return paths { owners[$0] != nil }
  }
}
