// SPDX-License-Identifier: Apache-2.0
// What a run was started with: enough for a stranger to start it again, and to see what differs.

import Formats
import Glibc
import IR
import Language

/// The manifest of a run, and the texts of its graph that the run directory keeps.
public struct RunManifest: Sendable {
  public static let schema = "graphc-manifest/1"
  public static let fileName = "manifest.json"
  public static let artifactName = "artifact.gca"
  public static let certificateName = "certificate.json"
  /// The model in core form, without places in files: the text whose hash is `graph`.
  public static let coreName = "graph.core"
  /// The folder of the graph's files, as they were read.
  public static let graphFolder = "graph"

  /// Members of manifest.json.
  public var members: [String: JSONValue]
  /// Texts by their path in the run directory.
  public var texts: [String: String]
  /// What was established of the model before it ran; written beside the manifest.
  public private(set) var certificate: JSONValue?

  public init(members: [String: JSONValue], texts: [String: String] = [:]) {
    (self.members, self.texts) = (members, texts)
  }

  /// Describes a run of `plan`; `preset` is the argument of --preset, `overrides` are those of every
  /// --set, as they were written.
  public init(
    _ plan: Plan, data: DataFolder, options: RunOptions, preset: String? = nil,
    overrides: [String], version: String
  ) throws {
    let core = plan.model.withoutLocations.printed()
    texts = [Self.coreName: core]
    let names = overrides.map { String($0.prefix { $0 != "=" }) }
    let files = Self.files(
      plan.model.sources.filter { source in
        !Model.isCore(source.text) && !names.contains { source.path == ConstantOverride.path($0) }
      })
    for file in files { texts[Self.graphFolder + "/" + file.path] = file.text }
    members = .init([
      .schema: .string(Self.schema), .kind: "run", .graphc: .string(version),
      .model: .string(plan.model.name),
      .graph: .string(SHA256.hex(core)),
      .training: .string(SHA256.hex(plan.model.forTraining.printed())),
      .preset: preset.map(JSONValue.string) ?? .null,
      .set: .array(overrides.map(JSONValue.string)),
      .consts: Self.json(plan.model.constants),
      // The first is the one to run.
      .sources: .array(
        files.map {
          [
            "path": .string(Self.graphFolder + "/" + $0.path),
            "sha256": .string(SHA256.hex($0.text)),
          ]
        }),
      .validation: .string(try data.evidence().validation?.content ?? ""),
      .data: .string(try data.evidence().content),
      .tokenizer: .string(data.tokenizer.sha256), .seed: .string("\(options.seed)"),
      .length: options.length.json, .ttt: .bool(options.adapts),
      .validationTokens: options.validationTokens.map(JSONValue.int) ?? .null,
      .machine: .string(Machine.name), .isa: .string(Machine.isa), .gemm: .string(Machine.gemm),
      .precision: .string(plan.target.compute.rawValue),
    ])
    try certify(plan.model)
  }

  /// Describes an evaluation of an artifact, whose file has the hash `artifact`.
  public init(
    evaluating plan: Plan, declared model: Model, artifact: String, options: EvaluationOptions,
    adapts: Bool, validationTokens: Int?, data: DataFolder, version: String
  ) throws {
    texts = [:]
    members = .init([
      .schema: .string(Self.schema), .kind: "eval", .graphc: .string(version),
      .model: .string(model.name), .graph: .string(SHA256.hex(model.printed())),
      .artifact: .string(artifact), .window: options.window.map(JSONValue.int) ?? .null,
      .stride: options.stride.map(JSONValue.int) ?? .null,
      .validation: .string(try data.evidence().validation?.content ?? ""),
      .tokenizer: .string(data.tokenizer.sha256), .ttt: .bool(adapts),
      .validationTokens: validationTokens.map(JSONValue.int) ?? .null,
      .machine: .string(Machine.name), .isa: .string(Machine.isa), .gemm: .string(Machine.gemm),
      .precision: .string(plan.target.compute.rawValue),
    ])
    try certify(model)
  }

  private mutating func certify(_ model: Model) throws {
    let certificate = try Certificate(of: model).json
    self.certificate = certificate
    texts[Self.certificateName] = certificate.prettyText + "\n"
  }

  /// Consts by their names.
  static func json(_ constants: [Constant]) -> JSONValue {
    .object(
      Dictionary(
        constants.map { ($0.name, .string($0.value.text)) }, uniquingKeysWith: { first, _ in first }
      ))
  }

  /// The text of manifest.json.
  public var text: String { JSONValue.object(members).prettyText + "\n" }

  /// Hash of the manifest, as the audit log begins with it.
  public var hash: String { SHA256.hex(JSONValue.object(members).text) }

  /// The graph's files as they were read, the main one first, with the run's --preset, every --set and seed.
  public var declaration:
    (
      files: [SourceFile], preset: String?, overrides: [String], seed: UInt64?
    )
  {
    let names = (members[.sources]?.arrayValue ?? []).compactMap { $0["path"]?.stringValue }
    return (
      names.compactMap { name in texts[name].map { SourceFile(path: name, text: $0) } },
      members[.preset]?.stringValue,
      (members[.set]?.arrayValue ?? []).compactMap(\.stringValue),
      members[.seed]?.stringValue.flatMap { UInt64($0) }
    )
  }

  /// What result.json repeats, so that it says by itself what was run.
  public var repeated: [String: JSONValue] {
    var repeated: [String: JSONValue] = [:]
    for field in Self.repeatedFields { repeated[field] = members[field] }
    return repeated
  }
  static let repeatedFields: [ManifestField] = [.model, .graph, .seed, .set, .validationTokens]

  /// The record that the audit log begins with.
  var genesis: AuditGenesis {
    AuditGenesis(manifest: hash, certificate: certificate.map { SHA256.hex($0.text) })
  }

  // MARK: Files

  /// The manifest of a run directory with its texts, as far as they are there; nil if it has none.
  public static func read(in directory: String) throws -> RunManifest? {
    let path = directory + "/" + fileName
    guard Folder.exists(path) else { return nil }
    guard let members = try JSONValue.parse(try readFile(path), file: path).objectValue else {
      throw FormatError(.corrupt, file: path, "a manifest is an object")
    }
    var texts: [String: String] = [:]
    let names = (members[.sources]?.arrayValue ?? []).compactMap { $0["path"]?.stringValue }
    for name in names + [coreName] where Folder.exists(directory + "/" + name) {
      texts[name] = String(decoding: try readFile(directory + "/" + name), as: UTF8.self)
    }
    return RunManifest(members: members, texts: texts)
  }

  /// Writes the texts, then the manifest: a directory that has one has everything that it names.
  func write(in directory: String) throws {
    try Folder.remove(directory + "/" + Self.graphFolder)
    for (name, text) in texts {
      try Folder.create(Folder.parent(of: directory + "/" + name))
      try AtomicFile.write(directory + "/" + name, text)
    }
    try AtomicFile.write(directory + "/" + Self.fileName, text)
  }

  /// Files under paths relative to the folder that holds all of them, the main file first.
  private static func files(_ sources: [SourceFile]) -> [(path: String, text: String)] {
    let paths = sources.map { parts(of: $0.path == "-" ? "stdin.graph" : $0.path) }
    guard var common = paths.first?.dropLast() else { return [] }
    for path in paths {
      let shared = zip(common, path.dropLast()).prefix { $0 == $1 }.count
      common = common.prefix(shared)
    }
    return zip(paths, sources).map {
      ($0.dropFirst(common.count).joined(separator: "/"), $1.text)
    }
  }

  /// The names on the way from the root, without `.` and `..`.
  private static func parts(of path: String) -> [Substring] {
    var absolute = path
    if !path.hasPrefix("/"), let current = getcwd(nil, 0) {
      absolute = String(cString: current) + "/" + path
      free(current)
    }
    var parts: [Substring] = []
    for part in absolute.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return parts
  }
}

extension TrainingLength {
  /// Reads the member `length` of a manifest.
  init(_ json: JSONValue?) {
    self.init(
      steps: json?["steps"]?.intValue, seconds: json?["seconds"]?.doubleValue,
      limit: json?["limit"]?.doubleValue)
  }

  /// Whether training goes on at least as long by all limits.
  func isAtLeast(_ other: TrainingLength) -> Bool {
    (steps ?? .max) >= (other.steps ?? .max)
      && (seconds ?? .infinity) >= (other.seconds ?? .infinity)
      && (limit ?? .infinity) >= (other.limit ?? .infinity)
  }

  /// The member `length` of a manifest.
  var json: JSONValue {
    var members: [String: JSONValue] = [
      "steps": steps.map(JSONValue.int) ?? .null,
      "seconds": seconds.map(JSONValue.double) ?? .null,
    ]
    if let limit { members["limit"] = .double(limit) }
    return .object(members)
  }
}
