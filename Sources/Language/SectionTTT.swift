// SPDX-License-Identifier: Apache-2.0
// The `ttt` section: its entries, and the condition under which chunks, windows and strides fit.

import IR

extension SectionReader {
  mutating func readTTT(_ matches: [EntryMatch], kind: String?, at place: SourceLocation) {
    if let off = matches.first(where: { $0.entry.word == "off" }) {
      if matches.count > 1 {
        report(.duplicateEntry, "'off' stands alone", at: off.location)
      }
      return
    }
    guard let mode = kind.flatMap(TTTSettings.Mode.init(rawValue:)) else {
      report(
        .missingEntry, "'ttt' needs its protocol, or the entry 'off'", at: place,
        suggestion: "write: ttt score_first { … }")
      return
    }
    func first(_ word: String) -> EntryMatch? { matches.first { $0.entry.word == word } }
    guard let chunk = first("chunk")?.whole("chunk"), let window = first("window")?.whole("window")
    else {
      let missing = first("chunk") == nil ? "chunk" : "window"
      report(.missingEntry, "'ttt \(mode.rawValue)' needs '\(missing)'", at: place)
      return
    }
    let stride = first("stride")?.whole("stride") ?? window
    var ttt = TTTSettings(mode: mode, chunk: chunk, window: window, stride: stride)
    ttt.epochs = first("epochs")?.whole("epochs") ?? 1
    ttt.batch = first("batch")?.whole("batch") ?? 1
    ttt.clip = first("clip")?.number("norm")
    for match in matches {
      switch match.entry.word {
      case "optimizer":
        guard let target = match.target("target"), let rule = match.rule("rule") else { continue }
        ttt.optimizers.append(
          OptimizerEntry(
            target: target, rule: OptimizerRule(name: rule.name, arguments: rule.arguments),
            location: match.location))
      case "scale":
        guard let glob = match.glob("pattern"), let factor = match.number("factor") else {
          continue
        }
        ttt.scales.append(.init(glob: glob, factor: factor))
        scalePlaces.append(match.location)
      case "freeze":
        guard let glob = match.glob("pattern") else { continue }
        ttt.frozen.append(glob)
        freezePlaces.append(match.location)
      default: break
      }
    }
    readSchedule(matches.filter { $0.entry.word == "optimizer" }, into: &ttt)
    if ttt.optimizers.isEmpty {
      report(.missingEntry, "'ttt \(mode.rawValue)' needs an optimizer", at: place)
    }
    checkAlignment(ttt, at: first("chunk")?.location ?? place, stride: first("stride")?.location)
    if ttt.batch > max(1, chunk / window) {
      warnings.append(
        Diagnostic(
          .idleWork,
          "a chunk of \(chunk) tokens holds \(chunk / window) windows of \(window): an update of "
            + "\(ttt.batch) rows computes padding in the others",
          at: first("batch")?.location, severity: .warning,
          suggestion: "batch \(max(1, chunk / window)) rows"))
    }
    update { $0.ttt = ttt }
  }

  /// One schedule serves all optimizers, so that rates keep their ratio.
  private mutating func readSchedule(_ optimizers: [EntryMatch], into ttt: inout TTTSettings) {
    let cosine = optimizers.filter { $0.has("cosine") }
    if !cosine.isEmpty { ttt.schedule = .cosineOverChunks }
    if !cosine.isEmpty, cosine.count < optimizers.count,
      let other = optimizers.first(where: { !$0.has("cosine") })
    {
      report(
        .malformedEntry, "all optimizers of 'ttt' follow one schedule", at: other.location,
        suggestion: "add 'cosine over chunks', or leave it out everywhere")
    }
  }

  /// No window's scored span may straddle two chunks, and a chunk is trained in whole windows.
  private mutating func checkAlignment(
    _ ttt: TTTSettings, at chunk: SourceLocation, stride place: SourceLocation?
  ) {
    let (chunkSize, window, stride) = (ttt.chunk, ttt.window, ttt.stride)
    if stride > window {
      report(
        .misaligned, "a stride of \(stride) leaves out tokens between windows of \(window)",
        at: place ?? chunk)
      return
    }
    if (window - stride) % stride != 0 {
      var fitting = stride
      while window % fitting != 0 { fitting -= 1 }
      report(
        .misaligned,
        "window - stride must be a multiple of the stride: \(window) - \(stride) is not",
        at: place ?? chunk,
        suggestion: "a stride of \(fitting), or a window of \((window / stride) * stride), works")
      return
    }
    guard chunkSize % window != 0 else { return }
    let lower = chunkSize / window * window
    let (upper, overflow) = lower.addingReportingOverflow(window)
    let choices = (lower > 0 ? ["\(lower)"] : []) + (overflow ? [] : ["\(upper)"])
    report(
      .misaligned, "a chunk of \(chunkSize) tokens is no multiple of the window of \(window)",
      at: chunk, suggestion: "a chunk of \(choices.joined(separator: " or ")) tokens works")
  }
}
