// SPDX-License-Identifier: Apache-2.0
// Expressions: constants stay constants; with a tensor in it an expression becomes nodes.

import IR

extension Elaborator {
  /// What an expression stands for. `name` is given to the node that makes the result, if there is
  /// one.
  mutating func evaluate(
    _ expression: SyntaxExpression, name: String? = nil
  ) throws(Failure) -> Meaning {
    try nested(at: expression.position) { elaborator throws(Failure) in
      try elaborator.meaning(of: expression, name: name)
    }
  }

  private mutating func meaning(
    of expression: SyntaxExpression, name: String?
  ) throws(Failure) -> Meaning {
    let place = expression.position
    switch expression.kind {
    case .number(let number, _): return .constant(.number(number))
    case .bool(let bool): return .constant(.bool(bool))
    case .string:
      throw failure(.wrongKind, "strings stand in include and in patterns only", at: place)
    case .name(let spelled): return try meaning(of: spelled, at: place)
    case .parentheses(let inner): return try evaluate(inner, name: name)
    case .list(let elements):
      var values: [ConstantValue] = []
      for element in elements { values.append(try constantValue(element)) }
      return .constant(.list(values))
    case .unary(let symbol, let operand):
      return try unary(symbol, try evaluate(operand), at: place, name: name)
    case .binary(let symbol, let left, let right) where symbol == "and" || symbol == "or":
      let first = try constantBool(left)
      if first == (symbol == "or") { return .constant(.bool(first)) }
      return .constant(.bool(try constantBool(right)))
    case .binary(let symbol, let left, let right):
      let (first, second) = (try evaluate(left), try evaluate(right))
      return try binary(symbol, first, second, at: place, name: name)
    case .call(let callee, let arguments):
      return try call(callee, first: nil, arguments, at: callee.position, name: name)
    case .pipe(let value, let callee, let arguments):
      let first = try evaluate(value)
      return try call(
        callee, first: first, arguments ?? [], at: callee.position, name: name)
    case .member(let base, let member): return try self.member(base, member, at: place)
    case .index(let base, let subscripts):
      return try index(base, subscripts, at: place, name: name)
    }
  }

  /// Appends a node and returns its first result.
  mutating func apply(
    _ op: Op, _ operands: [Value], _ attributes: [AttributeName: AttributeValue] = [:],
    at place: SyntaxPosition, name: String? = nil
  ) throws(Failure) -> Meaning {
    guard builder.graph.nodes.count < Limits.nodes else {
      throw abort("more than \(Limits.nodes) nodes", at: place)
    }
    builder.path = frame.valuePath
    builder.location = location(place).description
    let prefix = frame.valuePath.isEmpty ? "" : frame.valuePath + "."
    do {
      let results = try builder.apply(
        op, operands, attributes, names: name.map { [prefix + $0] } ?? [])
      return .value(results[0])
    } catch {
      throw failure(.shapeMismatch, "\(error)", at: place)
    }
  }

  // MARK: Arithmetic

  private mutating func unary(
    _ symbol: String, _ operand: Meaning, at place: SyntaxPosition, name: String?
  ) throws(Failure) -> Meaning {
    switch operand {
    case .constant(let value):
      return .constant(
        try constant(at: place) { () throws(ConstantError) in
          try ConstantValue.unary(symbol, value)
        })
    case .value(let value) where symbol == "-":
      return try apply(.scale, [value], [.by: .double(-1)], at: place, name: name)
    default:
      throw failure(
        symbol == "not" ? .notConstant : .wrongKind,
        "'\(symbol)' does not take \(describe(operand))", at: place)
    }
  }

  /// Infix operators, with the identities of constants folded: x + 0, x * 1, x - 0, x / 1.
  mutating func binary(
    _ symbol: String, _ left: Meaning, _ right: Meaning, at place: SyntaxPosition, name: String?
  ) throws(Failure) -> Meaning {
    switch (left, right) {
    case (.constant(let a), .constant(let b)):
      return .constant(
        try constant(at: place) { () throws(ConstantError) in
          try ConstantValue.binary(symbol, a, b)
        })
    case (.value, .value), (.value, .constant(.number)), (.constant(.number), .value): break
    case (.size, _), (_, .size):
      throw failure(
        .openSize, "open sizes are not numbers before a phase is planned", at: place)
    default:
      throw failure(
        .wrongKind, "'\(symbol)' does not take \(describe(left)) and \(describe(right))",
        at: place)
    }
    switch (symbol, left, right) {
    case ("+", .value(let a), .value(let b)): return try apply(.add, [a, b], at: place, name: name)
    case ("-", .value(let a), .value(let b)): return try apply(.sub, [a, b], at: place, name: name)
    case ("*", .value(let a), .value(let b)): return try apply(.mul, [a, b], at: place, name: name)
    case ("+", .value(let a), .constant(.number(let c))),
      ("+", .constant(.number(let c)), .value(let a)):
      return try offset(a, by: c, at: place, name: name)
    case ("-", .value(let a), .constant(.number(let c))):
      return try offset(a, by: -c, at: place, name: name)
    case ("-", .constant(.number(let c)), .value(let a)):
      let negative = try apply(
        .scale, [a], [.by: .double(-1)], at: place, name: c == 0 ? name : nil)
      guard c != 0, case .value(let value) = negative else { return negative }
      return try offset(value, by: c, at: place, name: name)
    case ("*", .value(let a), .constant(.number(let c))),
      ("*", .constant(.number(let c)), .value(let a)):
      return try scale(a, by: c, at: place, name: name)
    case ("/", .value(let a), .constant(.number(let c))):
      if c == 0 { throw failure(.badArithmetic, "division by zero", at: place) }
      guard (1 / c).isFinite else {
        throw failure(.badArithmetic, "1 / \(shortest(c)) is too large", at: place)
      }
      return try scale(a, by: 1 / c, at: place, name: name)
    case ("/", _, .value):
      throw failure(
        .notSupported, "division by a tensor is not supported yet", at: place,
        suggestion: "a tensor can be divided by a constant")
    default:
      throw failure(
        .notConstant,
        "'\(symbol)' is for constants, found \(describe(left)) and "
          + describe(right),
        at: place, suggestion: "'if' and sizes are decided before the run")
    }
  }

  private mutating func offset(
    _ value: Value, by amount: Double, at place: SyntaxPosition, name: String?
  ) throws(Failure) -> Meaning {
    if amount == 0 { return .value(value) }
    return try apply(.offset, [value], [.by: .double(amount)], at: place, name: name)
  }

  private mutating func scale(
    _ value: Value, by factor: Double, at place: SyntaxPosition, name: String?
  ) throws(Failure) -> Meaning {
    if factor == 1 { return .value(value) }
    return try apply(.scale, [value], [.by: .double(factor)], at: place, name: name)
  }

  // MARK: Members and indices

  private mutating func member(
    _ base: SyntaxExpression, _ name: String, at place: SyntaxPosition
  ) throws(Failure) -> Meaning {
    let meaning = try evaluate(base)
    guard case .part(let index) = meaning else {
      throw failure(
        .wrongKind, "'\(base.text)' is \(describe(meaning)), only parts have members", at: place)
    }
    let readable = instances[index].names.filter {
      $0.value.kind == .param || $0.value.kind == .part
    }
    guard let member = readable[name] else {
      throw failure(
        .unknownName, "the part '\(instances[index].path)' has no '\(name)'", at: place,
        suggestion: suggestion(for: name, among: readable.keys.sorted()))
    }
    instances[index].isRead = true
    if case .unknown = member.meaning { throw .followUp }
    return member.meaning
  }

  private mutating func index(
    _ base: SyntaxExpression, _ subscripts: [SyntaxSubscript], at place: SyntaxPosition,
    name: String?
  ) throws(Failure) -> Meaning {
    let meaning = try evaluate(base)
    if case .value(let value) = meaning {
      return try slice(value, subscripts, at: place, name: name)
    }
    guard subscripts.count == 1 else {
      throw failure(
        .wrongKind, "'\(base.text)' is \(describe(meaning)) and has one index", at: place)
    }
    switch (meaning, subscripts[0]) {
    case (.constant(let list), .at(let index)):
      let index = try constantValue(index)
      return .constant(
        try constantEntry(base, list, at: place) { () throws(ConstantError) in
          try list.entry(index)
        })
    case (.constant(let list), .slice(let lower, let upper, _)):
      let bounds = [try optionalConstant(lower), try optionalConstant(upper)]
      return .constant(
        try constantEntry(base, list, at: place) { () throws(ConstantError) in
          try list.slice(bounds[0], bounds[1])
        })
    case (.family(_, let entries), .at(let index)):
      return try entry(of: entries, base, meaning, index)
    case (.indexed(let entries), .at(let index)):
      return try entry(of: entries, base, meaning, index)
    default:
      throw failure(
        .wrongKind, "'\(base.text)' is \(describe(meaning)) and has no such index", at: place)
    }
  }

  private func constantEntry(
    _ base: SyntaxExpression, _ list: ConstantValue, at place: SyntaxPosition,
    _ operation: () throws(ConstantError) -> ConstantValue
  ) throws(Failure) -> ConstantValue {
    do throws(ConstantError) {
      return try operation()
    } catch {
      // The kind of the base decides what [ ] means, so the message names it.
      throw failure(
        error.code, "\(error.message) ('\(base.text)' is \(list.kind), a constant)", at: place)
    }
  }

  private mutating func optionalConstant(
    _ expression: SyntaxExpression?
  ) throws(Failure) -> ConstantValue? {
    guard let expression else { return nil }
    return try constantValue(expression)
  }

  private mutating func entry(
    of entries: [Int: Meaning], _ base: SyntaxExpression, _ meaning: Meaning,
    _ index: SyntaxExpression
  ) throws(Failure) -> Meaning {
    let value = try constantValue(index)
    guard let whole = value.whole else {
      throw failure(
        .notWhole, "the index '\(index.text)' must be a whole number, it is \(value.foundForWhole)",
        at: index.position)
    }
    guard let entry = entries[whole] else {
      let known = entries.keys.sorted().map(String.init)
      let list = known.count > 6 ? "\(known[0]) to \(known[known.count - 1])" : commaList(known)
      throw failure(
        .badIndex, "'\(base.text)' is \(describe(meaning)) and has no entry \(whole)",
        at: index.position, suggestion: known.isEmpty ? nil : "the entries are \(list)")
    }
    if case .unknown = entry { throw .followUp }
    return entry
  }

  private func commaList(_ texts: [String]) -> String { texts.joined(separator: ", ") }

  // MARK: Slices

  private mutating func slice(
    _ value: Value, _ subscripts: [SyntaxSubscript], at place: SyntaxPosition, name: String?
  ) throws(Failure) -> Meaning {
    let type = builder.type(value)
    let axes = try self.axes(subscripts, of: type, at: place)
    var pieces: [(axis: Int, start: Int, count: Int, squeeze: Bool)] = []
    for (axis, element) in axes {
      guard let piece = try piece(element, of: type.shape[axis], axis, at: place) else { continue }
      pieces.append((axis, piece.start, piece.count, piece.squeeze))
    }
    // From the last axis to the first, so that dropped axes do not renumber those still to come.
    var result = value
    for (step, piece) in pieces.sorted(by: { $0.axis > $1.axis }).enumerated() {
      let meaning = try apply(
        .slice, [result],
        [
          .axis: .int(piece.axis), .start: .int(piece.start), .count: .int(piece.count),
          .squeeze: .bool(piece.squeeze),
        ], at: place, name: step == pieces.count - 1 ? name : nil)
      guard case .value(let next) = meaning else { return meaning }
      result = next
    }
    return .value(result)
  }

  /// Which axis each subscript is about.
  private func axes(
    _ subscripts: [SyntaxSubscript], of type: TensorType, at place: SyntaxPosition
  ) throws(Failure) -> [(Int, SyntaxSubscript)] {
    var isEllipsis: [Bool] = []
    for element in subscripts {
      if case .ellipsis = element { isEllipsis.append(true) } else { isEllipsis.append(false) }
    }
    let given = isEllipsis.filter { !$0 }.count
    guard given <= type.rank, isEllipsis.filter({ $0 }).count <= 1 else {
      throw failure(
        .badIndex, "\(given) indices for the \(type.rank) axes of \(type)", at: place)
    }
    let split = isEllipsis.firstIndex(of: true) ?? subscripts.count
    var axes: [(Int, SyntaxSubscript)] = []
    for (index, element) in subscripts.enumerated() where index != split {
      axes.append((index < split ? index : type.rank - (subscripts.count - index), element))
    }
    return axes
  }

  /// The part of an axis that a subscript takes; nil for all of it.
  private mutating func piece(
    _ element: SyntaxSubscript, of dim: Dim, _ axis: Int, at place: SyntaxPosition
  ) throws(Failure) -> (start: Int, count: Int, squeeze: Bool)? {
    if case .slice(nil, nil, _) = element { return nil }
    guard let extent = dim.number else {
      throw failure(
        .openSize, "axis \(axis) has the open size \(dim) and cannot be indexed", at: place,
        suggestion: "take all of it with ':' or '...'")
    }
    func bound(_ value: Int) -> Int { value < 0 ? extent + value : value }
    switch element {
    case .at(let index):
      let start = bound(try constantWhole(index, atLeast: -extent))
      guard start < extent else {
        throw failure(
          .badIndex, "index \(start) lies outside of axis \(axis), which has \(extent)",
          at: index.position)
      }
      return (start, 1, true)
    case .slice(let lower, let upper, let position):
      var (from, to) = (0, extent)
      if let lower { from = bound(try constantWhole(lower, atLeast: -extent)) }
      if let upper { to = bound(try constantWhole(upper, atLeast: -extent)) }
      guard from < to, to <= extent else {
        throw failure(
          .badIndex, "the slice \(from) : \(to) leaves axis \(axis), which has \(extent)",
          at: position)
      }
      return from == 0 && to == extent ? nil : (from, to - from, false)
    case .ellipsis: return nil
    }
  }
}
