// SPDX-License-Identifier: Apache-2.0
// graphc dump: what is inside a graph, a plan or an artifact.

import ArgumentParser
import Formats
import IR
import Language
import Passes
import Runtime

struct DumpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump",
    abstract: "Show what is inside a graph, a plan or an artifact.",
    discussion: """
      Without --as a graph is printed in core form, a plan as itself, an artifact as a table of its \
      tensors. safetensors writes an artifact's weights, dequantised, under their parameter paths.

      Example: graphc dump runs/tiny/artifact.gca --as safetensors -o weights.safetensors
      """)

  enum Form: String, ExpressibleByArgument, CaseIterable { case core, plan, table, safetensors }

  @Argument(help: "A .graph file, a plan, or an artifact.")
  var file: String

  @Option(name: .customLong("as"), help: "core, plan, table or safetensors.")
  var form: Form?

  @Option(name: .shortAndLong, help: "Write to this file; - is standard output.")
  var output: String?

  @OptionGroup var model: ModelOptions

  mutating func run() throws {
    if file != "-", try ArtifactContainer.isArtifact(file) { return try dumpArtifact() }
    let text = try readText(file)
    if Plan.isPlan(text) {
      try refuseOverrides("a plan")
      let plan = try Plan.parse(path: file, text: text, compile: compile(_:target:))
      return try dump(plan.model, as: form ?? .plan) { plan }
    }
    let model = try loadModel(file, text: text, choices: self.model.choices())
    try dump(model, as: form ?? .core) {
      try compile(model, target: Host.target())
    }
  }

  private func dump(_ model: Model, as form: Form, _ plan: () throws -> Plan) throws {
    switch form {
    case .core: try write(model.printed())
    case .plan: try write(plan().printed())
    case .table: try write(model.parameterTable + "\n")
    case .safetensors:
      throw Failure.usage("\(file) holds no weights; --as safetensors takes an artifact")
    }
  }

  private func dumpArtifact() throws {
    try refuseOverrides("an artifact")
    let packed = try PackedArtifact(file)
    let artifact = try packed.unpacked()
    switch form ?? .table {
    case .table: try write(table(artifact, packed))
    case .safetensors: try writeWeights(artifact)
    case let form:
      try dump(artifact.model, as: form) {
        try compile(artifact.model, target: Host.target())
      }
    }
  }

  private func refuseOverrides(_ what: String) throws {
    if let first = try model.choices().first {
      throw Failure.usage(
        "\(first): \(file) is \(what), its sizes are fixed; compile the graph again with it")
    }
  }

  private func write(_ text: String) throws {
    guard let output, output != "-" else { return try printOutput(text, terminator: "") }
    try AtomicFile.write(output, text)
  }

  // MARK: Artifacts

  private func writeWeights(_ artifact: Artifact) throws {
    guard let output, output != "-" else {
      throw Failure.usage("safetensors is binary; name a file for it with -o")
    }
    let block = try artifact.parameters()
    var tensors: [String: TensorBlob] = [:]
    for entry in block.layout.entries {
      let parameter = entry.parameter
      tensors[parameter.path] = TensorBlob(
        Array(block[parameter.path]!), shape: parameter.type.sizes)
    }
    try SafeTensors.write(output, tensors, metadata: ["model": artifact.model.name])
    printError("\(counted(tensors.count, "tensor")) in \(output)")
  }

  private func table(_ artifact: Artifact, _ packed: PackedArtifact) throws -> String {
    let (model, container) = (artifact.model, packed.container)
    let stored = container.groups.reduce(0) { $0 + $1.frame.count }
    let total = try OpenFile(file).count
    let paid = try packed.storedBytes()
    var lines = [
      "\(model.name): artifact version \(container.version), \(grouped(total)) bytes",
      "\(grouped(model.graph.parameterCount)) parameters in \(counted(artifact.tensors.count, "tensor")); "
        + "\(grouped(container.graph.count)) bytes of graph text, \(grouped(stored)) of weights, both compressed",
      "",
    ]
    var rows = [["tensor", "shape", "stored as", "bytes", "in the file", "bits a weight"]]
    for parameter in model.graph.parameters {
      guard let precision = artifact.tensors[parameter.path]?.precision else { continue }
      // Before compression.
      let bytes = precision.form.streams.reduce(0) { $0 + $1.bytes(of: parameter) }
      let share = paid[parameter.path] ?? 0
      rows.append([
        parameter.path, parameter.shapeText, precision.description, grouped(bytes),
        grouped(Int(share.rounded())), fixed(8 * share / Double(parameter.type.count), 3),
      ])
    }
    lines += [textTable(rows, right: [3, 4, 5]), ""]
    let groups = container.groups.map { [$0.name, $0.coder.name, grouped($0.frame.count)] }
    lines.append(textTable([["group", "coder", "compressed"]] + groups, right: [2]))
    return lines.joined(separator: "\n") + "\n"
  }
}

extension ArtifactContainer {
  /// Whether a file begins like an artifact.
  static func isArtifact(_ path: String) throws -> Bool {
    let file = try OpenFile(path)
    return try file.count >= magic.count && file.bytes(0..<magic.count) == magic
  }
}

extension Parameter {
  fileprivate var shapeText: String {
    "[" + type.shape.map(\.description).joined(separator: ", ") + "]"
  }
}

extension Model {
  /// Parameters with shape, group and stored form.
  fileprivate var parameterTable: String {
    let precision = precisionTable
    var rows = [["parameter", "shape", "group", "stored as"]]
    for parameter in graph.parameters {
      let rule = precision[parameter.path].map(String.init(describing:)) ?? "f32"
      rows.append([parameter.path, parameter.shapeText, parameter.group, rule])
    }
    return textTable(rows)
  }
}
