// SPDX-License-Identifier: Apache-2.0
// What several commands share: reading a model or plan, --set, threads, and the machine.

import ArgumentParser
import Formats
import Foundation
import IR
import Language
import Passes
import Runtime

/// Options of commands that read a .graph file.
struct ModelOptions: ParsableArguments {
  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp("Replace a const of the file.", valueName: "const=value"))
  var overrides: [String] = []

  @Option(help: "Take the consts of a preset of the file; --set replaces some of them.")
  var preset: String?

  /// What was chosen.
  func choices() throws -> Choices {
    Choices(
      preset: preset,
      constants: try texts().map { try ConstantOverride(flag: $0.name, text: $0.text) })
  }

  /// Overrides as they were written.
  func texts() throws -> [(name: String, text: String)] {
    try overrides.map { text in
      guard let split = text.firstIndex(of: "="), split != text.startIndex else {
        throw Failure.usage("--set takes const=value, found '\(text)'")
      }
      return (String(text[..<split]), String(text[text.index(after: split)...]))
    }
  }
}

/// Reads a text file; `-` is standard input.
func readText(_ path: String) throws -> String {
  let bytes = path == "-" ? try readStandardInput() : try readFile(path)
  guard let text = String(validating: bytes, as: UTF8.self) else {
    throw FormatError(.corrupt, file: path, "the file is not UTF-8 text")
  }
  return text
}

/// Elaborates a .graph file (or core text) with overrides; warnings go to stderr.
///
/// `text` is given where the file was read before: standard input can be read once.
func loadModel(
  _ path: String, text: String? = nil, choices: Choices = .init(),
  used: Set<SectionName> = SectionName.all
) throws -> Model {
  let text = try text ?? readText(path)
  let model = try elaborate(
    file: SourceFile(path: path, text: text), includes: { try readText($0) }, choices: choices,
    used: used)
  for warning in model.warnings {
    printError(warning.rendered(sources: model.sources).trimmingEnd())
  }
  return model
}

/// The model of a graph's files, read from no other place, the main one first, with arguments of --preset and
/// --set.
func elaborate(
  files: [SourceFile], preset: String?, overrides: [String]
) throws -> Model {
  var options = ModelOptions()
  (options.preset, options.overrides) = (preset, overrides)
  return try elaborate(
    file: files[0],
    includes: { path in
      guard let file = files.first(where: { names(on: $0.path) == names(on: path) }) else {
        throw FormatError(.notFound, file: path, "the manifest names no such file")
      }
      return file.text
    }, choices: try options.choices())
}

/// The names on a path, without `.` and `..`.
private func names(on path: String) -> [Substring] {
  path.split(separator: "/").reduce(into: []) { names, name in
    if name == ".." { _ = names.popLast() } else if name != "." { names.append(name) }
  }
}

/// The machine this process runs on. Initialises the kernels.
enum Host {
  nonisolated(unsafe) private static var isReady = false

  /// With `allowsMissing` a limit that this machine does not reach leaves it what it has.
  static func machine(allowsMissing: Bool = false) throws -> TargetMachine {
    if !isReady {
      try checkVariables(allowsMissing: allowsMissing)
      Machine.initialise()
      isReady = true
    }
    return TargetMachine(machine: Machine.name, isa: Machine.isa)
  }

  /// A misspelt choice must not pass for the choice of nothing.
  private static func checkVariables(allowsMissing: Bool) throws {
    let variables = ProcessInfo.processInfo.environment
    if let isa = variables["GRAPHC_ISA"], !isa.isEmpty {
      let here = Machine.availableISAs.joined(separator: ", ")
      guard Machine.knownISAs.contains(isa) else {
        throw Failure.usage(
          "GRAPHC_ISA=\(isa): known are \(Machine.knownISAs.joined(separator: ", ")); this machine "
            + "has \(here)")
      }
      guard allowsMissing || Machine.availableISAs.contains(isa) else {
        throw Failure.usage("GRAPHC_ISA=\(isa): this machine lacks it and has \(here)")
      }
    }
    if let gemm = variables["GRAPHC_GEMM"], !gemm.isEmpty, !Machine.knownGEMMs.contains(gemm) {
      throw Failure.usage(
        "GRAPHC_GEMM=\(gemm): known are \(Machine.knownGEMMs.joined(separator: ", "))")
    }
  }

  /// This machine with the precision that was asked for.
  static func target(_ precision: PrecisionChoice = .auto) throws -> TargetMachine {
    var machine = try machine()
    machine.compute = try precision.resolved()
    return machine
  }
}

/// Compiles a model, or reads a plan that was compiled before.
func loadPlan(
  _ path: String, choices: Choices, compute: PrecisionChoice = .auto
) throws -> Plan {
  let text = try readText(path)
  let host = try Host.target(compute)
  guard Plan.isPlan(text) else {
    let model = try loadModel(path, text: text, choices: choices)
    return try compile(model, target: host)
  }
  if let first = choices.first {
    throw Failure.usage(
      "\(first): \(path) is a plan, its sizes are fixed; compile the graph again with it")
  }
  let plan = try Plan.parse(path: path, text: text, compile: compile(_:target:))
  if compute != .auto, plan.target.compute != host.compute {
    throw Failure.usage(
      "--precision \(compute.rawValue): \(path) was compiled for \(plan.target.compute.rawValue); "
        + "compile the graph again with --precision \(compute.rawValue)")
  }
  if plan.target.machine != host.machine {
    throw Failure.usage(
      "\(path) was compiled for \(plan.target.machine) (\(plan.target.isa)), this machine is "
        + "\(host.machine); compile the graph again here")
  }
  if !Machine.supports(isa: plan.target.isa) {
    throw Failure.usage(
      "\(path) was compiled for \(plan.target.isa), this machine has \(host.isa); compile the graph "
        + "again here")
  }
  return plan
}
