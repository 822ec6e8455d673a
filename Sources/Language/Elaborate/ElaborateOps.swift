// SPDX-License-Identifier: Apache-2.0
// Calls of ops: operands first, then attributes, by position or by name, as the op's definition
// says.

import IR

extension Elaborator {
  /// A call of an op, with `first` as its first operand when it came through a pipe.
  mutating func callOp(
    _ op: Op, _ first: Meaning?, _ arguments: [SyntaxArgument], at place: SyntaxPosition,
    name: String?
  ) throws(Failure) -> Meaning {
    let definition = op.definition
    let infix: [Op: String] = [.add: "+", .sub: "-", .mul: "*"]
    if let symbol = infix[op], arguments.count + (first == nil ? 0 : 1) == 2,
      arguments.allSatisfy({ $0.label == nil })
    {
      var meanings = first.map { [$0] } ?? []
      for argument in arguments { meanings.append(try evaluate(argument.value)) }
      return try binary(symbol, meanings[0], meanings[1], at: place, name: name)
    }
    let names = definition.operands.map { $0.hasSuffix("?") ? String($0.dropLast()) : $0 }
    var operands: [String: Value] = [:]
    var attributes: [AttributeName: AttributeValue] = [:]
    var position = 0
    if let first, let slot = names.first {
      operands[slot] = try operand(first, slot, of: op, at: place)
      position = 1
    }
    for argument in arguments {
      let at = argument.label?.position ?? argument.value.position
      var slot = argument.label?.text
      if slot == nil {
        let order = names + definition.positional.map(\.rawValue)
        guard position < order.count else {
          throw failure(
            .wrongArguments,
            "\(op.rawValue) takes \(counted(order.count, "argument", "arguments")): "
              + order.joined(separator: ", "),
            at: at)
        }
        slot = order[position]
        position += 1
      }
      guard let slot else { continue }
      if names.contains(slot) {
        guard operands[slot] == nil else {
          throw failure(.wrongArguments, "'\(slot)' is given twice", at: at)
        }
        let meaning = try evaluate(argument.value)
        // An input that is 0 where it is not given: so is the operand.
        if case .constant(.number(0)) = meaning, definition.operands.contains(slot + "?") {
          continue
        }
        operands[slot] = try operand(meaning, slot, of: op, at: argument.value.position)
      } else if let kind = definition.attributes[AttributeName(slot)] {
        let attribute = AttributeName(slot)
        guard attributes[attribute] == nil else {
          throw failure(.wrongArguments, "'\(slot)' is given twice", at: at)
        }
        attributes[attribute] = try self.attribute(argument.value, kind, slot, of: op)
      } else {
        let choices = names + definition.attributes.keys.sorted().map(\.rawValue)
        throw failure(
          .wrongArguments, "\(op.rawValue) has no '\(slot)'", at: at,
          suggestion: suggestion(for: slot, among: choices)
            ?? "it takes \(choices.joined(separator: ", "))")
      }
    }
    var values: [Value] = []
    for (slot, spelled) in zip(names, definition.operands) {
      guard let value = operands[slot] else {
        if spelled.hasSuffix("?") { continue }
        throw failure(.wrongArguments, "\(op.rawValue) needs '\(slot)'", at: place)
      }
      values.append(value)
    }
    for (attribute, kind) in definition.attributes
    where attributes[attribute] == nil && kind.defaultValue == nil {
      throw failure(.wrongArguments, "\(op.rawValue) needs '\(attribute.rawValue)'", at: place)
    }
    return try apply(op, values, attributes, at: place, name: name)
  }

  private func operand(
    _ meaning: Meaning, _ slot: String, of op: Op, at place: SyntaxPosition
  ) throws(Failure) -> Value {
    guard case .value(let value) = meaning else {
      throw failure(
        .wrongKind, "\(op.rawValue): \(slot) must be a tensor, found \(describe(meaning))",
        at: place)
    }
    return value
  }

  /// An attribute. Where the definition expects a word, the word is not looked up.
  private mutating func attribute(
    _ expression: SyntaxExpression, _ kind: AttributeKind, _ slot: String, of op: Op
  ) throws(Failure) -> AttributeValue {
    switch kind {
    case .word(let words, _):
      guard case .name(let word) = expression.kind, words.contains(word) else {
        throw failure(
          .wrongKind, "\(op.rawValue): \(slot) is one of \(words.joined(separator: ", "))",
          at: expression.position,
          suggestion: suggestion(for: expression.text, among: words))
      }
      return .word(word)
    case .int: return .int(try constantWhole(expression, atLeast: Int(Int32.min)))
    case .double:
      let value = try constantValue(expression)
      guard case .number(let number) = value else {
        throw failure(
          .wrongKind, "\(op.rawValue): \(slot) is a number, found \(value.kind)",
          at: expression.position)
      }
      return .double(number)
    case .bool:
      let value = try constantValue(expression)
      guard case .bool(let bool) = value else {
        throw failure(
          .wrongKind, "\(op.rawValue): \(slot) is true or false, found \(value.kind)",
          at: expression.position)
      }
      return .bool(bool)
    case .doubles, .dims:
      throw failure(
        .wrongArguments, "\(op.rawValue): \(slot) is set by passes", at: expression.position)
    }
  }
}
