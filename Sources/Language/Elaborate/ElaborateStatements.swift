// SPDX-License-Identifier: Apache-2.0
// Running a body: assignments, static `if`, unrolled `for`, and `return`.

import IR

/// What a body returned, and where.
struct Returned {
  let meanings: [Meaning]
  let place: SyntaxPosition
}

extension Elaborator {
  /// Runs the statements of a body in the present scope; nil if none of them returned.
  mutating func run(_ body: SyntaxBody) -> Returned? {
    for statement in body.statements {
      if isAborted { return nil }
      statements += 1
      do throws(Failure) {
        if statements > Limits.statements {
          throw abort("more than \(Limits.statements) statements", at: statement.position)
        }
        let returned = try nested(at: statement.position) { elaborator throws(Failure) in
          try elaborator.run(statement)
        }
        if let returned { return returned }
      } catch {
        report(error)
        poison(statement)
        if case .returning = statement.kind {
          return Returned(meanings: [.unknown], place: statement.position)
        }
      }
    }
    return nil
  }

  private mutating func run(_ statement: SyntaxStatement) throws(Failure) -> Returned? {
    switch statement.kind {
    case .option, .param, .part:
      // Declarations were gathered when the part was made.
      if frame.instance == 0 {
        throw failure(
          .misplaced, "declarations stand outside of forward", at: statement.position)
      }
      return nil
    case .conditional(let condition, let then, let otherwise):
      if badConditions.contains("\(frame.path):\(condition.position.offset)") { throw .followUp }
      if try constantBool(condition) { return run(then) }
      if let otherwise { return try run(otherwise) }
      return nil
    case .otherwise(let body): return run(body)
    case .loop(let name, let list, let body): return try loop(name, list, body)
    case .assignment(let targets, let value):
      try assign(targets, value)
      return nil
    case .returning(let values):
      var meanings: [Meaning] = []
      for value in values {
        let meaning = try evaluate(value)
        if case .several(let inner) = meaning, values.count == 1 {
          meanings += inner
        } else {
          meanings.append(meaning)
        }
      }
      return Returned(
        meanings: meanings, place: values.first?.position ?? statement.position)
    }
  }

  private mutating func loop(
    _ name: SyntaxName, _ list: SyntaxExpression, _ body: SyntaxBody
  ) throws(Failure) -> Returned? {
    let value = try constantValue(list)
    guard case .list(let entries) = value else {
      throw failure(
        .wrongKind, "'for' runs over a list, found \(value.kind)", at: list.position,
        suggestion: "0 ..< \(list.text) is the list of whole numbers below")
    }
    for entry in entries {
      if isAborted { return nil }
      frame.scopes.append([:])
      try declare(name, .constant(entry), .loop)
      frame.loops.append(LoopValue(name: name.text, value: entry.text))
      let returned = run(body)
      frame.loops.removeLast()
      for (local, binding) in frame.scopes.removeLast() { frame.ended[local] = binding.place }
      if let returned { return returned }
    }
    return nil
  }

  private mutating func assign(
    _ targets: [SyntaxTarget], _ value: SyntaxExpression
  ) throws(Failure) {
    for target in targets { try checkAssignable(target) }
    let name = targets.count == 1 && targets[0].index == nil ? targets[0].name.text : nil
    let meaning = try evaluate(value, name: name)
    if targets.count == 1 {
      if case .several(let meanings) = meaning {
        throw failure(
          .wrongArguments, "the call returns \(meanings.count) values, one is assigned",
          at: value.position)
      }
      return try set(targets[0], meaning)
    }
    guard case .several(let meanings) = meaning, meanings.count == targets.count else {
      let count: Int
      if case .several(let meanings) = meaning { count = meanings.count } else { count = 1 }
      throw failure(
        .wrongArguments, "\(targets.count) names are assigned, the value has \(count)",
        at: value.position)
    }
    for (target, meaning) in zip(targets, meanings) { try set(target, meaning) }
  }

  private func checkAssignable(_ target: SyntaxTarget) throws(Failure) {
    let name = target.name.text
    var found = binding(name).map { ($0.described, $0.place) }
    if let kind = binding(name)?.kind, kind == .local || kind == .input { found = nil }
    if found == nil, binding(name) == nil, let constant = constants[name],
      program.sees(name, in: frame.path)
    {
      found = ("a const", constant.location)
    }
    if let (kind, place) = found {
      throw failure(
        .notAssignable, "'\(name)' is \(kind) and keeps its value", at: target.name.position,
        suggestion: "use another name", notes: [.init("declared here", at: place.position)])
    }
  }

  private mutating func set(_ target: SyntaxTarget, _ meaning: Meaning) throws(Failure) {
    let name = target.name.text
    switch meaning {
    case .part, .family:
      throw failure(
        .wrongKind, "\(describe(meaning)) is not a value; parts are named where they are declared",
        at: target.name.position)
    default: break
    }
    let place = location(target.name.position)
    guard let index = target.index else {
      for scope in frame.scopes.indices.reversed() where frame.scopes[scope][name] != nil {
        if case .indexed? = frame.scopes[scope][name]?.meaning {
          throw failure(
            .notAssignable, "'\(name)' has entries and is assigned with an index",
            at: target.name.position)
        }
        frame.scopes[scope][name]?.meaning = meaning
        return
      }
      let binding = Binding(meaning: meaning, kind: .local, place: place)
      frame.scopes[frame.scopes.count - 1][name] = binding
      return
    }
    let whole = try constantWhole(index, atLeast: 0)
    // An indexed name belongs to the block, not to the iteration.
    var entries: [Int: Meaning] = [:]
    switch binding(name)?.meaning {
    case nil: break
    case .indexed(let existing): entries = existing
    case .unknown: return
    case let other?:
      throw failure(
        .wrongKind, "'\(name)' is \(describe(other)) and has no entries to assign",
        at: target.name.position)
    }
    guard entries[whole] == nil else {
      throw failure(
        .badIndex, "'\(name)[\(whole)]' is assigned twice", at: target.name.position)
    }
    entries[whole] = meaning
    let first = frame.scopes[0][name]?.place ?? place
    frame.scopes[0][name] = Binding(meaning: .indexed(entries), kind: .local, place: first)
  }

  /// After an error the names a statement would have assigned are unknown, so that reading is
  /// silent.
  private mutating func poison(_ statement: SyntaxStatement) {
    switch statement.kind {
    case .assignment(let targets, _):
      for target in targets { poison(target) }
    case .conditional(_, let then, let otherwise):
      for inner in then.statements { poison(inner) }
      if let otherwise { poison(otherwise) }
    case .otherwise(let body), .loop(_, _, let body):
      for inner in body.statements { poison(inner) }
    case .option, .param, .part, .returning: break
    }
  }

  private mutating func poison(_ target: SyntaxTarget) {
    let name = target.name.text
    if let kind = binding(name)?.kind, kind != .local, kind != .input { return }
    if binding(name) == nil, constants[name] != nil { return }
    let scope =
      frame.scopes.indices.last { frame.scopes[$0][name] != nil }
      ?? (target.index == nil ? frame.scopes.count - 1 : 0)
    frame.scopes[scope][name] = Binding(
      meaning: .unknown, kind: .local, place: location(target.name.position))
  }
}
