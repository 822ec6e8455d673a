// SPDX-License-Identifier: Apache-2.0
// A whole model, written node by node, with the gradients of all its weights, against reference
// values that automatic differentiation gave elsewhere: the ops and their rules working together.

import IR
import Runtime
import Testing

@Suite struct InterpreterBaselineTests {
  @Test func lossAndGradientsOfTheBaselineEqualTheReference() throws {
    let fixture = try Fixture("baseline-even", "weights")
    var model = Baseline(fixture)
    let nll = try model.nll()
    let gradients = try model.gradients(of: nll)
    model.builder.output("nll", nll)
    for (path, gradient) in gradients { model.builder.output("grad." + path, gradient) }
    #expect(model.builder.graph.violations().isEmpty)

    let ids = try fixture.identifiers("tokens")
    let result = try Interpreter(model.builder.graph).run(
      parameters: model.contents,
      inputs: ["ids": .ids(ids), "targets": .ids(try fixture.identifiers("targets"))])
    let expected = try fixture.expected("nll").values
    #expect(largestRelativeError(result.reals("nll"), expected) < 1e-9)
    #expect(Set(gradients.keys) == Set(model.contents.keys))
    for path in gradients.keys {
      // The reference is stored in float32.
      let expected = try fixture.expected("grad." + path).values
      let error = largestRelativeError(result.reals("grad." + path), expected)
      #expect(error < 1e-6, "\(path)")
    }
  }
}

/// The baseline with the sizes of the fixture `baseline-even`.
private struct Baseline {
  private let fixture: Fixture
  private let batch = 2
  private let positions = 32
  private let width = 64
  private let heads = 4
  private let groups = 2
  private let layers = 4
  private var declared: [String: Value] = [:]
  var builder = Builder(name: "loss")
  var contents: [String: [Double]] = [:]

  init(_ fixture: Fixture) { self.fixture = fixture }

  /// Negative log likelihoods of all tokens.
  mutating func nll() throws -> Value {
    let type = TensorType(.tokens, [.number(batch), .number(positions)])
    let ids = builder.input("ids", type)
    let targets = builder.input("targets", type)
    let table = try weight("tok_emb.weight")
    var x = norm(builder.one(.embed, [table, ids]))
    let first = x
    var skips: [Value] = []
    for layer in 0..<layers {
      if layer >= layers / 2 {
        let scale = row(try weight("skip_weights"), layer - layers / 2)
        x = builder.one(.add, [x, builder.one(.mul, [scale, skips.removeLast()])])
      }
      x = try block(layer, x, first)
      if layer < layers / 2 { skips.append(x) }
    }
    let logits = builder.one(.linear, [norm(x), table])
    return try builder.apply(.crossEntropy, [logits, targets], [.cap: .double(30)])[0]
  }

  private mutating func block(_ layer: Int, _ x: Value, _ first: Value) throws -> Value {
    let path = "blocks.\(layer)."
    let mix = try weight(path + "resid_mix")
    var x = builder.one(
      .add,
      [builder.one(.mul, [row(mix, 0), x]), builder.one(.mul, [row(mix, 1), first])])
    let normed = norm(x)
    let q = rotated(split(try linear(normed, path + "attn.c_q.weight"), heads))
    let k = rotated(split(try linear(normed, path + "attn.c_k.weight"), groups))
    let v = split(try linear(normed, path + "attn.c_v.weight"), groups)
    let gained = builder.one(.scaleHeads, [q, try weight(path + "attn.q_gain")])
    let read = builder.one(.mergeHeads, [builder.one(.attention, [gained, k, v])])
    let attended = try linear(read, path + "attn.proj.weight")
    x = builder.one(
      .add, [x, builder.one(.mul, [try weight(path + "attn_scale"), attended])])
    let hidden = builder.one(.leakyRelu, [try linear(norm(x), path + "mlp.fc.weight")])
    let fed = try linear(builder.one(.square, [hidden]), path + "mlp.proj.weight")
    return builder.one(.add, [x, builder.one(.mul, [try weight(path + "mlp_scale"), fed])])
  }

  private mutating func norm(_ x: Value) -> Value { builder.one(.rmsNorm, [x]) }
  private mutating func split(_ x: Value, _ heads: Int) -> Value {
    builder.one(.splitHeads, [x], [.heads: .int(heads)])
  }
  private mutating func rotated(_ x: Value) -> Value {
    builder.one(.rope, [norm(x)], [.dims: .int(width / heads)])
  }
  private mutating func linear(_ x: Value, _ path: String) throws -> Value {
    builder.one(.linear, [x, try weight(path)])
  }
  private mutating func row(_ x: Value, _ index: Int) -> Value {
    builder.one(
      .slice, [x],
      [.axis: .int(0), .start: .int(index), .count: .int(1), .squeeze: .bool(true)])
  }

  private mutating func weight(_ path: String) throws -> Value {
    if let value = declared[path] { return value }
    let tensor = try fixture.given(path)
    let value = builder.declare(
      Parameter(
        role: .param, path: path, type: .tensor(tensor.sizes), group: "", initial: .zeros))
    (declared[path], contents[path]) = (value, tensor.values)
    return value
  }

  /// Gradients of the mean of `nll`, by weight, with the rules applied from the last node to the
  /// first.
  mutating func gradients(of nll: Value) throws -> [String: Value] {
    let count = Double(batch * positions)
    let zero = builder.one(.scale, [nll], [.by: .double(0)])
    var gradients = [nll: builder.one(.offset, [zero], [.by: .double(1 / count)])]
    for node in builder.graph.nodes.dropLast(2).reversed() {
      let incoming = node.results.map { gradients[$0] }
      guard incoming.contains(where: { $0 != nil }),
        case .rule(let rule) = node.definition.gradient
      else { continue }
      for (operand, gradient) in zip(node.operands, rule(&builder, node, incoming)) {
        guard let gradient else { continue }
        gradients[operand] =
          gradients[operand].map { builder.one(.add, [$0, gradient]) } ?? gradient
      }
    }
    return declared.compactMapValues { gradients[$0] }
  }
}
