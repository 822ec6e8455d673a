// SPDX-License-Identifier: Apache-2.0
// What a run prints while it works: a bar on a terminal, plain lines elsewhere. Always on stderr.

import Foundation
import IR
import Passes
import Runtime

final class RunProgress {
  private let length: TrainingLength
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var lastDraw = 0.0
  private var lastLine = 0.0
  private var phase = ""
  private var hasBar = false
  private var latestValidation = ""

  init(length: TrainingLength) { self.length = length }

  func begin(_ plan: Plan, threads: Int, directory: String) {
    let parameters = plan.model.graph.parameterCount
    printError(
      "\(plan.model.name): \(grouped(parameters)) parameters, \(plan.target.isa), \(Machine.gemm), "
        + "\(threads) thread\(threads == 1 ? "" : "s"), run in \(directory)")
  }

  /// Throws `EvaluationInterrupted` when a signal asked to stop: training ends by itself, after saving.
  func observe(_ event: RunEvent) throws {
    switch event {
    case .resumed(let step): line("resumed after step \(step)")
    case .step(let report, let speed): drawStep(report, speed)
    case .validation(let step, let bits, _, let bytes):
      latestValidation = "val \(fixed(bits, 4))  \(grouped(bytes)) bytes"
      if !isTerminal {
        line(
          "step \(step): validation \(fixed(bits, 4)) bits per byte, artifact about "
            + "\(grouped(bytes)) bytes")
      }
    case .checkpoint, .profiles: break
    case .phase(let name):
      clear()
      phase = PhaseClock.Name.entry(of: name).map(String.init) ?? name
      if let text = Self.announcement(of: name) { line(text) }
    case .progress(let part):
      if Interruption.signal != 0 {
        clear()
        throw EvaluationInterrupted()
      }
      let time = now()
      guard isTerminal, time - lastDraw > 0.1 else { return }
      lastDraw = time
      draw(bar(part) + " \(phase) \(Int(part * 100)) %")
    case .warning(let text): line("warning: \(text)")
    }
  }

  func end() { clear() }

  private static func announcement(of phase: String) -> String? {
    if let entry = PhaseClock.Name.entry(of: phase) { return "evaluate: \(entry)" }
    switch phase {
    case PhaseClock.Name.train: return nil
    case "calibrate": return "calibrate on training text"
    case "choose-precision": return "choose precisions"
    case "pack": return "quantise and pack"
    case "weigh-precision": return "weigh the stored forms"
    default: return phase
    }
  }

  private func drawStep(_ report: StepReport, _ speed: Double) {
    let time = now()
    // The part of training that is over after this step.
    var part = report.settings.fraction
    if let steps = length.steps { part = max(part, Double(report.step) / Double(steps)) }
    let facts =
      "step \(report.step)\(length.steps.map { "/\($0)" } ?? "")  loss \(fixed(report.loss, 3))"
      + "  \(grouped(Int(speed))) tok/s"
    if isTerminal {
      guard time - lastDraw > 0.1 else { return }
      lastDraw = time
      if started == 0 { started = time }
      let left = part > 0.01 ? (time - started) * (1 - part) / part : .nan
      let rest = left.isFinite ? "  \(duration(left)) left" : ""
      draw(bar(part) + " \(facts)  \(latestValidation)\(rest)")
    } else if time - lastLine > 10 {
      lastLine = time
      line(facts + "  \(Int(part * 100)) %")
    }
  }
  private var started = 0.0

  private func bar(_ part: Double) -> String {
    let width = 24
    let full = min(width, max(0, Int(part * Double(width))))
    return "[" + String(repeating: "#", count: full) + String(repeating: ".", count: width - full)
      + "]"
  }

  private func draw(_ text: String) {
    writeError("\r\u{1B}[2K" + text.prefix(118))
    hasBar = true
  }

  private func line(_ text: String) {
    clear()
    printError(text)
  }

  private func clear() {
    if hasBar { writeError("\r\u{1B}[2K") }
    hasBar = false
  }
}
