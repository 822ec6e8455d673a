// SPDX-License-Identifier: Apache-2.0
// Checks that need the whole model: nothing declared is unread, no rule is without effect, no
// product of two zeros, and what `expect` says holds.

import IR

struct ModelChecks {
  let program: Program
  let constants: [Constant]
  let runs: [Elaborator]
  let log: ReadLog
  var diagnostics: [Diagnostic] = []
  var warnings: [Diagnostic] = []

  init(program: Program, constants: [Constant], runs: [Elaborator], log: ReadLog) {
    (self.program, self.constants, self.runs, self.log) = (program, constants, runs, log)
  }

  var parameters: [Parameter] { runs[0].builder.graph.parameters }

  mutating func report(
    _ code: DiagnosticCode, _ message: String, at place: SourceLocation?,
    suggestion: @autoclosure () -> String? = nil, notes: [Diagnostic.Note] = []
  ) {
    guard diagnostics.count < Diagnostics.limit else { return }
    diagnostics.append(
      Diagnostic(code, message, at: place, notes: notes, suggestion: suggestion()))
  }

  mutating func run(variants: [Variant], sections: SectionReader) {
    checkReads(sections.used)
    checkInitials(sections.initialRules)
    checkSections(sections)
    for run in runs { checkProducts(run.builder.graph, run) }
    checkExpectations(sections)
    if sections.used.contains(.train) { checkSchedule(variants, sections) }
  }

  // MARK: Reads

  private mutating func checkReads(_ sections: Set<SectionName>) {
    var usage = NameUsage(evaluated: sections)
    for file in program.files { usage.add(file) }
    let read = usage.names.union(log.names)
    for constant in constants where !read.contains(constant.name) {
      report(
        .unread, "nobody reads the const '\(constant.name)'", at: constant.location,
        suggestion: "remove it, or use it")
    }
    for (_, block) in program.blocks.sorted(by: { $0.key < $1.key }) {
      var inner = NameUsage(evaluated: sections)
      for statement in block.body.statements { inner.add(statement) }
      for option in block.body.statements.flatMap(\.declaredOptions)
      where !inner.names.contains(option.text) {
        report(
          .unread, "nobody reads the option '\(option.text)' of \(block.name.text)",
          at: program.location(option.position, in: block.path))
      }
    }
    checkPartsAndParams()
  }

  private mutating func checkPartsAndParams() {
    // A param or part may serve one variant only.
    var silent: Set<String> = []
    let first = runs[0]
    for (index, instance) in first.instances.enumerated() {
      let isUsed = runs.contains { run in
        index < run.instances.count
          && (run.instances[index].isCalled || run.instances[index].isRead)
      }
      if isUsed || isInside(silent, instance.path) { continue }
      silent.insert(instance.path)
      report(
        .unread, "the part '\(instance.path)' is never called", at: instance.place,
        suggestion: "call it, or remove it")
    }
    var isRead = [Bool](repeating: false, count: parameters.count)
    for run in runs {
      let counts = run.builder.graph.useCounts()
      for (index, value) in run.builder.graph.parameterValues.enumerated()
      where counts[value.index] > 0 && index < isRead.count {
        isRead[index] = true
      }
    }
    for (index, parameter) in parameters.enumerated() where !isRead[index] {
      if isInside(silent, parameter.path) { continue }
      report(
        .unread, "nobody reads the param '\(parameter.path)'",
        at: first.paramPlaces[parameter.path],
        suggestion: "it would be trained and stored for nothing")
    }
  }

  /// Whether a path leads into one of the parts.
  private func isInside(_ parts: Set<String>, _ path: String) -> Bool {
    path.indices.contains { path[$0] == "." && parts.contains(String(path[..<$0])) }
  }

  private mutating func checkInitials(_ rules: [InitialRule]) {
    for (index, rule) in rules.enumerated() {
      let matched = runs.contains { $0.initialMatches.contains(index) }
      let won = runs.contains { $0.initialWinners.contains(index) }
      if !matched {
        reportNoMatch("\"\(rule.glob.pattern)\"", at: rule.location)
      } else if !won {
        report(
          .neverWins, "this rule never wins: later ones apply wherever it does", at: rule.location)
      }
    }
  }

  mutating func reportNoMatch(_ target: String, at place: SourceLocation?) {
    let pattern = target.filter { $0 != "\"" }
    let paths = parameters.map(\.path)
    let few = paths.prefix(4).joined(separator: ", ") + (paths.count > 4 ? ", …" : "")
    report(
      .matchesNothing, "\(target) matches no param", at: place,
      suggestion: suggestion(for: pattern, among: paths)
        ?? "the params are \(few)"
    )
  }

  // MARK: Zero products

  /// Two factors that both start at zero have zero gradients: neither would ever move.
  private mutating func checkProducts(_ graph: Graph, _ run: Elaborator) {
    var isZero = [Bool](repeating: false, count: graph.values.count)
    for (parameter, value) in zip(graph.parameters, graph.parameterValues) {
      switch parameter.initial {
      case .zeros: isZero[value.index] = true
      case .constant(let constant): isZero[value.index] = constant == 0
      case .rows(let values): isZero[value.index] = values.allSatisfy { $0 == 0 }
      default: break
      }
    }
    for node in graph.nodes {
      let zeros = node.operands.map { isZero[$0.index] }
      switch node.op.definition.zero {
      case .unknown: break
      case .operand(let index): isZero[node.result.index] = zeros[index]
      case .sum: isZero[node.result.index] = zeros[0] && zeros[1]
      case .product:
        if zeros[0], zeros[1] {
          let place = SourceLocation(node.location)
          let names = node.operands.map { "'\(graph.name($0))'" }
          report(
            .zeroProduct, "both factors start at zero: \(names.joined(separator: " and "))",
            at: place, suggestion: "start one of them away from zero, or neither will train")
        }
        isZero[node.result.index] = zeros[0] || zeros[1]
      }
    }
  }

  // MARK: Expectations

  /// Expectations are about the file as written; with `--set` it is another model.
  private mutating func checkExpectations(_ sections: SectionReader) {
    guard !constants.contains(where: { $0.origin == .flag }) else { return }
    let count = runs[0].builder.graph.parameterCount
    guard let expected = sections.settings.expect.parameters, expected != count else { return }
    let difference = "\(abs(count - expected)) \(count > expected ? "more" : "fewer")"
    diagnostics.append(
      Diagnostic(
        .expectation,
        "the model has \(count) parameters, \(difference) than the \(expected) expected",
        at: sections.places["parameters"]))
  }
}
