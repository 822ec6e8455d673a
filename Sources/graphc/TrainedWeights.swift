// SPDX-License-Identifier: Apache-2.0
// Weights that were trained before, and the model that they were trained for.

import Formats
import IR
import Language
import Runtime

/// The weights of a run's newest checkpoint, of one checkpoint, or of a safetensors file.
struct TrainedWeights {
  private enum Source {
    case checkpoint(Checkpoint)
    case file(WeightsFile)
  }

  private let path: String
  private let source: Source
  /// The run that a checkpoint belongs to.
  private let manifest: RunManifest?

  init(_ path: String) throws {
    self.path = path
    guard Folder.isFolder(path) else {
      source = .file(try WeightsFile(path))
      manifest = nil
      return
    }
    let checkpoints = path + "/checkpoints"
    if Folder.isFolder(checkpoints) {
      let (latest, warnings) = try Checkpoint.latest(in: checkpoints)
      for warning in warnings { printError("warning: \(warning)") }
      guard let latest else {
        throw FormatError(.notFound, file: path, "the run has no checkpoint yet")
      }
      source = .checkpoint(latest)
      manifest = try RunManifest.read(in: path)
    } else {
      source = .checkpoint(try Checkpoint.open(path))
      manifest = try RunManifest.read(in: path + "/../..")
    }
  }

  /// The seed of the run; nil for a file.
  var seed: UInt64? { manifest?.declaration.seed }

  /// The model of a file, or that of the run with the arguments of --preset and --set behind its own.
  func model(graph: String?, options: ModelOptions) throws -> Model {
    if let graph { return try loadModel(graph, choices: options.choices()) }
    guard let manifest else {
      throw Failure.usage("\(path) does not say what model it is of; give --graph")
    }
    let (files, preset, overrides, _) = manifest.declaration
    if let main = files.first {
      if Plan.isPlan(main.text) {
        throw Failure.usage("\(path) was run from a plan; give its .graph file with --graph")
      }
      return try elaborate(
        files: files, preset: options.preset ?? preset, overrides: overrides + options.overrides)
    }
    guard let core = manifest.texts[RunManifest.coreName] else {
      throw FormatError(.notFound, file: path, "the run's graph is not here; give --graph")
    }
    if let first = try options.choices().first {
      throw Failure.usage("\(first): the run was started from core text, which has no consts")
    }
    return try Model.parse(path: path + "/" + RunManifest.coreName, text: core)
  }

  /// Whether the weights are an average over training.
  func isAverage(_ model: Model) throws -> Bool {
    guard case .checkpoint(let checkpoint) = source else { return false }
    let states = try checkpoint.tensors("states")
    return model.graph.parameters.contains { states[Parameter.averagePath(of: $0.path)] != nil }
  }

  /// The weights in the layout of a model.
  func weights(_ model: Model) throws -> ParameterBlock {
    let layout = ParameterLayout(model.graph.parameters)
    switch source {
    case .checkpoint(let checkpoint):
      return try ParameterBlock(exportedFrom: checkpoint, layout: layout)
    case .file(let file):
      let block = try ParameterBlock(layout: layout)
      _ = try file.load(into: block)
      return block
    }
  }
}
