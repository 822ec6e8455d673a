// SPDX-License-Identifier: Apache-2.0
// Calls: a name before ( is a part in scope, else an op or a function of constants.

import IR

/// Ops of published models that the language names and this version has not.
private let laterOps: Set<String> = ["mix"]

extension Elaborator {
  /// A call, with `first` as its first argument when it came through a pipe.
  mutating func call(
    _ callee: SyntaxExpression, first: Meaning?, _ arguments: [SyntaxArgument],
    at place: SyntaxPosition, name: String?
  ) throws(Failure) -> Meaning {
    guard case .name(let spelled) = callee.kind else {
      let meaning = try evaluate(callee)
      guard case .part(let index) = meaning else {
        throw failure(
          .unknownCall, "'\(callee.text)' is \(describe(meaning)), not a part", at: place)
      }
      return try callPart(index, first, arguments, at: place)
    }
    let found = binding(spelled)
    switch found?.meaning {
    case .part(let index)?: return try callPart(index, first, arguments, at: place)
    case .family?:
      throw failure(
        .unknownCall, "'\(spelled)' is a family: call one of its parts", at: place,
        suggestion: "write \(spelled)[i](…)")
    default: break
    }
    if let op = Op(rawValue: spelled), op.definition.isSurface, op != .fused {
      return try callOp(op, first, arguments, at: place, name: name)
    }
    if ConstantValue.functions[spelled] != nil {
      return try callFunction(spelled, first, arguments, at: place)
    }
    if case .unknown? = found?.meaning, found?.kind == .part { throw .followUp }
    throw unknownCall(spelled, found, at: place)
  }

  private func unknownCall(
    _ name: String, _ found: Binding?, at place: SyntaxPosition
  ) -> Failure {
    if laterOps.contains(name) {
      return failure(.notSupported, "the op '\(name)' is not supported yet", at: place)
    }
    if program.blocks[name] != nil {
      return failure(
        .unknownCall, "'\(name)' is a block; calls use its instances", at: place,
        suggestion: "declare one: part \(name.lowercased()) = \(name)()")
    }
    if let found {
      return failure(
        .unknownCall, "'\(name)' is \(describe(found.meaning)), not a part or op", at: place,
        suggestion: suggestion(for: name, among: callable()))
    }
    if instances[0].names[name]?.kind == .part {
      return failure(
        .unknownCall, "the part '\(name)' is not visible in the block \(frame.what)", at: place,
        suggestion: "declare the part in the block, or pass the value it makes")
    }
    return failure(
      .unknownCall, "there is no op or part '\(name)'", at: place,
      suggestion: Hints.call(name) ?? suggestion(for: name, among: callable()))
  }

  private func callable() -> [String] {
    var names = Op.allCases.filter(\.definition.isSurface).map(\.rawValue)
    names += ConstantValue.functions.keys.sorted()
    return names + instances[frame.instance].names.filter { $0.value.kind == .part }.keys.sorted()
  }

  private mutating func callFunction(
    _ name: String, _ first: Meaning?, _ arguments: [SyntaxArgument], at place: SyntaxPosition
  ) throws(Failure) -> Meaning {
    var meanings = first.map { [$0] } ?? []
    for argument in arguments {
      if let label = argument.label {
        throw failure(
          .wrongArguments, "\(name) takes no labels", at: label.position)
      }
      meanings.append(try evaluate(argument.value))
    }
    var values: [ConstantValue] = []
    for meaning in meanings {
      guard case .constant(let value) = meaning else {
        throw failure(
          .notConstant, "\(name) is a function of constants, found \(describe(meaning))", at: place)
      }
      values.append(value)
    }
    return .constant(
      try constant(at: place) { () throws(ConstantError) in try ConstantValue.call(name, values) })
  }

  // MARK: Parts

  private mutating func callPart(
    _ index: Int, _ first: Meaning?, _ arguments: [SyntaxArgument], at place: SyntaxPosition
  ) throws(Failure) -> Meaning {
    let instance = instances[index]
    guard let block = program.blocks[instance.block] else { throw .followUp }
    instances[index].isCalled = true
    let inputs = try bind(arguments, first, to: block, at: place)
    let count = (frame.calls[index] ?? 0) + 1
    frame.calls[index] = count
    // A part's value names begin with the names of the call it is called from.
    let own = instances[frame.instance].path
    var valuePath = instance.path
    if !own.isEmpty, valuePath.hasPrefix(own + ".") {
      valuePath = frame.valuePath + valuePath.dropFirst(own.count)
    }
    if count > 1 { valuePath += "'\(count)" }
    let callers = [location(place).callSite] + frame.callers
    guard callers.count < Limits.calls else {
      throw abort("more than \(Limits.calls) calls inside each other", as: .tooDeep, at: place)
    }
    frames.append(
      Frame(
        path: block.path, what: instance.block, instance: index, valuePath: valuePath,
        callers: callers))
    defer { frames.removeLast() }
    for (input, meaning) in zip(block.inputs, inputs) {
      do throws(Failure) {
        try declare(input.name, meaning, .input)
        if let type = input.type { try check(meaning, against: type, of: input) }
      } catch {
        report(error)
        frame.scopes[0][input.name.text] = Binding(
          meaning: .unknown, kind: .input, place: location(input.name.position))
      }
    }
    guard let returned = run(block.body) else {
      if isAborted { throw .followUp }
      throw failure(
        .badPart, "the block \(instance.block) does not return", at: block.body.close)
    }
    if returned.meanings.contains(where: { if case .unknown = $0 { true } else { false } }) {
      throw .followUp
    }
    return returned.meanings.count == 1 ? returned.meanings[0] : .several(returned.meanings)
  }

  /// The meanings of a block's inputs, in order.
  private mutating func bind(
    _ arguments: [SyntaxArgument], _ first: Meaning?, to block: Block, at place: SyntaxPosition
  ) throws(Failure) -> [Meaning] {
    var given: [Int: Meaning] = [:]
    var position = 0
    if let first {
      guard !block.inputs.isEmpty else {
        throw failure(.wrongArguments, "\(block.name.text) takes no inputs", at: place)
      }
      given[0] = first
      position = 1
    }
    for argument in arguments {
      let at = argument.label?.position ?? argument.value.position
      var slot = position
      if let label = argument.label {
        guard let found = block.inputs.firstIndex(where: { $0.name.text == label.text }) else {
          let options = block.body.statements.flatMap(\.declaredOptions).map(\.text)
          throw failure(
            .wrongArguments, "\(block.name.text) has no input '\(label.text)'", at: at,
            suggestion: options.contains(label.text)
              ? "'\(label.text)' is an option: give it where the part is declared"
              : suggestion(for: label.text, among: block.inputs.map(\.name.text)))
        }
        slot = found
      } else {
        position += 1
      }
      guard slot < block.inputs.count else {
        throw failure(
          .wrongArguments,
          "\(block.name.text) takes \(block.inputs.count) inputs: "
            + block.inputs.map(\.name.text).joined(separator: ", "),
          at: at)
      }
      guard given[slot] == nil else {
        throw failure(
          .wrongArguments, "the input '\(block.inputs[slot].name.text)' is given twice", at: at)
      }
      let meaning = try evaluate(argument.value)
      switch meaning {
      case .value, .constant: given[slot] = meaning
      default:
        throw failure(
          .wrongKind, "inputs are values, found \(describe(meaning))", at: argument.value.position)
      }
    }
    var meanings: [Meaning] = []
    for (slot, input) in block.inputs.enumerated() {
      if let meaning = given[slot] {
        meanings.append(meaning)
      } else if let value = input.value {
        do throws(Diagnostic) {
          let evaluator = ConstantEvaluator(
            path: block.path, names: { [] },
            lookup: { [log, constants, program] name in
              log.names.insert(name)
              return program.sees(name, in: block.path) ? constants[name]?.value : nil
            })
          meanings.append(.constant(try evaluator.value(value)))
        } catch {
          throw .diagnostic(error)
        }
      } else {
        throw failure(
          .wrongArguments, "\(block.name.text) needs the input '\(input.name.text)'", at: place)
      }
    }
    return meanings
  }

  /// Checks an argument against the type of its input, binding open sizes that occur first here.
  private mutating func check(
    _ meaning: Meaning, against type: SyntaxType, of input: SyntaxInput
  ) throws(Failure) {
    let shown =
      "\(input.name.text): \(type.text)"
    guard case .value(let value) = meaning else {
      throw failure(
        .wrongKind, "\(shown) needs a tensor, found \(describe(meaning))", at: input.name.position)
    }
    let actual = builder.type(value)
    let fits: Bool
    switch (type.word?.text, actual.kind) {
    case (nil, .tensor), ("tokens", .tokens), ("index", .index), ("dist", .dist): fits = true
    default: fits = false
    }
    guard fits, type.shape.count == actual.rank else {
      throw failure(.shapeMismatch, "\(shown) does not take \(actual)", at: input.name.position)
    }
    for (axis, (expression, dim)) in zip(type.shape, actual.shape).enumerated() {
      if case .name(let name) = expression.kind, isNewSize(name) {
        guard case .open = dim else {
          throw failure(
            .openSize, "the open size \(name) cannot stand for the number \(dim) of \(actual)",
            at: expression.position)
        }
        frame.sizes[name] = dim
        continue
      }
      let expected = try size(expression, binding: false)
      guard expected == dim else {
        throw failure(
          .shapeMismatch,
          "\(shown) does not take \(actual): axis \(axis) is \(dim), not \(expected)",
          at: expression.position)
      }
    }
  }

  /// Whether a name in a type is an open size that is not yet bound.
  private func isNewSize(_ name: String) -> Bool {
    guard let first = name.first, first.isUppercase, frame.sizes[name] == nil,
      binding(name) == nil
    else { return false }
    return constants[name] == nil || !program.sees(name, in: frame.path)
  }

  /// A size: a whole constant or an open size, which `binding` allows to occur first.
  mutating func size(_ expression: SyntaxExpression, binding: Bool) throws(Failure) -> Dim {
    if case .name(let name) = expression.kind {
      if binding, isNewSize(name) { frame.sizes[name] = .open(name) }
      if let dim = frame.sizes[name] { return dim }
    }
    return .number(try constantWhole(expression, atLeast: 1))
  }
}
