// SPDX-License-Identifier: Apache-2.0
// The `ttt` section, and the condition under which chunks, windows and strides fit.

import IR

extension SectionTable {
  static let ttt = SectionTable(
    section: .ttt, kinds: TTTSettings.Mode.allCases.map(\.rawValue),
    meaning: "Training on the text that is being scored, after it was scored.",
    entries: [
      SectionEntry(
        "off", [.word("off")], "No test-time training.", read: { _, _ in },
        prints: { [$0.ttt == nil ? "off" : nil] }, live: { _ in [] }),
      SectionEntry(
        \.ttt, "chunk", [.word("chunk"), .number("chunk", .whole(atLeast: 1)), .word("tokens")],
        "Tokens scored before the next updates.",
        read: { match, ttt, _ in ttt.chunk = match.whole("chunk") ?? ttt.chunk },
        prints: { ["chunk \($0.chunk) tokens"] },
        live: { ttt, model in
          let epochs = counted(ttt.epochs, "epoch", "epochs")
          return [
            Feature(
              .ttt, "ttt \(ttt.mode.rawValue)",
              "chunks of \(grouped(ttt.chunk)), window \(ttt.window), stride \(ttt.stride), "
                + epochs, model.adapted(ttt))
          ]
        }),
      SectionEntry(
        \.ttt, "window", [.word("window"), .number("window", .whole(atLeast: 1))],
        "Tokens a window sees, and the length of a training sequence.",
        read: { match, ttt, _ in ttt.window = match.whole("window") ?? ttt.window },
        prints: { ["window \($0.window)"] }),
      SectionEntry(
        \.ttt, "stride", [.word("stride"), .number("stride", .whole(atLeast: 1))],
        default: "the window", "Tokens from one scored window to the next.",
        read: { match, ttt, _ in ttt.stride = match.whole("stride") ?? ttt.stride },
        prints: { ["stride \($0.stride)"] }),
      SectionEntry(
        \.ttt, "epochs", [.word("epochs"), .number("epochs", .whole(atLeast: 0))], default: "1",
        "Passes over a chunk after it was scored; 0: chunks are scored, never trained on.",
        read: { match, ttt, _ in ttt.epochs = match.whole("epochs") ?? 1 },
        prints: { ["epochs \($0.epochs)"] }),
      SectionEntry(
        \.ttt, "batch", [.word("batch"), .number("batch", .whole(atLeast: 1)), .word("rows")],
        default: "1", "Sequences of one update.",
        read: { match, ttt, _ in ttt.batch = match.whole("batch") ?? 1 },
        prints: { ["batch \($0.batch) rows"] }),
      SectionEntry(
        \.ttt, "clip", [.word("clip"), .number("norm", .positive)],
        "Gradients are scaled down to this global norm.",
        read: { match, ttt, _ in ttt.clip = match.number("norm") },
        prints: { [$0.clip.map { "clip \(shortest($0))" }] },
        live: { ttt, model in
          [
            ttt.clip.map {
              Feature(
                .tttClip, "ttt clip", "norm \(shortest($0)), every update", model.adapted(ttt))
            }
          ]
        }),
      SectionEntry(
        \.ttt, "optimizer",
        [
          .word("optimizer"), .optimizerTarget("target"),
          .rule("rule", [Optimizer.sgd, .adam, .adamw].map { RuleSignature($0) }),
          .optional([.word("cosine"), .word("over"), .word("chunks")]),
        ],
        "The update; with cosine the rate falls over the chunks, in adapt_first over all epochs.",
        repeats: true,
        read: { match, ttt, _ in
          ttt.optimizers += [match.optimizer].compactMap { $0 }
          // One schedule serves all optimizers, so that rates keep their ratio.
          if match.has("cosine") { ttt.schedule = .cosineOverChunks }
        },
        prints: { ttt in
          let cosine = ttt.schedule == .cosineOverChunks ? " cosine over chunks" : ""
          return ttt.optimizers.map {
            "optimizer \($0.target.optimizerText) \($0.rule.text)\(cosine)"
          }
        },
        live: { ttt, model in
          let owners = ttt.optimizers.winners(model.graph.parameters)
          let cosine = ttt.schedule == .cosineOverChunks ? " cosine over chunks" : ""
          return ttt.optimizers.enumerated().map { index, entry in
            Feature(
              .tttOptimizer(index), "ttt optimizer \(entry.target.optimizerText)",
              entry.rule.text + cosine,
              model.paths { owners[$0] == index && !ttt.isFrozen($0) })
          }
        }),
      SectionEntry(
        \.ttt, "scale", [.word("scale"), .pattern("pattern"), .number("factor", .positive)],
        "A factor on the learning rate of matching params; the last match wins.", repeats: true,
        read: { match, ttt, _ in
          guard let glob = match.glob("pattern"), let factor = match.number("factor") else {
            return
          }
          ttt.scales.append(.init(glob: glob, factor: factor, location: match.location))
        },
        prints: { $0.scales.map { "scale \"\($0.glob.pattern)\" \(shortest($0.factor))" } },
        live: { ttt, model in
          let adapted = model.adapted(ttt)
          return ttt.scales.enumerated().map { index, scale in
            Feature(
              .tttScale(index), "ttt scale \"\(scale.glob.pattern)\"",
              "\(shortest(scale.factor)) times the rate",
              adapted.filter { ttt.scale(of: $0) == index })
          }
        }),
      SectionEntry(
        \.ttt, "freeze", [.word("freeze"), .pattern("pattern")], "Matching params are not updated.",
        repeats: true,
        read: { match, ttt, _ in
          guard let glob = match.glob("pattern") else { return }
          ttt.frozen.append(.init(glob: glob, location: match.location))
        },
        prints: { $0.frozen.map { "freeze \"\($0.glob.pattern)\"" } },
        live: { ttt, model in
          ttt.frozen.map { freeze in
            Feature(
              .ttt, "ttt freeze \"\(freeze.glob.pattern)\"", "no update",
              model.paths { freeze.glob.matches($0) })
          }
        }),
      .later("by", "Documents instead of chunks.", instead: "use chunk N tokens"),
      .later("together", "Documents adapted side by side.", instead: "use chunk N tokens"),
      .later("adapter", "Low-rank adapters.", instead: "train the weights with optimizer"),
      .later("relearn", "Training on all scored text.", instead: "use chunk N tokens"),
      .later("pause", "Entries at some points of the text.", instead: "leave it out"),
    ],
    read: readTTT, header: { $0.ttt.map { "ttt \($0.mode.rawValue)" } ?? "ttt" })
}

@Sendable private func readTTT(_ given: SectionMatches, _ reader: inout SectionReader) {
  if let off = given["off"] {
    if given.matches.count > 1 {
      reader.report(.duplicateEntry, "'off' stands alone", at: off.location)
    }
    return
  }
  guard let mode = given.kind.flatMap(TTTSettings.Mode.init(rawValue:)) else {
    reader.report(
      .missingEntry, "'ttt' needs its protocol, or the entry 'off'", at: given.place,
      suggestion: "write: ttt score_first { … }")
    return
  }
  guard let chunk = given["chunk"]?.whole("chunk"), let window = given["window"]?.whole("window")
  else {
    let missing = given["chunk"] == nil ? "chunk" : "window"
    reader.report(.missingEntry, "'ttt \(mode.rawValue)' needs '\(missing)'", at: given.place)
    return
  }
  reader.settings.ttt = TTTSettings(mode: mode, chunk: chunk, window: window, stride: window)
  given.read(into: &reader)
  let ttt = reader.settings.ttt!
  let optimizers = given.matches.filter { $0.entry.word == "optimizer" }
  if ttt.schedule == .cosineOverChunks, let other = optimizers.first(where: { !$0.has("cosine") }) {
    reader.report(
      .malformedEntry, "all optimizers of 'ttt' follow one schedule", at: other.location,
      suggestion: "add 'cosine over chunks', or leave it out everywhere")
  }
  if ttt.optimizers.isEmpty {
    reader.report(.missingEntry, "'ttt \(mode.rawValue)' needs an optimizer", at: given.place)
  }
  reader.checkAlignment(ttt, given)
  let rows = max(1, chunk / window)
  if ttt.batch > rows {
    reader.warnings.append(
      Diagnostic(
        .idleWork,
        "a chunk of \(chunk) tokens holds \(chunk / window) windows of \(window): an update of "
          + "\(ttt.batch) rows computes padding in the others",
        at: given["batch"]?.location, severity: .warning, suggestion: "batch \(rows) rows"))
  }
}

extension SectionReader {
  /// No window's scored span may straddle two chunks, and a chunk is trained in whole windows.
  fileprivate mutating func checkAlignment(_ ttt: TTTSettings, _ given: SectionMatches) {
    let place = given["chunk"]?.location ?? given.place
    let stridePlace = given["stride"]?.location ?? place
    let (chunkSize, window, stride) = (ttt.chunk, ttt.window, ttt.stride)
    if stride > window {
      report(
        .misaligned, "a stride of \(stride) leaves out tokens between windows of \(window)",
        at: stridePlace)
      return
    }
    if (window - stride) % stride != 0 {
      var fitting = stride
      while window % fitting != 0 { fitting -= 1 }
      report(
        .misaligned,
        "window - stride must be a multiple of the stride: \(window) - \(stride) is not",
        at: stridePlace,
        suggestion: "a stride of \(fitting), or a window of \((window / stride) * stride), works")
      return
    }
    guard chunkSize % window != 0 else { return }
    let lower = chunkSize / window * window
    let (upper, overflow) = lower.addingReportingOverflow(window)
    let choices = (lower > 0 ? ["\(lower)"] : []) + (overflow ? [] : ["\(upper)"])
    report(
      .misaligned, "a chunk of \(chunkSize) tokens is no multiple of the window of \(window)",
      at: place, suggestion: "a chunk of \(choices.joined(separator: " or ")) tokens works")
  }
}

extension Model {
  /// The params that `ttt` updates.
  fileprivate func adapted(_ ttt: TTTSettings) -> [String] {
    let owners = ttt.optimizers.winners(graph.parameters)
    return paths { owners[$0] != nil && !ttt.isFrozen($0) }
  }
}
