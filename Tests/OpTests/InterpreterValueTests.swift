// SPDX-License-Identifier: Apache-2.0
// Small expected values of the interpreter's forward ops, and its messages for wrong input. Values
// follow from the formulas by hand unless a test says otherwise.

import IR
import Runtime
import TestSupport
import Testing

@Suite struct InterpreterValueTests {
  @Test func elementwiseOpsStretchMissingAxesAndAxesOfOne() throws {
    let table = reals([2, 1], [1, 2])
    let row = reals([3], [10, 20, 30])
    #expect(try run(.add, [table, row]) == [11, 21, 31, 12, 22, 32])
    #expect(try run(.sub, [table, row]) == [-9, -19, -29, -8, -18, -28])
    #expect(try run(.mul, [table, row]) == [10, 20, 30, 20, 40, 60])
    let sums = try run(
      .sumTo, [reals([2, 3], [1, 2, 3, 4, 5, 6])], [.shape: .dims([.number(2), .number(1)])])
    #expect(sums == [6, 15])
  }

  @Test func activationsFollowTheirFormulas() throws {
    let x = reals([3], [-2, 0, 4])
    #expect(try run(.leakyRelu, [x], [.slope: .double(0.5)]) == [-1, 0, 4])
    #expect(try run(.leakyRelu, [x]) == [0, 0, 4])
    #expect(try run(.square, [x]) == [4, 0, 16])
    #expect(try run(.scale, [x], [.by: .double(0.5)]) == [-1, 0, 2])
    #expect(try run(.offset, [x], [.by: .double(1)]) == [-1, 1, 5])
    // tanh(1) and 1 / (1 + e²).
    expectClose(
      try run(.softcap, [x], [.cap: .double(2)]),
      [-1.5231883119115297, 0, 1.9280551601516338])
    expectClose(try run(.sigmoid, [x])[0], 0.11920292202211755)
  }

  @Test func slicesTakeAndUnslicesPutBack() throws {
    let x = reals([2, 3], [1, 2, 3, 4, 5, 6])
    let columns: [AttributeName: AttributeValue] = [
      .axis: .int(1), .start: .int(1), .count: .int(2),
    ]
    #expect(try run(.slice, [x], columns) == [2, 3, 5, 6])
    let wide: [AttributeName: AttributeValue] = [
      .axis: .int(1), .start: .int(2), .shape: .dims([.number(2), .number(3)]),
    ]
    #expect(try run(.unslice, [reals([2], [7, 8])], wide) == [0, 0, 7, 0, 0, 8])
  }

  @Test func slicesOfTokensStayTokens() throws {
    var builder = Builder(name: "slice")
    let ids = builder.input("ids", TensorType(.tokens, [.number(1), .number(3)]))
    let later = builder.one(.slice, [ids], [.axis: .int(1), .start: .int(1), .count: .int(2)])
    builder.output("later", later)
    let result = try Interpreter(builder.graph).run(
      parameters: [:], inputs: ["ids": .ids([7, 8, 9])])
    #expect(result.outputs == ["later": .ids([8, 9])])
  }

  @Test func matrixProductsUseWeightsByOutputRow() throws {
    let x = reals([2, 2], [1, 2, 3, 4])
    let w = reals([3, 2], [1, 0, 0, 1, 1, -1])
    #expect(try run(.linear, [x, w]) == [1, 2, -1, 3, 4, -1])
    let dy = reals([2, 3], [1, 0, 2, 0, 1, 0])
    #expect(try run(.linearBackwardInput, [dy, w]) == [3, -2, 0, 1])
    #expect(try run(.linearBackwardWeight, [dy, x]) == [1, 2, 3, 4, 2, 4])
  }

  @Test func embeddingsOfEqualIdentifiersAddTheirGradients() throws {
    let ids = OpSample.Operand(type: TensorType(.tokens, [.number(3)]), content: .ids([1, 0, 1]))
    #expect(try run(.embed, [reals([2, 2], [1, 2, 3, 4]), ids]) == [3, 4, 1, 2, 3, 4])
    let dy = reals([3, 2], [1, 2, 3, 4, 5, 6])
    #expect(try run(.embedBackward, [dy, ids], [.vocab: .int(3)]) == [3, 4, 6, 8, 0, 0])
  }

  @Test func rmsNormDividesByTheRootOfTheMeanSquare() throws {
    // Mean square 12.5, with an epsilon of 3.5 the root is 4.
    let y = try run(.rmsNorm, [reals([1, 2], [3, 4])], [.epsilon: .double(3.5)])
    #expect(y == [0.75, 1])
  }

  @Test func ropeTurnsHalvesOfTheFirstFeatures() throws {
    // Position 1, base 4: frequencies 1 and 1/2; the fifth feature stays.
    let x = reals([1, 2, 1, 5], [1, 2, 3, 4, 5, 1, 0, 0, 2, 7])
    let y = try run(.rope, [x], [.dims: .int(4), .base: .double(4)])
    let (cosine, sine) = (0.5403023058681398, 0.8414709848078965)
    let (halfCosine, halfSine) = (0.8775825618903728, 0.479425538604203)
    #expect(Array(y[..<5]) == [1, 2, 3, 4, 5])
    expectClose(Array(y[5...]), [cosine, 2 * halfSine, -sine, 2 * halfCosine, 7])
  }

  @Test func ropeBaseGrowsBeyondTheTrainedPositions() throws {
    // 2 positions over train 1: base 4 * 2^(4/2) = 16, so the second frequency is 1/4.
    let x = reals([1, 2, 1, 4], [0, 0, 0, 0, 0, 1, 0, 0])
    let y = try run(.rope, [x], [.dims: .int(4), .base: .double(4), .train: .int(1)])
    expectClose(Array(y[4...]), [0, 0.9689124217106447, 0, -0.24740395925452294])
  }

  @Test func ropeRampSlowsTheLowFrequencies() throws {
    // 2i/dims = 1/2, t = (1/2 - 1/4) / (3/4) = 1/3, frequency 1/2 over 1/3 * 3 + 1 = 1/4.
    let x = reals([1, 2, 1, 4], [0, 0, 0, 0, 0, 1, 0, 0])
    let attributes: [AttributeName: AttributeValue] = [
      .dims: .int(4), .base: .double(4), .rampFrom: .double(0.25), .rampFactor: .double(4),
    ]
    let y = try run(.rope, [x], attributes)
    expectClose(Array(y[4...]), [0, 0.9689124217106447, 0, -0.24740395925452294])
  }

  @Test func attentionWeighsThePastOfTheGroup() throws {
    // Equal scores: the mean of the values so far, of kv head 0 for both query heads.
    let q = reals([1, 2, 2, 1], [0, 0, 0, 0])
    let v = reals([1, 2, 1, 1], [2, 6])
    var builder = Builder(name: "attention")
    let values = [q, v, v].enumerated().map { builder.input("x\($0.offset)", $0.element.type) }
    let results = try builder.apply(.attention, values)
    builder.output("y", results[0])
    builder.output("lse", results[1])
    let result = try Interpreter(builder.graph).run(
      parameters: [:], inputs: ["x0": q.content, "x1": v.content, "x2": v.content])
    expectClose(result.reals("y"), [2, 2, 4, 4])
    expectClose(result.reals("lse"), [0, 0.6931471805599453, 0, 0.6931471805599453])
  }

  @Test func crossEntropyOfEqualLogitsIsTheLogOfTheirNumber() throws {
    let targets = OpSample.Operand(type: TensorType(.tokens, [.number(2)]), content: .ids([0, 2]))
    let z = reals([2, 3], [5, 5, 5, 0, 0, 700])
    expectClose(try run(.crossEntropy, [z, targets]), [1.0986122886681098, 0])
    // Capped at 2, the logits of the second row are 0, 0, 2.
    expectClose(
      try run(.crossEntropy, [z, targets], [.cap: .double(2)]),
      [1.0986122886681098, 0.2395447662218847])
    expectClose(
      try run(.softmax, [z]), [1.0 / 3, 1.0 / 3, 1.0 / 3, 0, 0, 1])
  }

  @Test func fusedNodesRunTheirBody() throws {
    let graph = try OpSample.samples(of: .fused)[0].graph()
    #expect(graph.nodes.map(\.op) == [.fused])
    let result = try Interpreter(graph).run(
      parameters: [:], inputs: OpSample.samples(of: .fused)[0].inputs)
    for row in 0..<3 {
      let squares = result.reals("y0")[(row * 7)..<(row * 7 + 7)].reduce(0) { $0 + $1 * $1 }
      #expect(abs(squares / 7 - 1) < 1e-3)
    }
  }

  // MARK: Graphs and messages

  @Test func openSizesAreBoundForOneRun() throws {
    var builder = Builder(name: "open")
    let x = builder.input("x", TensorType(.tensor, [.open("B"), .number(2)]))
    let bias = builder.input("bias", .tensor([2]))
    builder.output("y", builder.one(.add, [x, bias]))
    let inputs: [String: Interpreter.Content] = [
      "x": .reals([1, 2, 3, 4]), "bias": .reals([10, 20]),
    ]
    let result = try Interpreter(builder.graph, sizes: ["B": 2]).run(
      parameters: [:], inputs: inputs)
    #expect(result.reals("y") == [11, 22, 13, 24])
    let error = #expect(throws: InterpreterError.self) {
      try Interpreter(builder.graph).run(parameters: [:], inputs: inputs)
    }
    #expect(error?.message == "%x: size B is open, give its number")
  }

  @Test func writesComeBackByPath() throws {
    var builder = Builder(name: "step")
    let w = builder.declare(
      Parameter(role: .param, path: "a.w", type: .tensor([2]), group: "", initial: .zeros))
    builder.write(w, builder.one(.scale, [w], [.by: .double(2)]))
    let result = try Interpreter(builder.graph).run(
      parameters: ["a.w": [1, 2], "unused": []], inputs: [:])
    #expect(result.writes == ["a.w": [2, 4]])
    #expect(result.outputs.isEmpty)
  }

  @Test func wrongContentIsNamed() throws {
    var builder = Builder(name: "look")
    let table = builder.declare(
      Parameter(role: .param, path: "table", type: .tensor([2, 1]), group: "", initial: .zeros))
    let ids = builder.input("ids", TensorType(.tokens, [.number(2)]))
    builder.location = "m.graph:3:4"
    builder.output("y", builder.one(.embed, [table, ids]))
    let interpreter = Interpreter(builder.graph)
    func message(_ parameters: [String: [Double]], _ inputs: [String: Interpreter.Content])
      -> String?
    {
      #expect(throws: InterpreterError.self) {
        try interpreter.run(parameters: parameters, inputs: inputs)
      }?.message
    }
    let good: [String: Interpreter.Content] = ["ids": .ids([0, 1])]
    #expect(message([:], good) == "param @table is missing")
    #expect(message(["table": [1]], good) == "param @table must have 2 elements [2, 1], found 1")
    let parameters = ["table": [1.0, 2]]
    #expect(message(parameters, [:]) == "input %ids is missing")
    #expect(
      message(parameters, ["ids": .ids([0])]) == "input %ids must have 2 elements [2], found 1")
    #expect(
      message(parameters, ["ids": .reals([0, 1])])
        == "input %ids is tokens[2], found real numbers")
    #expect(
      message(parameters, ["ids": .ids([0, 1]), "id": .ids([])])
        == "%id is not an input; the inputs are %ids")
    #expect(
      message(parameters, ["ids": .ids([0, 2])])
        == "%embed = embed: identifier 2 is not in 0 ..< 2 at m.graph:3:4")
  }

  // MARK: One op at a time

  private func reals(_ sizes: [Int], _ values: [Double]) -> OpSample.Operand {
    OpSample.Operand(type: .tensor(sizes), content: .reals(values))
  }

  /// The first result of one op.
  private func run(
    _ op: Op, _ operands: [OpSample.Operand], _ attributes: [AttributeName: AttributeValue] = [:]
  ) throws -> [Double] {
    let sample = OpSample(op: op, note: "", operands: operands, attributes: attributes)
    return try Interpreter(sample.graph()).run(parameters: [:], inputs: sample.inputs).reals("y0")
  }

  private func expectClose(
    _ found: [Double], _ expected: [Double], _ location: Testing.SourceLocation = #_sourceLocation
  ) {
    #expect(found.count == expected.count, sourceLocation: location)
    for (left, right) in zip(found, expected) {
      #expect(abs(left - right) < 1e-14, sourceLocation: location)
    }
  }
  private func expectClose(
    _ found: Double, _ expected: Double, _ location: Testing.SourceLocation = #_sourceLocation
  ) {
    expectClose([found], [expected], location)
  }
}
