// SPDX-License-Identifier: Apache-2.0
// Which names occur in expressions, whether or not their branch is taken. Declaring is not reading.

import IR

struct NameUsage {
  private(set) var names: Set<String> = []
  /// Sections whose entries are evaluated: the log of reads knows which bare names they read.
  private let evaluated: Set<SectionName>

  init(evaluated: Set<SectionName>) { self.evaluated = evaluated }

  mutating func add(_ file: SyntaxFile) {
    for item in file.items {
      switch item.kind {
      case .include, .needs: break
      case .const(let bindings), .preset(_, let bindings, open: _, close: _):
        add(bindings)
      case .variant(let variant): add(variant.bindings)
      case .block(_, let inputs, let body):
        add(inputs)
        add(body)
      case .forward(let inputs, let type, let body):
        add(inputs)
        for each in type.shape { add(each) }
        add(body)
      case .section(let name, kind: _, under: _, let entries):
        let isEvaluated = SectionName(rawValue: name.text).map(evaluated.contains) ?? true
        add(entries, everything: !isEvaluated)
      case .statement(let statement): add(statement)
      }
    }
  }

  private mutating func add(_ bindings: [SyntaxBinding]) {
    for binding in bindings { if let value = binding.value { add(value) } }
  }

  private mutating func add(_ inputs: [SyntaxInput]) {
    for input in inputs {
      for each in input.type?.shape ?? [] { add(each) }
      if let value = input.value { add(value) }
    }
  }

  mutating func add(_ body: SyntaxBody) { for each in body.statements { add(each) } }

  mutating func add(_ statement: SyntaxStatement) {
    switch statement.kind {
    case .option(let options): add(options)
    case .param(let params, let initial, group: _):
      for param in params {
        if let family = param.family { add(family.list) }
        for each in param.shape { add(each) }
      }
      for each in initial?.arguments ?? [] { add(each.value) }
    case .part(let parts):
      for part in parts {
        if let family = part.family { add(family.list) }
        for each in part.arguments { add(each.value) }
      }
    case .conditional(let condition, let then, let otherwise):
      add(condition)
      add(then)
      if let otherwise { add(otherwise) }
    case .otherwise(let body): add(body)
    case .loop(_, let list, let body):
      add(list)
      add(body)
    case .assignment(let targets, let value):
      for target in targets { if let index = target.index { add(index) } }
      add(value)
    case .returning(let values): for each in values { add(each) }
    }
  }

  /// Entries behind an `if` may not be live, and sections that are not used are not evaluated, so
  /// their bare names count too.
  private mutating func add(_ entries: SyntaxEntries, everything: Bool) {
    for each in entries.entries { add(each, everything: everything) }
  }

  private mutating func add(_ entry: SyntaxEntry, everything: Bool) {
    switch entry.kind {
    case .plain(let atoms, let nested):
      for atom in atoms {
        switch atom.kind {
        case .call(_, let arguments): for each in arguments { add(each.value) }
        case .list(let elements): for each in elements { add(each) }
        case .name(let name) where everything: names.insert(name)
        default: break
        }
      }
      if let nested { add(nested, everything: everything) }
    case .conditional(let condition, let then, let otherwise):
      add(condition)
      add(then, everything: true)
      if let otherwise { add(otherwise, everything: true) }
    case .otherwise(let entries): add(entries, everything: everything)
    }
  }

  private mutating func add(_ expression: SyntaxExpression) {
    switch expression.kind {
    case .number, .string, .bool: break
    case .name(let name): names.insert(name)
    case .parentheses(let inner), .unary(_, let inner), .member(let inner, _): add(inner)
    case .binary(_, let left, let right):
      add(left)
      add(right)
    case .list(let elements): for each in elements { add(each) }
    case .call(let callee, let arguments): add(callee: callee, arguments)
    case .pipe(let value, let callee, let arguments):
      add(value)
      add(callee: callee, arguments ?? [])
    case .index(let base, let subscripts):
      add(base)
      for element in subscripts {
        switch element {
        case .ellipsis: break
        case .at(let index): add(index)
        case .slice(let lower, let upper, _):
          if let lower { add(lower) }
          if let upper { add(upper) }
        }
      }
    }
  }

  /// The name of an op or part before ( reads no const of that name.
  private mutating func add(callee: SyntaxExpression, _ arguments: [SyntaxArgument]) {
    if case .name = callee.kind {} else { add(callee) }
    for each in arguments { add(each.value) }
  }
}
