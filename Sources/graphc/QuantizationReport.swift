// SPDX-License-Identifier: Apache-2.0
// What quantising did: sizes, damage and scores, for the terminal and as JSON.

import Formats
import IR
import Runtime

/// The result of `graphc quantize`.
struct QuantizationReport {
  let artifact: Report.ArtifactFile
  let isAverage: Bool
  let packed: Packing.Packed
  let scores: EvaluationScores
  /// In the order of the model.
  let tensors: [StoredTensorReport]

  var json: JSONValue {
    [
      "schema": "graphc-quantize/1",
      "artifact": [
        "bytes": .int(artifact.bytes), "path": .string(artifact.path),
        "code_bytes": .int(artifact.codeBytes),
      ],
      "predicted_bytes": packed.predictedBytes.map(JSONValue.int) ?? .null,
      "average": .bool(isAverage),
      "calibration_tokens": packed.moments.map { .int($0.tokens) } ?? .null,
      "eval": scores.json, "tensors": .array(tensors.map(\.json)),
      "warnings": .array(packed.remarks.map(JSONValue.string)),
    ]
  }

  /// Lines for a terminal; with `table` one a param.
  func text(table: Bool, isPartial: Bool) -> String {
    var lines: [String] = []
    if table {
      let rows = tensors.map { tensor in
        [
          tensor.path, tensor.shape, tensor.precision, grouped(tensor.bytes),
          fixed(tensor.bitsPerWeight, 2), percent(tensor.weightError),
          tensor.outputError.map(percent) ?? "",
        ]
      }
      let head = ["param", "shape", "stored as", "bytes", "bits", "weights", "outputs"]
      lines += [
        textTable([head] + rows, right: [3, 4, 5, 6]),
        "Bytes and bits a weight by the entropy of codes; relative errors of weights, and of what they make "
          + "of training text.", "",
      ]
    }
    let report = Report(precision: .f32, artifact: artifact, scores: scores)
    lines.append(report.scoreTable(isPartial: isPartial))
    lines.append(
      "\(grouped(artifact.bytes)) bytes in \(artifact.path)"
        + (packed.predictedBytes.map { ", predicted \(grouped($0))" } ?? ""))
    lines.append(
      isAverage
        ? "The average over training was stored." : "The last weights of training were stored.")
    return lines.joined(separator: "\n")
  }
}

extension StoredTensorReport {
  fileprivate var json: JSONValue {
    [
      "path": .string(path), "shape": .string(shape), "precision": .string(precision),
      "bytes": .int(bytes), "bits_per_weight": .double(bitsPerWeight),
      "weight_error": .double(weightError),
      "output_error": outputError.map(JSONValue.double) ?? .null,
    ]
  }
}

private func percent(_ part: Double) -> String { fixed(100 * part, 2) + " %" }
