// SPDX-License-Identifier: Apache-2.0
// An estimate for the terminal and as a document.

import Formats
import IR
import Passes
import Runtime

/// The result of `graphc estimate`.
struct EstimateReport {
  let plan: Plan
  let memory: [MemoryNeed]
  let shortage: MemoryShortage?
  let phases: PhaseEstimates
  let threads: Int
  let artifact: SizeEstimate
  /// The error that a run would end with before training.
  let infeasible: InfeasibleBudget?

  private var model: Model { plan.model }

  // MARK: Limits

  /// A limit of seconds that the file declares, and what it limits.
  private struct Limit {
    let work: String
    let seconds: Double
    /// nil: unknown.
    let expected: Double?

    /// Training ends in time by itself; evaluation is stopped, and the run fails.
    var fits: Bool? { expected.map { $0 <= seconds } }
  }

  private var training: Double? {
    phases.sum { ["train", "validate", "checkpoint"].contains($0.phase) }
  }
  private var evaluation: Double? { phases.sum { $0.secondsPerMillionTokens != nil } }

  private var limits: [Limit] {
    let settings = model.settings
    return [
      settings.train?.limitSeconds.map { Limit(work: "training", seconds: $0, expected: training) },
      settings.evaluationLimit.map {
        Limit(work: "evaluation", seconds: $0, expected: evaluation)
      },
    ].compactMap { $0 }
  }

  // MARK: JSON

  var json: JSONValue {
    [
      "schema": "graphc-estimate/1", "model": .string(model.name),
      "parameters": .int(model.graph.parameterCount), "flops": model.flopsDocument,
      "memory": memoryJSON, "seconds": secondsJSON, "artifact": artifactJSON,
      "limits": .object(
        Dictionary(
          uniqueKeysWithValues: limits.map {
            (
              $0.work,
              [
                "limit": .double($0.seconds), "expected": number($0.expected),
                "fits": $0.fits.map(JSONValue.bool) ?? .null,
              ]
            )
          })),
      "threads": .int(threads), "precision": .string(plan.target.compute.rawValue),
    ]
  }

  private func number(_ value: Double?) -> JSONValue { value.map(JSONValue.double) ?? .null }

  private var memoryJSON: JSONValue {
    let limit = MemoryLimit.current()
    var members = plan.memoryDocument(shortage, limit: limit).objectValue ?? [:]
    members["phases"] = .array(
      memory.map { ["phase": .string(name(of: $0.batch)), "bytes": .int($0.bytes)] })
    return .object(members)
  }

  private var secondsJSON: JSONValue {
    [
      "step": .double(phases.stepSeconds), "steps": phases.steps.map(JSONValue.int) ?? .null,
      "phases": .array(
        phases.phases.map {
          [
            "phase": .string($0.phase), "seconds": number($0.seconds),
            "per_million_tokens": number($0.secondsPerMillionTokens),
            "origin": .string($0.origin.rawValue),
          ]
        }),
      "training": number(training), "evaluation": number(evaluation), "all": number(phases.sum()),
    ]
  }

  private var artifactJSON: JSONValue {
    let quantize = model.settings.quantize
    func bytes(_ value: Double) -> JSONValue { .int(Int(value.rounded())) }
    return [
      "low": bytes(artifact.bytes.low), "expected": bytes(artifact.bytes.expected),
      "high": bytes(artifact.bytes.high), "text": .int(artifact.frame),
      "budget": quantize?.budget.map(JSONValue.int) ?? .null,
      "code_bytes": .int(quantize?.codeBytes ?? 0),
      "verdict": .string(verdict.rawValue),
      "groups": .array(
        artifact.groups.map {
          [
            "group": .string($0.name), "low": bytes($0.bytes.low),
            "expected": bytes($0.bytes.expected), "high": bytes($0.bytes.high),
          ]
        }),
    ]
  }

  private var verdict: SizeEstimate.Verdict {
    infeasible != nil
      ? .infeasible : artifact.verdict == .infeasible ? .uncertain : artifact.verdict
  }

  private func name(of batch: MemoryNeed.Batch) -> String {
    switch batch {
    case .training: PhaseClock.Name.train
    case .evaluation(let index): PhaseClock.Name.evaluation(model.settings.evaluate[index].name)
    case .adaptation: PhaseClock.Name.adapt
    }
  }

  // MARK: Text

  var text: String {
    var lines = ["\(model.name): \(grouped(model.graph.parameterCount)) parameters"]
    if let flops = model.flopsPerToken {
      lines.append(
        "a token takes \(fixed(flops.forward / 1e6, 1)) MFLOP forward, "
          + "\(fixed(flops.training / 1e6, 1)) in a training step")
    }
    lines += ["", "memory"]
    lines.append(
      textTable(
        memory.map { ["  " + name(of: $0.batch), fixed(Double($0.bytes) / 1e6, 1) + " MB"] },
        right: [1]))
    if let shortage { lines.append("  it does not run here: \(shortage.description)") }
    lines += ["", "seconds, \(counted(threads, "thread")), \(plan.target.compute.rawValue)"]
    lines.append(textTable(phaseRows, right: [1]))
    if let steps = phases.steps {
      lines.append("  \(counted(steps, "step")) of \(fixed(1000 * phases.stepSeconds, 1)) ms")
    }
    lines += limits.map(text)
    lines += ["", "artifact, bytes"]
    lines.append(textTable(artifactRows, right: [1, 2, 3]))
    lines.append("  " + budgetText)
    return lines.joined(separator: "\n")
  }

  private var phaseRows: [[String]] {
    let rows = phases.phases.map { phase in
      let perMillion = phase.secondsPerMillionTokens.map { "\(fixed($0, 1)) a million tokens, " }
      return [
        "  " + phase.phase, phase.seconds.map { fixed($0, 2) } ?? "?",
        (perMillion ?? "") + phase.origin.rawValue,
      ]
    }
    return rows + [["  all", phases.sum().map { fixed($0, 2) } ?? "?", ""]]
  }

  private func text(_ limit: Limit) -> String {
    let seconds = "the file allows \(limit.work) \(shortest(limit.seconds)) s"
    switch limit.fits {
    case nil: return "  \(seconds); how much text there is says --data"
    case true?: return "  \(seconds): it fits"
    case false?:
      return limit.work == "training"
        ? "  \(seconds): it ends in time, after the steps above"
        : "  \(seconds): it does not fit, a run would stop it and fail"
    }
  }

  private var artifactRows: [[String]] {
    func row(_ name: String, _ bytes: Interval) -> [String] {
      ["  " + name] + [bytes.low, bytes.expected, bytes.high].map { grouped(Int($0.rounded())) }
    }
    let text = Double(artifact.frame)
    return [["  ", "low", "expected", "high"]]
      + artifact.groups.map { row($0.name, $0.bytes) }
      + [row("graph text and container", Interval(text, text, text)), row("all", artifact.bytes)]
  }

  private var budgetText: String {
    guard let room = artifact.room else { return "the file declares no budget" }
    let budget = "the budget has room for \(grouped(room)): "
    switch verdict {
    case .none, .fits: return budget + "it fits"
    case .uncertain: return budget + "it may not fit"
    case .infeasible: return budget + "no training makes it fit"
    }
  }
}
