// SPDX-License-Identifier: Apache-2.0
// Random functions of row-local ops: fused and lowered they compute what the interpreter does.

import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct RowProgramTests {
    @Test(arguments: 0..<60)
    func fusedFunctionsComputeWhatTheirNodesDo(_ seed: Int) throws {
      let (graph, contents) = try Self.function(seed: UInt64(seed))
      #expect(graph.violations() == [])
      let fused = try Pass.fuseRows.run(graph)
      #expect(fused.violations() == [])
      let expected = try Interpreter(graph).run(
        parameters: contents.parameters, inputs: contents.inputs)
      for graph in [graph, fused] {
        let compiled = try CompiledFunction(graph)
        compiled.contents = contents.parameters
        let found = compiled.run(contents.inputs)
        for output in graph.outputs {
          let difference = relativeDifference(
            found[output.name] ?? [], expected.reals(of: output.name))
          #expect(difference < 2e-4, "\(output.name)")
        }
        for (path, values) in expected.writes {
          #expect(relativeDifference(compiled.contents[path] ?? [], values) < 2e-4, "@\(path)")
        }
      }
    }

    /// A function of 24 nodes over [2, 3, 4, 6] with vectors, gains of heads, numbers and sums.
    private static func function(seed: UInt64) throws -> (Graph, OpSample.Contents) {
      var random = TestRandom(seed: seed &* 7919 &+ 1)
      func pick<T>(_ choices: [T]) -> T { choices[Int(random.uniform() * Double(choices.count))] }
      var builder = Builder(name: "f")
      var contents = OpSample.Contents()
      func numbers(_ count: Int) -> [Double] {
        (0..<count).map { _ in Double(Float(random.awayFromZero())) }
      }
      func parameter(_ path: String, _ sizes: [Int]) -> Value {
        contents.parameters[path] = numbers(sizes.reduce(1, *))
        return builder.declare(
          Parameter(
            role: .param, path: path, type: .tensor(sizes), group: "", initial: .zeros))
      }
      let sizes = [2, 3, 4, 6]
      let vector = parameter("vector", [6])
      let gain = parameter("gain", [4])
      let memory = parameter("memory", sizes)
      var full: [Value] = []
      for name in ["x", "y"] {
        contents.inputs[name] = .reals(numbers(sizes.reduce(1, *)))
        full.append(builder.input(name, .tensor(sizes)))
      }
      contents.inputs["number"] = .reals(numbers(1))
      let number = builder.input("number", .scalar)
      full.append(memory)
      var sums: [Value] = []
      for _ in 0..<24 {
        let (a, b) = (pick(full), pick(full))
        switch Int(random.uniform() * 14) {
        case 0: full.append(builder.one(.add, [a, b]))
        case 1: full.append(builder.one(.sub, [a, b]))
        case 2: full.append(builder.one(.mul, [a, builder.one(.tanh, [b])]))
        case 3: full.append(builder.one(.mul, [vector, a]))
        case 4: full.append(builder.one(.add, [a, number]))
        case 5: full.append(builder.one(.scale, [a], [.by: .double(-0.5)]))
        case 6: full.append(builder.one(.sigmoid, [a]))
        case 7: full.append(builder.one(.softcap, [a], [.cap: .double(2)]))
        case 8: full.append(builder.one(.leakyRelu, [a], [.slope: .double(0.25)]))
        case 9: full.append(builder.one(.rmsNorm, [a], [.epsilon: .double(0.1)]))
        case 10: full.append(builder.one(.rmsNormBackward, [a, b], [.epsilon: .double(0.1)]))
        case 11: full.append(builder.one(.scaleHeads, [a, gain]))
        case 12:
          let shape: [Dim] = pick([[.number(6)], []])
          let sum = builder.one(.sumTo, [a], [.shape: .dims(shape)])
          sums.append(sum)
          // What reads a sum needs it whole.
          if random.uniform() < 0.5 {
            full.append(builder.one(.tanh, [builder.one(.mul, [b, sum])]))
          }
        default: sums.append(builder.one(.scaleHeadsBackwardGain, [a, b]))
        }
      }
      for (index, value) in (full.suffix(3) + sums).enumerated() {
        builder.output("out\(index)", value)
      }
      builder.write(memory, full[full.count - 1])
      return (builder.graph, contents)
    }

    @Test func aGainThatIsAlsoAVectorIsReadBothWays() throws {
      let text = """
        function f
        param @g : f32[3] {group=scalar, init=ones}
        input %x : f32[2, 2, 3, 3]
        %a = scale_heads(%x, @g) : f32[2, 2, 3, 3]
        %b = mul(%a, @g) : f32[2, 2, 3, 3]
        return y = %b
        """
      try expectEqual(text)
    }

    @Test func longChainsOfNormGradientsFitTheRowMachine() throws {
      var text = "function f\ninput %x : f32[3, 5]\ninput %y0 : f32[3, 5]\n"
      for index in 1...20 {
        text += "%y\(index) = rms_norm_backward(%y\(index - 1), %x) {epsilon=0.5} : f32[3, 5]\n"
      }
      text += "return y = %y20\n"
      try expectEqual(text)
    }

    /// A tile of tokens holds as many rows as these have heads.
    @Test func aProductOverHeadsInAChainComputesAllRows() throws {
      try expectEqual(
        """
        function f
        param @w : f32[8, 4] {group=matrix, init=uniform}
        input %x : f32[2, 20, 3, 4]
        %n = rms_norm(%x) {epsilon=0.5} : f32[2, 20, 3, 4]
        %a = linear(%n, @w) : f32[2, 20, 3, 8]
        %b = square(%a) : f32[2, 20, 3, 8]
        return y = %b
        """)
    }

    @Test func manyYieldedValuesFitTheRowMachine() throws {
      var text = "function f\ninput %x : f32[3, 5]\n"
      for index in 1...30 { text += "%y\(index) = scale(%x) {by=\(index)} : f32[3, 5]\n" }
      for index in 1...30 { text += "return y\(index) = %y\(index)\n" }
      try expectEqual(text)
    }

    @Test func aWrittenValueDoesNotDisturbWhoStillReadsTheOld() throws {
      try expectEqual(
        """
        function f
        param @s : f32[3, 5] {group=matrix, init=ones}
        input %x : f32[3, 5]
        %u = add(@s, %x) : f32[3, 5]
        %v = mul(%u, @s) : f32[3, 5]
        write @s = %u
        return v = %v
        """)
    }

    @Test func aProductIsNotWrittenOverItsOperand() throws {
      try expectEqual(
        """
        function f
        param @s : f32[5, 5] {group=matrix, init=ones}
        param @w : f32[5, 5] {group=matrix, init=ones}
        %u = linear(@s, @w) : f32[5, 5]
        write @s = %u
        """)
    }

    @Test func aViewOfAParameterKeepsItsOldContent() throws {
      try expectEqual(
        """
        function f
        param @s : f32[3, 5] {group=matrix, init=ones}
        input %x : f32[3, 5]
        %row = slice(@s) {axis=0, count=1, start=1, squeeze=true} : f32[5]
        %u = add(@s, %x) : f32[3, 5]
        %n = tanh(%u) : f32[3, 5]
        %y = mul(%n, %row) : f32[3, 5]
        write @s = %u
        return y = %y
        """)
    }

    private func expectEqual(_ text: String) throws {
      var parser = CoreParser(path: "f", text: text)
      let graph = try parser.function()
      let contents = graph.randomContents(seed: 3)
      var inputs: [String: Interpreter.Content] = [:]
      var random = TestRandom(seed: 9)
      for input in graph.inputs {
        inputs[graph.name(input)] = .reals(
          (0..<graph.type(input).count).map { _ in Double(Float(random.awayFromZero())) })
      }
      let expected = try Interpreter(graph).run(parameters: contents, inputs: inputs)
      let compiled = try CompiledFunction(try Pass.fuseRows.run(graph))
      compiled.contents = contents
      let found = compiled.run(inputs)
      for name in expected.outputs.keys {
        #expect(relativeDifference(found[name] ?? [], expected.reals(of: name)) < 1e-5, "\(name)")
      }
      for (path, values) in expected.writes {
        #expect(relativeDifference(compiled.contents[path] ?? [], values) < 1e-5, "@\(path)")
      }
    }
  }
}
