// SPDX-License-Identifier: Apache-2.0
// What a graph must hold to be the forward function of a model, beside causality.

/// Why a graph is no forward function.
public struct ForwardProblem: Sendable {
  public let code: DiagnosticCode
  public let message: String
  public let suggestion: String?
  /// The value it is about; nil: the function.
  public let value: Value?

  init(
    _ message: String, code: DiagnosticCode = .badForward, suggestion: String? = nil,
    at value: Value? = nil
  ) {
    (self.code, self.message, self.suggestion, self.value) = (code, message, suggestion, value)
  }
}

extension Graph {
  /// Everything that keeps the graph from being a model's forward function, leaks first: with a leak
  /// nothing else counts.
  ///
  /// `function` is where the function is declared, `places` where a value is made whose node has no
  /// place of its own.
  public func forwardErrors(
    at function: SourceLocation?, places: (Value) -> SourceLocation? = { _ in nil }
  ) -> [Diagnostic] {
    let leaks = causalityErrors(places: places)
    if !leaks.isEmpty { return leaks }
    let producers = producers()
    return forwardProblems().map { problem in
      let made = problem.value.flatMap { value in
        producers[value].flatMap { SourceLocation(nodes[$0].location) } ?? places(value)
      }
      return Diagnostic(
        problem.code, problem.message, at: made ?? function, suggestion: problem.suggestion)
    }
  }

  /// Why the graph is no forward function, empty if it is one: one input of tokens [B, T] with open
  /// sizes, one output `dist` [B, T, vocabulary] from a softmax, tables with a row for every token,
  /// and no op that only passes may make.
  public func forwardProblems() -> [ForwardProblem] {
    let declarations = declarationProblems()
    if !declarations.isEmpty { return declarations }
    guard inputs.count == 1, type(inputs[0]).kind == .tokens else {
      return [ForwardProblem("forward takes one input, of tokens")]
    }
    guard outputs.count == 1, outputs[0].name == "dist", writes.isEmpty else {
      return [ForwardProblem("forward returns one value, named dist")]
    }
    let output = outputs[0].value
    let isMade = nodes.contains { $0.op == .softmax && $0.results == [output] }
    if Safeguard.distribution.isOn, !isMade {
      return [ForwardProblem("what forward returns is not made by softmax", at: output)]
    }
    return opProblems() + sizeProblems(of: type(inputs[0]), type(output))
  }

  /// Forward keeps nothing between calls, and its params have a size before any call.
  private func declarationProblems() -> [ForwardProblem] {
    parameters.compactMap { parameter in
      guard parameter.role == .param else {
        return ForwardProblem("forward keeps no state, and @\(parameter.path) is one")
      }
      let isSized = parameter.type.shape.allSatisfy { $0.number != nil }
      if isSized, parameter.type.kind == .tensor { return nil }
      return ForwardProblem(
        "the param @\(parameter.path) is \(parameter.type): params are tensors of known sizes")
    }
  }

  private func opProblems() -> [ForwardProblem] {
    nodes.filter { !$0.definition.isSurface }.map {
      ForwardProblem(
        "\($0.op.rawValue) is made by passes alone; it cannot stand in forward", at: $0.results[0])
    }
  }

  private func sizeProblems(of tokens: TensorType, _ dist: TensorType) -> [ForwardProblem] {
    let form =
      "write forward(ids: tokens[B, T]) -> dist[B, T, vocab]; the sections say how many rows "
      + "and positions a function has"
    guard tokens.rank == 2 else {
      return [
        ForwardProblem("the input must be tokens[B, T], found \(tokens)", suggestion: form)
      ]
    }
    let isOpen = tokens.shape.allSatisfy { $0.number == nil }
    guard isOpen, tokens.shape[0] != tokens.shape[1] else {
      return [
        ForwardProblem(
          "the rows and positions of the input must be two open sizes, found \(tokens)",
          code: .openSize, suggestion: form, at: inputs[0])
      ]
    }
    guard dist.rank == 3, Array(dist.shape.prefix(2)) == tokens.shape,
      let vocabulary = dist.shape[2].number
    else {
      return [
        ForwardProblem(
          "forward must return one distribution a token: dist[\(tokens.shape[0]), "
            + "\(tokens.shape[1]), vocab], found \(dist)", suggestion: form)
      ]
    }
    return nodes.compactMap { node in
      guard node.op == .embed, type(node.operands[1]).kind == .tokens,
        let rows = type(node.operands[0]).shape[0].number, rows < vocabulary
      else { return nil }
      return ForwardProblem(
        "tokens reach \(vocabulary), the table \(spelled(node.operands[0])) has \(rows) rows",
        suggestion: "give the table \(vocabulary) rows, one for each token", at: node.result)
    }
  }
}
