// SPDX-License-Identifier: Apache-2.0
// Reads the arguments of a rule, such as adam(lr: 0.05, betas: [0.9, 0.95]), by its signature.

import IR

struct RuleReader {
  let evaluator: ConstantEvaluator
  let signature: RuleSignature
  /// The place of the rule's word.
  let place: SourceLocation

  /// The values of all parameters that were given or have a default.
  func values(_ arguments: [SyntaxArgument]) throws(Diagnostic) -> [String: RuleValue] {
    var values: [String: RuleValue] = [:]
    var positional = signature.parameters.filter(\.isPositional)[...]
    for argument in arguments {
      let location = self.location(argument.label?.position ?? argument.value.position)
      let parameter: RuleParameter
      if let label = argument.label {
        guard let named = signature.parameters.first(where: { $0.name == label.text }) else {
          throw Diagnostic(
            .malformedEntry, "\(signature.name) has no '\(label.text)'", at: location,
            suggestion: signature.name == Optimizer.muon.name && label.text == "gradient_scale"
              ? "it normalises gradients, so a factor on them has no effect: give a pattern a rate of its own"
              : suggestion(for: label.text, among: signature.parameters.map(\.name))
                ?? "the form is: \(signature.text)")
        }
        parameter = named
      } else if let first = positional.first {
        if case .numbers = first.kind {} else { positional.removeFirst() }
        parameter = first
      } else {
        throw Diagnostic(
          .malformedEntry, "\(signature.name) does not take '\(argument.value.text)'",
          at: location, suggestion: "the form is: \(signature.text)")
      }
      let value = try self.value(argument.value, parameter, location)
      if case .numbers(let more) = value, case .numbers(var numbers)? = values[parameter.name] {
        // Taken out first, so that the list grows in place.
        values[parameter.name] = nil
        numbers += more
        values[parameter.name] = .numbers(numbers)
      } else if values[parameter.name] != nil {
        throw Diagnostic(.duplicateEntry, "'\(parameter.name)' is given twice", at: location)
      } else {
        values[parameter.name] = value
      }
    }
    for parameter in signature.parameters {
      guard case .numbers(_, let count) = parameter.kind,
        case .numbers(let numbers)? = values[parameter.name], !count.contains(numbers.count)
      else { continue }
      throw Diagnostic(
        .malformedEntry,
        "\(signature.name) takes \(count.lowerBound) to \(count.upperBound) numbers, found "
          + "\(numbers.count)", at: place)
    }
    for parameter in signature.parameters where values[parameter.name] == nil {
      guard let text = parameter.defaultText else {
        throw Diagnostic(
          .malformedEntry, "\(signature.name) needs '\(parameter.name)'", at: place,
          suggestion: "the form is: \(signature.text)")
      }
      // Defaults are written in the tables of this module and parse.
      if let expression = try? parseExpression(SourceFile(path: "default", text: text)) {
        values[parameter.name] = try value(expression, parameter, place)
      }
    }
    return values
  }

  private func location(_ position: SyntaxPosition) -> SourceLocation {
    SourceLocation(path: evaluator.path, line: position.line, column: position.column)
  }

  private func value(
    _ expression: SyntaxExpression, _ parameter: RuleParameter, _ location: SourceLocation
  ) throws(Diagnostic) -> RuleValue {
    let what = "\(signature.name)'s \(parameter.name)"
    switch parameter.kind {
    case .number(let range): return .number(try number(expression, range, what, location))
    case .numbers(let range, _): return .numbers([try number(expression, range, what, location)])
    case .bool: return .bool(try evaluator.bool(expression))
    case .word(let words):
      guard case .name(let word) = expression.kind, words.contains(word) else {
        let choices = words.joined(separator: " or ")
        throw Diagnostic(
          .malformedEntry, "\(what) is \(choices), found '\(expression.text)'", at: location,
          suggestion: suggestion(for: expression.text, among: words))
      }
      return .word(word)
    case .pair(let range):
      guard case .list(let entries) = try evaluator.value(expression), entries.count == 2 else {
        throw Diagnostic(
          .malformedEntry, "\(what) is a list of two numbers, found '\(expression.text)'",
          at: location)
      }
      var numbers: [Double] = []
      for entry in entries {
        numbers.append(try RuleReader.checked(entry, range, what, at: location))
      }
      return .numbers(numbers)
    case .ramp:
      guard case .call(let callee, let arguments) = expression.kind,
        case .name("ramp") = callee.kind
      else { return .number(try number(expression, .atMostOne, what, location)) }
      let ramp = RuleReader(evaluator: evaluator, signature: .ramp, place: location)
      let values = try ramp.values(arguments)
      guard case .number(let from)? = values["from"], case .number(let to)? = values["to"],
        case .number(let steps)? = values["steps"], case .number(let after)? = values["after"]
      else { return .number(0) }
      if steps > 0, after > 0 {
        throw Diagnostic(
          .malformedEntry,
          "a ramp has either `steps` at the beginning or what is `after` a part of "
            + "training", at: location)
      }
      return .ramp(Ramp(from: from, to: to, over: steps > 0 ? .steps(Int(steps)) : .after(after)))
    }
  }

  private func number(
    _ expression: SyntaxExpression, _ range: NumberRange, _ what: String,
    _ location: SourceLocation
  ) throws(Diagnostic) -> Double {
    try RuleReader.checked(try evaluator.value(expression), range, what, at: location)
  }

  /// The number of a constant, checked against what is accepted.
  static func checked(
    _ value: ConstantValue, _ range: NumberRange, _ what: String, at location: SourceLocation
  ) throws(Diagnostic) -> Double {
    guard case .number(let number) = value else {
      throw Diagnostic(.wrongKind, "\(what) is \(range.text), found \(value.kind)", at: location)
    }
    guard range.contains(number) else {
      var code = DiagnosticCode.valueRange
      if range.isWhole, number != number.rounded() { code = .notWhole }
      throw Diagnostic(
        code,
        "\(what) must be \(range.text), found \(range.isWhole ? value.foundForWhole : value.text)",
        at: location)
    }
    return number
  }
}

extension RuleSignature {
  /// `ramp(from, to, steps: n)`: a value that changes linearly over the first steps; `after: f`: when
  /// that part of training is over.
  fileprivate static let ramp = RuleSignature(
    "ramp",
    [
      RuleParameter("from", .number(.atMostOne), positional: true),
      RuleParameter("to", .number(.atMostOne), positional: true),
      RuleParameter("steps", .number(.whole(atLeast: 0)), default: "0"),
      RuleParameter("after", .number(.fraction), default: "0"),
    ])
}
