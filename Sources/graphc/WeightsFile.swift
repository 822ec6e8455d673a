// SPDX-License-Identifier: Apache-2.0
// Weights of a graph from a safetensors file.

import Formats
import IR
import Runtime

/// A safetensors file of weights, matched to parameters with or without the suffix `.weight`.
struct WeightsFile {
  private let path: String
  private let tensors: [String: TensorBlob]

  init(_ path: String) throws {
    self.path = path
    tensors = try SafeTensors.read(path)
  }

  /// Fills a block and returns the file's name of each parameter. Everything must match exactly.
  func load(into parameters: ParameterBlock) throws -> [String: String] {
    var names: [String: String] = [:]
    let paths = parameters.layout.entries.map(\.parameter.path)
    for entry in parameters.layout.entries {
      let (path, shape) = (entry.parameter.path, entry.parameter.type.sizes)
      let name = tensors[path] != nil ? path : path + ".weight"
      guard let tensor = tensors[name] else {
        let hint = suggestion(for: path, among: Array(tensors.keys)).map { "; " + $0 } ?? ""
        throw FormatError(
          .corrupt, file: path == "" ? nil : self.path, "no tensor named \(path)\(hint)")
      }
      guard tensor.shape == shape else {
        throw FormatError(
          .corrupt, file: self.path, field: name,
          "shape \(tensor.shape), the graph declares \(shape); check --set")
      }
      let values = try tensor.floats()
      if let index = values.firstIndex(where: { !$0.isFinite }) {
        throw FormatError(.corrupt, file: self.path, field: name, "element \(index) is not finite")
      }
      _ = parameters[path]!.update(from: values)
      names[path] = name
    }
    let known = Set(names.values)
    if let extra = tensors.keys.sorted().first(where: { !known.contains($0) }) {
      let hint = suggestion(for: extra, among: paths).map { "; " + $0 } ?? ""
      throw FormatError(
        .corrupt, file: path, field: extra, "the graph has no such parameter\(hint)")
    }
    return names
  }
}
