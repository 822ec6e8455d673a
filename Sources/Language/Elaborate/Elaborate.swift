// SPDX-License-Identifier: Apache-2.0
// Source text to Model: load, evaluate constants, read sections, elaborate every variant, check.

import IR

/// Compiles a source file, or reads core text in its place.
///
/// `choices` are a preset of the file and overrides of its consts. `includes` gives the text of an
/// included file by its path, which is resolved against the path of the including file; this module reads
/// nothing itself. Sections that are not in `used` are neither checked nor part of the settings: a function
/// is refused only for what it uses. All errors that can be found are thrown together.
public func elaborate(
  file: SourceFile, includes: @escaping (String) throws -> String,
  choices: Choices = .init(), used: Set<SectionName> = SectionName.all
) throws(Diagnostics) -> Model {
  if Model.isCore(file.text) {
    if let choice = choices.first {
      throw Diagnostics(
        [Diagnostic(.badOverride, "\(choice): core text has no consts any more", at: nil)],
        sources: [file])
    }
    return try Model.parse(path: file.path, text: file.text, used: used)
  }
  var loader = ProgramLoader(mainPath: file.path, read: includes)
  loader.load(file)
  var program = loader.program
  program.sources += choices.constants.compactMap(\.source)
  try failIfAny(program.diagnostics, program)

  var diagnostics: [Diagnostic] = []
  let overrides = program.overrides(choices, into: &diagnostics)
  let log = ReadLog()
  let constants = program.constants(overrides: overrides, into: &diagnostics)
  try failIfAny(diagnostics, program)
  let sections = program.readSections(
    used: used, preset: choices.preset, constants: constants, log: log)
  var base = Elaborator(
    program: program, constants: constants, initialRules: sections.initialRules, log: log)
  base.run()
  diagnostics += sections.diagnostics + base.diagnostics
  var variants = [Variant(name: "", start: nil, graph: base.builder.graph)]
  var runs = [base]
  if base.diagnostics.isEmpty {
    var others: [Diagnostic] = []
    let found = program.variants(
      base: base, overrides: overrides, initialRules: sections.initialRules, log: log,
      constants: constants, into: &others)
    variants += found.map(\.variant)
    runs += found.map(\.run)
    if diagnostics.isEmpty { diagnostics = others }
  }
  // A leak comes before everything else: no error in a section may hide it.
  let forward = runs.filter(\.diagnostics.isEmpty).flatMap { run in
    run.builder.graph.forwardErrors(at: run.forwardPlace)
  }
  try failIfAny(forward.filter { DiagnosticCode.legality.contains($0.code) }, program)
  diagnostics += forward
  // What follows would only repeat or misread the errors above.
  try failIfAny(diagnostics, program)

  var checks = ModelChecks(program: program, constants: constants, runs: runs, log: log)
  checks.run(variants: variants, sections: sections)
  try failIfAny(checks.diagnostics, program)
  return Model(
    name: program.model, variants: variants, settings: sections.settings, constants: constants,
    presets: program.presets.map(\.name.text),
    warnings: Diagnostics.sorted(base.warnings + sections.warnings + checks.warnings),
    sources: program.sources)
}

private func failIfAny(_ diagnostics: [Diagnostic], _ program: Program) throws(Diagnostics) {
  if !diagnostics.isEmpty { throw Diagnostics(diagnostics, sources: program.sources) }
}

extension Program {
  /// An evaluator of constants for the main file, which logs what is read.
  func evaluator(_ constants: [Constant], _ log: ReadLog) -> ConstantEvaluator {
    let table = Dictionary(
      constants.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    return ConstantEvaluator(
      path: mainPath, names: { table.keys.sorted() },
      lookup: { name in
        log.names.insert(name)
        return table[name]
      })
  }

  /// Reads the used sections of the main file: those of the preset in place of the file's own.
  func readSections(
    used: Set<SectionName>, preset: String?, constants: [Constant], log: ReadLog
  ) -> SectionReader {
    var reader = SectionReader(evaluator: evaluator(constants, log), used: used)
    for loaded in items {
      guard case .section(let name, let kind, let under, let entries) = loaded.item.kind else {
        continue
      }
      if let under {
        reader.checkUnder(under, section: name, among: presets.map(\.name.text))
        if under.text == preset { reader.read(name, kind: kind, entries) }
      } else if preset == nil || name.text != SectionName.expect.rawValue {
        // What is expected of the file is not expected of a preset.
        reader.read(name, kind: kind, entries)
      }
    }
    return reader
  }

  /// Elaborates the file again for each variant and compares the params with the base's.
  func variants(
    base: Elaborator, overrides: [ConstantOverride], initialRules: [InitialRule], log: ReadLog,
    constants: [Constant], into diagnostics: inout [Diagnostic]
  ) -> [(variant: Variant, run: Elaborator)] {
    var result: [(variant: Variant, run: Elaborator)] = []
    for loaded in items {
      guard case .variant(let name, let atoms, let bindings, let open, _) = loaded.item.kind else {
        continue
      }
      let place = location(name.position, in: loaded.path)
      if result.contains(where: { $0.variant.name == name.text }) {
        diagnostics.append(
          Diagnostic(.duplicateEntry, "two variants are named '\(name.text)'", at: place))
        continue
      }
      let replaced = bindings.compactMap {
        ConstantOverride($0, of: .variant(name.text), path: loaded.path)
      }
      let values = self.constants(overrides: overrides + replaced, into: &diagnostics)
      guard diagnostics.isEmpty else { return result }
      var run = Elaborator(
        program: self, constants: values, initialRules: initialRules, log: log)
      run.run()
      diagnostics += run.diagnostics
      guard diagnostics.isEmpty else { return result }
      compare(run, with: base, name.text, at: place, &diagnostics)
      do throws(Diagnostic) {
        let start = try SectionReader.start(atoms, end: open, evaluator: evaluator(constants, log))
        if let last = result.last?.variant, last.start == start {
          diagnostics.append(
            Diagnostic(
              .emptyWindow, "the variant '\(last.name)' ends where '\(name.text)' begins", at: place
            ))
        }
        let variant = Variant(name: name.text, start: start, graph: run.builder.graph)
        result.append((variant, run))
      } catch {
        diagnostics.append(error)
      }
    }
    return result
  }

  /// All variants have the same params: same paths, shapes, groups and inits.
  private func compare(
    _ run: Elaborator, with base: Elaborator, _ name: String, at place: SourceLocation,
    _ diagnostics: inout [Diagnostic]
  ) {
    let ours = run.builder.graph.parameters
    let theirs = base.builder.graph.parameters
    let known = Dictionary(theirs.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    for parameter in ours {
      guard let other = known[parameter.path] else {
        diagnostics.append(
          Diagnostic(
            .badVariant, "the variant '\(name)' adds the param '\(parameter.path)'",
            at: base.paramPlaces[parameter.path] ?? run.paramPlaces[parameter.path],
            notes: [.init("the variant is declared here", at: place)]))
        continue
      }
      if other.type != parameter.type || other.initial != parameter.initial
        || other.group != parameter.group
      {
        let same = other.type == parameter.type
        diagnostics.append(
          Diagnostic(
            .badVariant,
            "'\(parameter.path)' is \(same ? other.initial.description : other.type.description), "
              + "in the variant '\(name)' it is "
              + (same ? parameter.initial.description : parameter.type.description),
            at: run.paramPlaces[parameter.path],
            notes: [.init("the variant is declared here", at: place)],
            suggestion: "a variant's consts may not change params"))
      }
    }
    for missing in theirs where run.params[missing.path] == nil {
      diagnostics.append(
        Diagnostic(
          .badVariant, "the variant '\(name)' leaves out the param '\(missing.path)'",
          at: base.paramPlaces[missing.path],
          notes: [.init("the variant is declared here", at: place)]))
    }
  }
}
