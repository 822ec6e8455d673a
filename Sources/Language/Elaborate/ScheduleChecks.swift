// SPDX-License-Identifier: Apache-2.0
// When the features of training are live: every start lies where training has steps, and there is
// something to switch on. Where the file gives the length in steps, the schedule itself is asked.

import IR

extension ModelChecks {
  /// Every start lies where training still has steps, and there is something to switch on.
  mutating func checkSchedule(_ variants: [Variant], _ sections: SectionReader) {
    let settings = sections.settings
    let errors = diagnostics.count
    if case .on(_, let start) = settings.qat {
      let place = sections.places["qat"]
      checkStart(start, "qat", settings.train, at: place)
      checkRounded(settings.quantize, at: place)
    }
    if let train = settings.train, case .swa(_, let below) = train.average {
      checkStart(.rateBelow(below), "swa", train, at: sections.places["average"])
    }
    for variant in variants {
      guard let start = variant.start else { continue }
      checkStart(start, variant.described, settings.train, at: place(of: variant))
      checkCopies(variant, sections)
    }
    if let train = settings.train {
      let model = Model(name: "", variants: variants, settings: settings)
      if let error = model.sizesError(train) {
        report(
          .badVariant, error.message, at: place(of: error.variant) ?? sections.places["read"],
          suggestion: error.suggestion)
      }
    }
    // What never begins would only be reported again.
    guard let train = settings.train, diagnostics.count == errors else { return }
    checkSteps(train, variants, sections)
  }

  private func place(of variant: Variant) -> SourceLocation? {
    for loaded in program.items {
      guard case .variant(let syntax) = loaded.item.kind, syntax.name.text == variant.name else {
        continue
      }
      return program.location(syntax.name.position, in: loaded.path)
    }
    return nil
  }

  /// A copy finds as many params of the same shapes on either side.
  private mutating func checkCopies(_ variant: Variant, _ sections: SectionReader) {
    for (index, copy) in variant.copies.enumerated() {
      let place = sections.places[variant.placeOfCopy(index)]
      let sources = parameters.filter { copy.source.matches($0.path) }
      let targets = parameters.filter { copy.target.matches($0.path) }
      let missing = [(copy.source, sources), (copy.target, targets)].first { $1.isEmpty }
      if let missing {
        reportNoMatch("\"\(missing.0.pattern)\"", at: place)
        continue
      }
      if sources.count != targets.count {
        report(
          .badVariant,
          "\"\(copy.source.pattern)\" matches \(counted(sources.count, "param", "params")), "
            + "\"\(copy.target.pattern)\" \(targets.count)", at: place,
          suggestion: "a copy has as many params on either side")
      }
      for (source, target) in zip(sources, targets) {
        if source.path == target.path {
          report(.badVariant, "'\(source.path)' would be copied to itself", at: place)
        } else if source.type != target.type {
          report(
            .badVariant,
            "'\(source.path)' is \(source.type), '\(target.path)', to which it would be copied, is "
              + "\(target.type)", at: place)
        }
      }
    }
  }

  /// QAT rounds matrices that are stored as codes, by rule or by choice. The matrices of the default
  /// group carry the model: rounding only others, as a rule that misses them would, is a mistake.
  private mutating func checkRounded(_ quantize: QuantizeSettings?, at place: SourceLocation?) {
    let rounded = parameters.filter { parameter in
      quantize?.isFree(parameter) ?? false
        || quantize?.rule(for: parameter)?.precision.isRounded ?? false
    }
    if rounded.isEmpty {
      report(
        .emptyWindow,
        "qat has nothing to round: no param is stored in an integer precision", at: place)
    } else if parameters.contains(where: { $0.group == Parameter.matrixGroup }),
      !rounded.contains(where: { $0.group == Parameter.matrixGroup })
    {
      let paths = rounded.map { "'\($0.path)'" }
      report(
        .emptyWindow,
        "qat rounds no param of the group '\(Parameter.matrixGroup)', only "
          + paths.prefix(4).joined(separator: ", ") + (paths.count > 4 ? ", …" : ""),
        at: place, suggestion: "give the group an integer precision in 'quantize', or write: off")
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
    case .start, .training, .step: break
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

  // MARK: Steps

  /// Windows without a step in the file's own length.
  private mutating func checkSteps(
    _ train: TrainSettings, _ variants: [Variant], _ sections: SectionReader
  ) {
    guard let steps = train.stopSteps else { return }
    if train.warmup > steps {
      report(
        .emptyWindow,
        "a warmup of \(train.warmup) steps does not end in the \(steps) of training: no step would have "
          + "the whole rate", at: sections.places["warmup"])
    } else if train.warmup == 1 {
      report(
        .emptyWindow, "a warmup of one step changes nothing: the first step has the whole rate",
        at: sections.places["warmup"], suggestion: "leave it out")
    }
    if case .steps(let length)? = train.warmdown, length > steps {
      warnings.append(
        Diagnostic(
          .idleWork,
          "a warmdown of \(length) steps is longer than the \(steps) of training: the rate begins at "
            + "\(shortest((Double(steps) / Double(length) * 1000).rounded() / 1000)) of its value",
          at: sections.places["warmdown"], severity: .warning))
    }
    for entry in train.optimizers {
      for (operand, ramp) in entry.rule.ramps.sorted(by: { $0.key < $1.key }) {
        guard case .steps(let length) = ramp.window, length > steps else { continue }
        warnings.append(
          Diagnostic(
            .idleWork,
            "a ramp of \(length) steps does not end in the \(steps) of training: the \(operand) "
              + "does not reach \(shortest(ramp.to))",
            at: entry.location, severity: .warning))
      }
    }
    // On a clock the steps are not known before.
    guard train.stopSeconds == nil, train.limitSeconds == nil else { return }
    let schedule = Schedule(
      train: train, qat: sections.settings.qat, variants: variants.map(VariantStart.init),
      length: TrainingLength(steps: steps, seconds: nil))
    if train.warmdown != nil, schedule.firstStep(of: steps, where: { $0.decay < 1 }) == nil {
      report(
        .emptyWindow, "the warmdown has none of the \(steps) steps", at: sections.places["warmdown"]
      )
    }
    if case .swa(_, let below) = train.average,
      !(0..<steps).contains(where: {
        schedule.settings(TrainingMoment(step: $0, seconds: 0)).isSnapshot
      })
    {
      report(
        .emptyWindow,
        "swa takes no snapshot in \(steps) steps: none of its steps has the multiplier of the rate below "
          + "\(shortest(below))", at: sections.places["average"])
    }
    if case .on(_, let start) = sections.settings.qat,
      schedule.firstStep(of: steps, where: { schedule.hasBegun(start, $0) }) == nil
    {
      reportLate("qat", start, steps, at: sections.places["qat"])
    }
    let begins = variants.map { variant in
      variant.start.map { start in
        schedule.firstStep(of: steps) { schedule.hasBegun(start, $0) }
      } ?? 0
    }
    for (index, variant) in variants.enumerated() {
      guard let start = variant.start else { continue }
      guard let begin = begins[index] else {
        reportLate(variant.described, start, steps, at: place(of: variant))
        continue
      }
      let later = variants.indices.first { $0 > index && (begins[$0] ?? steps) <= begin }
      if let later {
        report(
          .emptyWindow,
          "\(variant.described) has none of the \(steps) steps: \(variants[later].described) begins "
            + "in the same one", at: place(of: variant))
      }
    }
  }

  private mutating func reportLate(
    _ what: String, _ start: ScheduleStart, _ steps: Int, at place: SourceLocation?
  ) {
    report(.emptyWindow, "\(what) from \(start.text) has none of the \(steps) steps", at: place)
  }
}

extension Variant {
  fileprivate var described: String { "the variant '\(name)'" }
}

extension Schedule {
  /// The first of `steps` steps whose settings fulfil a condition that holds from then on.
  fileprivate func firstStep(of steps: Int, where holds: (StepSettings) -> Bool) -> Int? {
    func holdsAt(_ step: Int) -> Bool {
      holds(settings(TrainingMoment(step: step, seconds: 0)))
    }
    guard steps > 0, holdsAt(steps - 1) else { return nil }
    var (low, high) = (0, steps - 1)
    while low < high {
      let middle = low + (high - low) / 2
      if holdsAt(middle) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
