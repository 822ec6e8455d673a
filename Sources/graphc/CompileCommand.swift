// SPDX-License-Identifier: Apache-2.0
// graphc compile: graph to plan, with dumps of the IR and times of the passes.

import ArgumentParser
import Formats
import IR
import Language
import Passes
import Runtime

struct CompileCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compile",
    abstract: "Compile a graph to a plan, or show its IR.",
    discussion: """
      Example: graphc compile graphs/tiny.graph --dump-ir-after differentiate | less

      Passes: \(passes.joined(separator: ", ")). choose-precision, which needs trained weights, is \
      done here as if matrices were of normal numbers; 'graphc quantize' has it with weights.
      """)

  @Argument(help: "The .graph file, or - for standard input.")
  var file: String

  @Option(name: .shortAndLong, help: "Write the plan to this file; - is standard output.")
  var output: String?

  @OptionGroup var model: ModelOptions

  @OptionGroup var compute: PrecisionOptions

  @Flag(help: "Print the model in core form: what the passes begin with.")
  var dumpIr = false

  @Option(
    help: ArgumentHelp(
      "Print every function after this pass; 'all' prints it after each pass that changed it.",
      valueName: "pass"))
  var dumpIrAfter: [String] = []

  @Flag(help: "Print the processor time of every pass.")
  var timePasses = false

  private static let choice = Pass.choosePrecision([:]).name
  private static let passes = Pipeline.names + [choice]

  mutating func run() throws {
    for name in dumpIrAfter where name != "all" && !Self.passes.contains(name) {
      let names = Self.passes
      let hint = suggestion(for: name, among: names).map { "; " + $0 } ?? ""
      throw Failure.usage(
        "no pass is named '\(name)'\(hint). Passes: \(names.joined(separator: ", "))")
    }
    let start = processorTime()
    let model = try loadModel(file, choices: self.model.choices())
    let elaborated = processorTime()
    if dumpIr { try printOutput(model.printed(), terminator: "") }
    var runner = PassRunner()
    runner.clock = processorTime
    var previous: [String: String] = [:]
    var lost: (any Error)?
    let wanted = dumpIrAfter
    var dumped: Set<String> = []
    if !wanted.isEmpty {
      func show(_ pass: String, _ function: String, _ text: () -> String) {
        guard wanted.contains(pass) || wanted.contains("all") else { return }
        let text = text()
        defer { previous[function] = text }
        guard wanted.contains(pass) || previous[function] != text else { return }
        dumped.formUnion([pass, "all"])
        do {
          if lost == nil { try printOutput("# after \(pass)\n\(text)") }
        } catch { lost = error }
      }
      runner.observe = { pass, graph in show(pass, graph.name) { graph.printed() } }
      runner.observeStep = show
    }
    let target = try Host.target(compute.precision)
    let plan = try compile(model, target: target, runner: &runner)
    if let lost { throw lost }
    if wanted.contains(Self.choice), let table = try model.precisionByPrior() {
      dumped.insert(Self.choice)
      try printOutput(
        "# after \(Self.choice), by what trained weights are like: there are none yet\n"
          + Pass.choosePrecision(table).run(model.graph).printed())
    }
    if let shortage = try MemoryShortage.of(plan, { MemoryNeed.run($0, adapts: true) }) {
      printError("warning: the plan does not run here: \(shortage.description)")
    }
    for name in wanted where !dumped.contains(name) {
      printError(
        name == "all"
          ? "no pass ran: the file has no section that needs a function"
          : "\(name) ran on no function of this file")
    }
    if timePasses {
      let total = processorTime() - start
      printError(timeTable(runner.records, elaborate: elaborated - start, total: total))
    }
    if let output {
      let text = plan.printed()
      if output == "-" {
        try printOutput(text, terminator: "")
      } else {
        try AtomicFile.write(output, text)
      }
    }
    if output == nil, !dumpIr, dumpIrAfter.isEmpty {
      for function in plan.functions {
        let megabytes = Double(function.arenaBytes) / 1_000_000
        try printOutput(
          "\(function.name): \(function.body.count) calls, \(fixed(megabytes, 1)) MB of memory")
      }
    }
  }

  /// Processor time of every pass over all functions, slowest first, then that of every function.
  /// Starting the process and printing the plan do not count; `other` is mostly freeing graphs.
  private func timeTable(_ records: [PassRecord], elaborate: Double, total: Double) -> String {
    var seconds: [String: Double] = ["elaborate": elaborate]
    var functions: [String: Double] = [:]
    for record in records {
      seconds[record.pass, default: 0] += record.seconds
      functions["function " + record.function, default: 0] += record.seconds
    }
    seconds["other"] = total - seconds.values.reduce(0, +)
    func lines(_ seconds: [String: Double]) -> [String] {
      seconds.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { line($0.key, $0.value) }
    }
    func line(_ name: String, _ seconds: Double) -> String {
      padded(fixed(seconds * 1000, 2), 10) + " ms  " + name
    }
    return (lines(seconds) + [line("total", total)] + lines(functions)).joined(separator: "\n")
  }
}
