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
  var sections = program.readSections(
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
      base: base, sections: &sections, overrides: overrides, preset: choices.preset, log: log,
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

  /// Elaborates the file again for each variant and compares the params with the base's. Sections that
  /// tell of the time after training are those of the last variant: `sections` takes them.
  func variants(
    base: Elaborator, sections: inout SectionReader, overrides: [ConstantOverride],
    preset: String?, log: ReadLog, constants: [Constant], into diagnostics: inout [Diagnostic]
  ) -> [(variant: Variant, run: Elaborator)] {
    var result: [(variant: Variant, run: Elaborator)] = []
    let first = sections.settings
    for loaded in items {
      guard case .variant(let syntax) = loaded.item.kind else { continue }
      let name = syntax.name.text
      let place = location(syntax.name.position, in: loaded.path)
      if result.contains(where: { $0.variant.name == name }) {
        diagnostics.append(
          Diagnostic(.duplicateEntry, "two variants are named '\(name)'", at: place))
        continue
      }
      let replaced = syntax.bindings.compactMap {
        ConstantOverride($0, of: .variant(name), path: loaded.path)
      }
      let values = self.constants(overrides: overrides + replaced, into: &diagnostics)
      guard diagnostics.isEmpty else { return result }
      var run = Elaborator(
        program: self, constants: values, initialRules: sections.initialRules, log: log)
      run.run()
      diagnostics += run.diagnostics
      guard diagnostics.isEmpty else { return result }
      compare(run, with: base, name, at: place, &diagnostics)
      var variant = Variant(name: name, start: nil, graph: run.builder.graph)
      do throws(Diagnostic) {
        variant.start = try SectionReader.start(syntax, evaluator: evaluator(constants, log))
        if let last = result.last?.variant, last.start == variant.start {
          diagnostics.append(
            Diagnostic(
              .emptyWindow, "the variant '\(last.name)' ends where '\(name)' begins", at: place))
        }
      } catch {
        diagnostics.append(error)
      }
      var reader = readSections(used: sections.used, preset: preset, constants: values, log: log)
      reader.read(syntax.entries, isCore: false, into: &variant)
      diagnostics += reader.diagnostics
      diagnostics += variant.takeSizes(reader.settings, first, at: place)
      sections.adopt(reader)
      result.append((variant, run))
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

extension Variant {
  /// Takes over how the variant reads, and refuses what else it would change of training: its functions
  /// share batches and updates.
  fileprivate mutating func takeSizes(
    _ settings: Settings, _ base: Settings, at place: SourceLocation
  ) -> [Diagnostic] {
    guard let train = settings.train, let old = base.train else { return [] }
    if let difference = settings.trainingDifference(from: base) {
      return [
        Diagnostic(
          .badVariant, "the variant '\(name)' changes \(difference)", at: place,
          suggestion: "a variant changes forward, what `read` reads, and what follows training")
      ]
    }
    let own = TokenSizes(rows: train.rows, seq: train.seq)
    if own != TokenSizes(rows: old.rows, seq: old.seq) { sizes = own }
    return []
  }
}

extension Settings {
  /// The first entry of `train` or `qat`, but for `read`'s sizes, that is another one in `base`.
  fileprivate func trainingDifference(from base: Settings) -> String? {
    var same = self
    same.train?.rows = base.train?.rows ?? 1
    same.train?.seq = base.train?.seq ?? 1
    for table in [SectionTable.train, .qat] {
      for entry in table.entries where entry.prints(same) != entry.prints(base) {
        return "'\(entry.word)' of '\(table.name)'"
      }
    }
    return nil
  }
}
