// SPDX-License-Identifier: Apache-2.0
// Rules of sections against the params of the model: every rule matches and wins somewhere, and every
// param is trained. When features are live is checked in ScheduleChecks.swift.

import IR

extension ModelChecks {
  mutating func checkSections(_ sections: SectionReader) {
    let settings = sections.settings
    if let train = settings.train {
      checkRules(train.optimizers)
      checkOptimizers(
        train.optimizers, of: parameters, missing: "is never trained", advice: "add: optimizer")
      checkRates(train.optimizers)
    }
    if let quantize = settings.quantize {
      checkRules(quantize.rules, mayBeOverruled: \.isNet)
      diagnostics += quantize.unstorable(parameters)
    }
    if let ttt = settings.ttt { checkTTT(ttt) }
  }

  private mutating func checkTTT(_ ttt: TTTSettings) {
    for freeze in ttt.frozen where !parameters.contains(where: freeze.matches) {
      reportNoMatch(freeze.targetText, at: freeze.location)
    }
    let adapted = parameters.filter { !ttt.isFrozen($0.path) }
    // Where everything is frozen no rule can win; that is one error, not one for each.
    let winning = adapted.isEmpty ? nil : adapted
    checkRules(ttt.optimizers, winning: winning, mayBeOverruled: { _ in adapted.isEmpty })
    checkRules(ttt.scales, winning: winning, mayBeOverruled: { _ in adapted.isEmpty })
    if adapted.isEmpty {
      report(
        .emptyWindow, "all params are frozen, so ttt would change nothing",
        at: ttt.frozen.first?.location)
    }
    checkOptimizers(
      ttt.optimizers, of: adapted, missing: "is not updated",
      advice: "freeze it, or add: optimizer")
  }

  /// The last matching rule wins; one that matches nothing or never wins has no effect.
  ///
  /// `winning` are the params that a rule can win; nil: all of them.
  private mutating func checkRules<Rule: TargetedRule>(
    _ rules: [Rule], winning: [Parameter]? = nil,
    mayBeOverruled: (Target) -> Bool = { _ in false }
  ) {
    let winners = Set(rules.winners(winning ?? parameters).values)
    for (index, rule) in rules.enumerated() where !winners.contains(index) {
      let matched = parameters.filter(rule.matches)
      if matched.isEmpty {
        reportMissing(rule.target, rule.targetText, at: rule.location)
      } else if let winning, Set(winning).isDisjoint(with: matched) {
        report(
          .neverWins, "all params that \(rule.targetText) matches are frozen", at: rule.location)
      } else if !mayBeOverruled(rule.target) {
        report(
          .neverWins, "\(rule.targetText) never wins: later rules apply to all params it matches",
          at: rule.location, suggestion: "remove it, or put it behind the others")
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
      let winner = optimizers.winner(parameter)
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
      if winner.rule.op == .muonUpdate, parameter.type.rank != 2 {
        report(
          .wrongKind, "muon updates matrices, '\(parameter.path)' is \(parameter.type)",
          at: winner.location,
          notes: place.map { [.init("the param is declared here", at: $0)] } ?? [])
      }
    }
  }

  /// A rate of 0 is a control in `ttt`; in training it would leave params as they started, unsaid.
  private mutating func checkRates(_ optimizers: [OptimizerEntry]) {
    for entry in optimizers where entry.rule.lr == 0 {
      report(
        .emptyWindow,
        "optimizer \(entry.target.optimizerText) has lr 0: its params would stay as they start",
        at: entry.location, suggestion: "give it a rate above 0")
    }
  }
}
