// SPDX-License-Identifier: Apache-2.0
// Rules of sections against the params of the model: every rule matches and wins somewhere, every
// param is trained, and every start lies inside of training.

import IR

extension ModelChecks {
  mutating func checkSections(_ sections: SectionReader) {
    let settings = sections.settings
    if let train = settings.train {
      checkRules(train.optimizers.map { ($0.target, $0.target.optimizerText, $0.location) })
      checkOptimizers(
        train.optimizers, of: parameters, missing: "is never trained", advice: "add: optimizer")
    }
    if let quantize = settings.quantize {
      checkRules(quantize.rules.map { ($0.target, $0.target.text, $0.location) })
      diagnostics += quantize.unstorable(parameters)
    }
    if let ttt = settings.ttt {
      checkRules(ttt.optimizers.map { ($0.target, $0.target.optimizerText, $0.location) })
      let scales = zip(ttt.scales, sections.scalePlaces)
      checkRules(scales.map { (.glob($0.glob), "\"\($0.glob.pattern)\"", $1) })
      for (glob, place) in zip(ttt.frozen, sections.freezePlaces)
      where !parameters.contains(where: { glob.matches($0.path) }) {
        reportNoMatch("\"\(glob.pattern)\"", at: place)
      }
      let adapted = parameters.filter { parameter in
        !ttt.frozen.contains { $0.matches(parameter.path) }
      }
      checkOptimizers(
        ttt.optimizers, of: adapted, missing: "is not updated",
        advice: "freeze it, or add: optimizer")
      if adapted.isEmpty {
        report(
          .emptyWindow, "all params are frozen, so ttt would change nothing",
          at: sections.freezePlaces.first)
      }
    }
  }

  /// The last matching rule wins; one that matches nothing or never wins has no effect.
  private mutating func checkRules(
    _ rules: [(target: Target, text: String, place: SourceLocation?)]
  ) {
    var matches = [Int](repeating: 0, count: rules.count)
    var wins = [Int](repeating: 0, count: rules.count)
    for parameter in parameters {
      var winner: Int?
      for (index, rule) in rules.enumerated()
      where rule.target.matches(
        path: parameter.path, group: parameter.group, elements: parameter.type.count)
      {
        matches[index] += 1
        winner = index
      }
      if let winner { wins[winner] += 1 }
    }
    for (index, rule) in rules.enumerated() {
      if matches[index] == 0 {
        reportMissing(rule.target, rule.text, at: rule.place)
      } else if wins[index] == 0, !rule.target.isNet {
        report(
          .neverWins, "\(rule.text) never wins: later rules apply to all params it matches",
          at: rule.place, suggestion: "remove it, or put it behind the others")
      }
    }
  }

  private mutating func reportMissing(_ target: Target, _ text: String, at place: SourceLocation?) {
    guard case .group(let name) = target else { return reportNoMatch(text, at: place) }
    let groups = Set(parameters.map(\.group)).sorted()
    report(
      .matchesNothing, "no param is in the group '\(name)'", at: place,
      suggestion: suggestion(for: name, among: groups)
        ?? "the groups are \(groups.joined(separator: ", "))")
  }

  private mutating func checkOptimizers(
    _ optimizers: [OptimizerEntry], of parameters: [Parameter], missing: String, advice: String
  ) {
    var untrained: Set<String> = []
    for parameter in parameters {
      let winner = optimizers.lastMatch(
        path: parameter.path, group: parameter.group, elements: parameter.type.count
      ) { $0.target }
      let place = runs[0].paramPlaces[parameter.path]
      guard let winner else {
        // One message a group: its members need the same rule.
        if untrained.insert(parameter.group).inserted {
          report(
            .missingEntry, "'\(parameter.path)' \(missing): no optimizer matches it", at: place,
            suggestion: "\(advice) \(parameter.group) …")
        }
        continue
      }
      if case .muon = winner.rule, parameter.type.rank != 2 {
        report(
          .wrongKind, "muon updates matrices, '\(parameter.path)' is \(parameter.type)",
          at: winner.location,
          notes: place.map { [.init("the param is declared here", at: $0)] } ?? [])
      }
    }
  }

  // MARK: Starts

  /// Every start lies where training still has steps, and there is something to switch on.
  mutating func checkSchedule(_ variants: [Variant], _ sections: SectionReader) {
    let settings = sections.settings
    if case .on(_, let start) = settings.qat {
      let place = sections.places["qat"]
      checkStart(start, "qat", settings.train, at: place)
      let isQuantised = settings.quantize?.rules.contains { rule in
        if case .int = rule.precision { true } else { false }
      }
      if isQuantised != true {
        report(
          .emptyWindow, "qat has nothing to round: no rule of 'quantize' is an integer precision",
          at: place)
      }
    }
    for loaded in program.items {
      guard case .variant(let name, _, _, _, _) = loaded.item.kind,
        let start = variants.first(where: { $0.name == name.text })?.start
      else { continue }
      let place = program.location(name.position, in: loaded.path)
      checkStart(start, "the variant '\(name.text)'", settings.train, at: place)
    }
  }

  private mutating func checkStart(
    _ start: ScheduleStart, _ what: String, _ train: TrainSettings?, at place: SourceLocation?
  ) {
    guard let train else {
      report(
        .emptyWindow, "\(what) begins in training, and there is no 'train' section", at: place)
      return
    }
    switch start {
    case .start, .training: break
    case .warmdown where train.warmdown == nil:
      report(.emptyWindow, "\(what) waits for a warmdown that 'train' does not have", at: place)
    case .rateBelow(let multiplier):
      if train.warmdown == nil || multiplier <= train.floor {
        let lowest = train.warmdown == nil ? 1 : train.floor
        report(
          .emptyWindow,
          "\(what) would never begin: the rate's multiplier stays at or above \(shortest(lowest))",
          at: place)
      }
    case .warmdown: break
    }
  }
}

extension Target {
  /// Whether the target catches what no other rule names; being overruled everywhere is no mistake.
  fileprivate var isNet: Bool {
    switch self {
    case .default, .atMost: true
    case .group, .glob: false
    }
  }
}
