// SPDX-License-Identifier: Apache-2.0
// The work of calls, and recorded runs.

import Formats
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ProfileTests {
    /// The work of the call that the last op of a function becomes.
    private func cost(
      _ op: Op, _ sizes: [[Int]], _ attributes: [AttributeName: AttributeValue] = [:]
    ) throws -> KernelCost {
      var builder = Builder(name: "cost")
      let operands = sizes.enumerated().map {
        builder.input("x\($0.offset)", TensorType(.tensor, $0.element.map(Dim.number)))
      }
      let results = try builder.apply(op, operands, attributes)
      for (index, result) in results.enumerated() { builder.output("y\(index)", result) }
      let function = try lower(builder.graph, layout: ParameterLayout([]))
      return try #require(function.body.last).cost
    }

    @Test func aProductCostsTwoOperationsATerm() throws {
      // Panels of 64 columns without padding.
      let (m, n, k) = (5, 64, 12)
      let plain = try cost(.linear, [[m, k], [n, k]])
      #expect(plain.flops == Double(2 * m * n * k))
      #expect(plain.bytes == Double(4 * (m * k + n * k + m * n)))
      #expect(plain.precision == .f32)
      // Packed weights in bf16; x and y are inputs and outputs, in f32.
      let short = try cost(.linear, [[m, k], [n, k]], [.compute: .word("bf16")])
      #expect(short.flops == plain.flops)
      #expect(short.bytes == Double(2 * n * k + 4 * (m * k + m * n)))
      #expect(short.precision == .bf16)
      let weight = try cost(.linearBackwardWeight, [[m, n], [m, k]])
      #expect(weight.flops == Double(2 * m * n * k))
    }

    @Test func attentionCountsTheKeysThatAQuerySees() throws {
      let (b, t, h, g, d) = (2, 9, 4, 2, 8)
      let all = try cost(.attention, [[b, t, h, d], [b, t, g, d], [b, t, g, d]])
      #expect(all.flops == Double(4 * b * h * d * (t * (t + 1) / 2)))
      let last = try cost(
        .attention, [[b, 1, h, d], [b, t, g, d], [b, t, g, d]], [.count: .int(1)])
      #expect(last.flops == Double(4 * b * h * d * t))
      #expect(all.bytes == Double(4 * (b * t * d * (2 * h + 2 * g) + b * h * t)))
      #expect(last.bytes == Double(4 * (b * d * (2 * h + 2 * t * g) + b * h)))
    }

    @Test func everyCallOfAModelHasWork() throws {
      let plan = try CompiledModel(CompiledModel.small()).plan
      for function in plan.functions {
        for call in function.setup + function.prepare + function.body {
          let cost = call.cost
          #expect(
            cost.bytes >= 0 && cost.flops >= 0 && cost.bytes + cost.flops > 0,
            "\(call.kernel) in \(function.name)")
          #expect(cost.bytes.isFinite && cost.flops.isFinite, "\(call.kernel)")
        }
      }
    }

    @Test(arguments: [1, 2, 3]) func aProfileCoversTheWholeRun(threads: Int) throws {
      let plan = try CompiledModel(CompiledModel.small()).plan
      let function = try #require(plan["train"])
      let executable = try Executable(
        function, parameters: ParameterBlock(layout: plan.layout), threads: threads)
      let profile = executable.profile(preparing: true)
      #expect(profile.calls.count == function.prepare.count + function.body.count)
      #expect(Set(profile.events.map(\.thread)) == Set(0..<threads))
      #expect(profile.threadSeconds.allSatisfy { $0 > 0 })
      #expect(profile.kernels.map(\.calls).reduce(0, +) == profile.calls.count)
      let covered =
        profile.threadSeconds.reduce(0, +) + profile.barrierSeconds + profile.otherSeconds
      #expect(abs(covered - Double(threads) * profile.wallSeconds) < 1e-9)
      #expect((profile.barrierSeconds > 0) == (threads > 1))
      let trace = try JSONValue.parse(Array(traceDocument([profile]).text.utf8))
      let spans = trace["traceEvents"]?.arrayValue?.filter { $0["ph"] == "X" }
      #expect(spans?.count == profile.events.count)
    }
  }
}
