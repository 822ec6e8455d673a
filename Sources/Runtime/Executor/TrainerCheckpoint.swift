// SPDX-License-Identifier: Apache-2.0
// All state of a resume: what a trainer saves in a checkpoint, and how it continues from one.

import Formats
import IR

extension Trainer {
  /// All tensors of a resume, by file.
  public func savedTensors() -> [String: [String: TensorBlob]] {
    var weights: [String: TensorBlob] = [:]
    for entry in parameters.layout.entries {
      let path = entry.parameter.path
      weights[path] = TensorBlob(Array(parameters[path]!), shape: entry.parameter.type.sizes)
    }
    var states: [String: TensorBlob] = [:]
    for state in holder.function.states {
      states[state.path] = TensorBlob(Array(holder.state(state.path)!), shape: state.type.sizes)
    }
    return ["parameters": weights, "states": states]
  }

  /// Counters of a resume.
  public func savedCounters() -> JSONValue {
    [
      "step": .int(moment.step), "seconds": .double(moment.seconds), "rows": .int(reader.position),
      "variant": .int(moment.variant), "variant_step": .int(moment.variantStep),
      "snapshots": .int(snapshots), "live": report.saved,
    ]
  }

  /// Continues where a checkpoint stands.
  public func restore(_ checkpoint: Checkpoint) throws {
    let counters = checkpoint.metadata["trainer"]
    guard let step = counters?["step"]?.intValue, let seconds = counters?["seconds"]?.doubleValue,
      let rows = counters?["rows"]?.intValue, step >= 0, rows >= 0,
      let saved = counters?["live"]?.arrayValue
    else {
      throw FormatError(
        .corrupt, file: checkpoint.path, field: "trainer", "step, seconds, rows or live is missing")
    }
    let weights = try checkpoint.tensors("parameters")
    for entry in parameters.layout.entries {
      try restore(entry.parameter.path, weights, to: parameters[entry.parameter.path]!, checkpoint)
    }
    let states = try checkpoint.tensors("states")
    for state in holder.function.states {
      try restore(state.path, states, to: holder.state(state.path)!, checkpoint)
    }
    moment = TrainingMoment(step: step, seconds: seconds)
    moment.variant = counters?["variant"]?.intValue ?? 0
    moment.variantStep = counters?["variant_step"]?.intValue ?? 0
    reader.restore(position: rows)
    snapshots = counters?["snapshots"]?.intValue ?? 0
    report.restore(saved)
  }

  private func restore(
    _ path: String, _ tensors: [String: TensorBlob], to values: UnsafeMutableBufferPointer<Float>,
    _ checkpoint: Checkpoint
  ) throws {
    guard let tensor = tensors[path], tensor.count == values.count else {
      throw FormatError(
        .corrupt, file: checkpoint.path, field: path,
        "missing or of another size than in the graph; resume with the graph of the run")
    }
    _ = values.update(from: try tensor.floats())
  }
}
