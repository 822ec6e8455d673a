// SPDX-License-Identifier: Apache-2.0
// Options, params and parts: gathered when a part is made, not when it is called.

import IR

extension Elaborator {
  /// Gathers the declarations of a statement. Conditions without declarations are left to the call.
  mutating func gather(_ statement: SyntaxStatement, topLevel: Bool = false) {
    guard !isAborted else { return }
    do throws(Failure) {
      switch statement.kind {
      case .option(let options):
        if topLevel {
          throw failure(
            .misplaced, "options belong to blocks", at: statement.position,
            suggestion: "declare a const")
        }
        for option in options {
          attempt(option.name, .option) { elaborator throws(Failure) in
            try elaborator.option(option)
          }
        }
      case .param(let params, let initial, let group):
        for param in params {
          attempt(param.name, .param) { elaborator throws(Failure) in
            try elaborator.param(param, initial, group)
          }
        }
      case .part(let parts):
        for part in parts {
          attempt(part.name, .part) { elaborator throws(Failure) in try elaborator.part(part) }
        }
      case .conditional(let condition, let then, let otherwise):
        guard statement.declares else {
          if topLevel {
            throw failure(.misplaced, "this belongs into forward", at: statement.position)
          }
          return
        }
        if try declaringCondition(condition) {
          try gather(then.statements, at: statement.position)
        } else if let otherwise {
          try gather([otherwise], at: statement.position)
        }
      case .otherwise(let body): try gather(body.statements, at: statement.position)
      case .loop(_, _, let body):
        if let inner = body.statements.first(where: \.declares) {
          throw failure(
            .misplaced, "declarations cannot stand in a loop", at: inner.position,
            suggestion: "declare a family: part blocks[i in 0 ..< n] = Layer()")
        }
        if topLevel {
          throw failure(.misplaced, "this belongs into forward", at: statement.position)
        }
      case .assignment, .returning:
        if topLevel {
          throw failure(
            .misplaced, "this belongs into forward", at: statement.position,
            suggestion: "constants are declared with const")
        }
      }
    } catch {
      report(error)
    }
  }

  private mutating func gather(
    _ statements: [SyntaxStatement], at place: SyntaxPosition
  ) throws(Failure) {
    try nested(at: place) { elaborator throws(Failure) in
      for statement in statements { elaborator.gather(statement) }
    }
  }

  /// Declares a name; after an error it is unknown, so that reading it is silent.
  private mutating func attempt(
    _ name: SyntaxName, _ kind: Binding.Kind,
    _ declare: (inout Elaborator) throws(Failure) -> Void
  ) {
    guard !isAborted else { return }
    do throws(Failure) {
      try declare(&self)
    } catch {
      report(error)
      let instance = frame.instance
      if instances[instance].names[name.text] == nil {
        instances[instance].names[name.text] = Binding(
          meaning: .unknown, kind: kind, place: location(name.position))
      }
    }
  }

  /// A condition around declarations may use consts and options only: there is no call yet.
  private mutating func declaringCondition(_ condition: SyntaxExpression) throws(Failure) -> Bool {
    do throws(Failure) {
      return try constantBool(condition)
    } catch {
      badConditions.insert("\(frame.path):\(condition.position.offset)")
      guard case .diagnostic(var diagnostic) = error, diagnostic.code == .unknownName else {
        throw error
      }
      diagnostic.suggestion =
        diagnostic.suggestion
        ?? "conditions around declarations use consts and options only"
      throw .diagnostic(diagnostic)
    }
  }

  /// An option that the part did not give has its default.
  private mutating func option(_ option: SyntaxBinding) throws(Failure) {
    let instance = frame.instance
    // Options given at the part are already there.
    if let given = instances[instance].names[option.name.text] {
      let here = location(option.name.position).position
      if given.place.position != here {
        try declare(option.name, .unknown, .option, in: instance)
      }
      if let constant = constants[option.name.text],
        program.sees(option.name.text, in: frame.path)
      {
        throw failure(
          .alreadyDeclared, "'\(option.name.text)' is already declared", at: option.name.position,
          notes: [.init("it is a const here", at: constant.location)])
      }
      return
    }
    guard let value = option.value else {
      throw failure(
        .badPart, "the option '\(option.name.text)' of \(frame.what) is not given",
        at: option.name.position,
        suggestion: "give it at the part: \(frame.what)(\(option.name.text): …)")
    }
    try declare(option.name, .constant(try constantValue(value)), .option, in: instance)
  }

  // MARK: Params

  private mutating func param(
    _ param: SyntaxParam, _ initial: SyntaxWord?, _ group: SyntaxName?
  ) throws(Failure) {
    let instance = frame.instance
    guard let family = param.family else {
      let value = try parameter(param, suffix: "", initial, group)
      try declare(param.name, .value(value), .param, in: instance)
      return
    }
    var members: [Int: Meaning] = [:]
    try eachMember(of: family) { elaborator, index throws(Failure) in
      members[index] = .value(
        try elaborator.parameter(param, suffix: ".\(index)", initial, group))
    }
    try declare(param.name, .family("param", members), .param, in: instance)
  }

  /// Runs `body` for each whole number of a family's list, under the family's name.
  private mutating func eachMember(
    of family: SyntaxFamily, _ body: (inout Elaborator, Int) throws(Failure) -> Void
  ) throws(Failure) {
    let value = try constantValue(family.list)
    guard case .list(let entries) = value else {
      throw failure(
        .wrongKind, "a family needs a list, found \(value.kind)", at: family.list.position)
    }
    var seen: Set<Int> = []
    for entry in entries {
      guard let index = entry.whole, index >= 0, seen.insert(index).inserted else {
        throw failure(
          .badIndex,
          "a family's numbers are whole, not negative and different, found \(entry.text)",
          at: family.list.position)
      }
      frame.scopes.append([:])
      frame.loops.append(LoopValue(name: family.name.text, value: "\(index)"))
      defer {
        frame.scopes.removeLast()
        frame.loops.removeLast()
      }
      try declare(family.name, .constant(entry), .loop)
      try body(&self, index)
    }
  }

  private mutating func parameter(
    _ param: SyntaxParam, suffix: String, _ initial: SyntaxWord?, _ group: SyntaxName?
  ) throws(Failure) -> Value {
    let own = instances[frame.instance].path
    let path = (own.isEmpty ? "" : own + ".") + param.name.text + suffix
    var shape: [Int] = []
    var elements = 1
    for size in param.shape {
      let whole = try constantWhole(size, atLeast: 1)
      let (product, overflow) = elements.multipliedReportingOverflow(by: whole)
      if overflow || product > Limits.elements {
        throw abort(
          "the param '\(path)' has more than \(Limits.elements) elements", at: param.name.position)
      }
      elements = product
      shape.append(whole)
    }
    if shape.count < 2, initial == nil || group == nil {
      throw failure(
        .incompleteParam,
        "'\(param.name.text)' has \(counted(shape.count, "axis", "axes")) and must state "
          + (initial == nil ? "its init" : "its group"),
        at: param.name.position,
        suggestion: "such as: param \(param.text)  init zeros  group scalar")
    }
    var start = Initializer.uniform
    if let initial {
      do throws(Diagnostic) {
        start = try SectionReader.initializer(initial, evaluator: evaluator())
      } catch {
        throw .diagnostic(error)
      }
    }
    for (index, rule) in initialRules.enumerated() where rule.glob.matches(path) {
      initialMatches.insert(index)
      start = rule.initial
    }
    if let winner = initialRules.indices.last(where: { initialRules[$0].glob.matches(path) }) {
      initialWinners.insert(winner)
    }
    try check(start, shape, at: initial?.name.position ?? param.name.position)
    guard params[path] == nil else {
      throw failure(
        .alreadyDeclared, "there are two params with the path '\(path)'", at: param.name.position)
    }
    guard params.count < Limits.instances else {
      throw abort("more than \(Limits.instances) params", at: param.name.position)
    }
    let place = program.location(param.name.position, in: frame.path)
    let value = builder.declare(
      Parameter(
        role: .param, path: path, type: .tensor(shape), group: group?.text ?? Parameter.matrixGroup,
        initial: start, location: place.description))
    params[path] = value
    paramPlaces[path] = place
    return value
  }

  private func check(
    _ initial: Initializer, _ shape: [Int], at place: SyntaxPosition
  ) throws(Failure) {
    switch initial {
    case .rows(let values) where shape.first != values.count:
      throw failure(
        .badInit,
        "rows(…) gives \(counted(values.count, "row", "rows")), the shape is "
          + "\(TensorType.tensor(shape))",
        at: place)
    case .orthogonal where shape.count != 2, .overtone where shape.count != 2:
      throw failure(
        .badInit, "\(initial) needs a matrix, the shape is \(TensorType.tensor(shape))", at: place)
    case .uniform where shape.isEmpty:
      throw failure(.badInit, "uniform needs an axis, a scalar has none", at: place)
    default: break
    }
  }

  // MARK: Parts

  private mutating func part(_ part: SyntaxPart) throws(Failure) {
    let own = instances[frame.instance].path
    let path = (own.isEmpty ? "" : own + ".") + part.name.text
    if let op = Op(rawValue: part.name.text), op.definition.isSurface {
      warnings.append(
        Diagnostic(
          .partHidesOp, "'\(part.name.text)' is also an op; before '(' the part is meant",
          at: location(part.name.position).position, severity: .warning))
    }
    let instance = frame.instance
    guard let family = part.family else {
      let index = try make(part, path: path)
      try declare(part.name, .part(index), .part, in: instance)
      return
    }
    var members: [Int: Meaning] = [:]
    try eachMember(of: family) { elaborator, index throws(Failure) in
      members[index] = .part(try elaborator.make(part, path: "\(path).\(index)"))
    }
    try declare(part.name, .family("part", members), .part, in: instance)
  }

  /// Makes an instance: evaluates the options, then gathers the block's declarations.
  private mutating func make(_ part: SyntaxPart, path: String) throws(Failure) -> Int {
    guard let block = program.blocks[part.block.text] else {
      throw failure(
        .badPart, "there is no block '\(part.block.text)'", at: part.block.position,
        suggestion: suggestion(for: part.block.text, among: program.blocks.keys.sorted()))
    }
    if frames.contains(where: { $0.what == part.block.text }) {
      throw failure(
        .badPart, "the block \(part.block.text) contains itself", at: part.block.position)
    }
    guard frames.count < Limits.calls else {
      throw abort(
        "more than \(Limits.calls) parts inside each other", as: .tooDeep, at: part.name.position)
    }
    guard instances.count < Limits.instances else {
      throw abort("more than \(Limits.instances) parts", at: part.name.position)
    }
    let declared = block.body.statements.flatMap(\.declaredOptions)
    var instance = Instance(
      block: part.block.text, path: path, place: location(part.name.position).position)
    for argument in part.arguments {
      guard let label = argument.label else {
        throw failure(
          .wrongArguments, "options are given by name", at: argument.value.position,
          suggestion: "write: \(declared.first?.text ?? "option"): \(argument.value.text)")
      }
      guard let option = declared.first(where: { $0.text == label.text }) else {
        throw failure(
          .wrongArguments, "the block \(part.block.text) has no option '\(label.text)'",
          at: label.position,
          suggestion: suggestion(for: label.text, among: declared.map(\.text)))
      }
      guard instance.names[label.text] == nil else {
        throw failure(
          .wrongArguments, "the option '\(label.text)' is given twice", at: label.position)
      }
      instance.names[label.text] = Binding(
        meaning: .constant(try constantValue(argument.value)), kind: .option,
        place: program.location(option.position, in: block.path))
    }
    let index = instances.count
    instances.append(instance)
    let callers = [location(part.name.position).callSite] + frame.callers
    frames.append(
      Frame(
        path: block.path, what: part.block.text, instance: index, valuePath: path,
        callers: callers))
    defer { frames.removeLast() }
    try gather(block.body.statements, at: part.name.position)
    return index
  }
}

extension SyntaxStatement {
  /// Whether the statement holds a declaration.
  var declares: Bool {
    switch kind {
    case .option, .param, .part: true
    case .conditional(_, let then, let otherwise):
      then.statements.contains(where: \.declares) || otherwise?.declares ?? false
    case .otherwise(let body), .loop(_, _, let body): body.statements.contains(where: \.declares)
    case .assignment, .returning: false
    }
  }

  /// The names of all options in the statement, whatever the conditions.
  var declaredOptions: [SyntaxName] {
    switch kind {
    case .option(let options): options.map(\.name)
    case .conditional(_, let then, let otherwise):
      then.statements.flatMap(\.declaredOptions) + (otherwise?.declaredOptions ?? [])
    case .otherwise(let body): body.statements.flatMap(\.declaredOptions)
    default: []
    }
  }
}
