// SPDX-License-Identifier: Apache-2.0
// The work of calls, and recorded runs.

import Formats
import IR
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ProfileTests {
    private func call(_ kernel: Kernel, _ sizes: [Int], buffers: Int = 3) -> KernelCall {
      KernelCall(
        kernel, buffers: (0..<buffers).map { BufferReference(.arena, 64 * $0) }, sizes: sizes)
    }

    @Test func aProductCostsTwoOperationsATerm() {
      let (m, n, k) = (5, 7, 11)
      let plain = call(.matmul, [m, n, k, n, k, 0, 0]).cost
      #expect(plain.flops == Double(2 * m * n * k))
      #expect(plain.bytes == Double(4 * (m * k + n * k + m * n)))
      #expect(plain.precision == .f32)
      // Packed weights in bf16, x in bf16, y in f32.
      let half = call(.matmul, [m, n, k, n, k, 0, 1, 1]).cost
      #expect(half.flops == plain.flops)
      #expect(half.bytes == Double(2 * (m * k + n * k) + 4 * m * n))
      #expect(half.precision == .bf16)
      #expect(call(.matmulWeight, [m, n, k, n, k, 0, 0]).cost.flops == Double(2 * m * n * k))
    }

    @Test func attentionCountsTheKeysThatAQuerySees() {
      let (b, t, h, g, d) = (2, 9, 4, 2, 8)
      let all = call(.attention, [b, t, h, g, d], buffers: 5).cost
      #expect(all.flops == Double(4 * b * h * d * (t * (t + 1) / 2)))
      let last = call(.attention, [b, t, h, g, d, 0, 1], buffers: 5).cost
      #expect(last.flops == Double(4 * b * h * d * t))
      #expect(all.bytes == Double(4 * (b * t * d * (2 * h + 2 * g) + b * h * t)))
      #expect(last.bytes == Double(4 * (b * d * (2 * h + 2 * t * g) + b * h)))
    }

    @Test func everyCallOfAModelHasWork() throws {
      let plan = try CompiledModel(CompiledModel.small()).plan
      for function in plan.functions {
        for call in function.setup + function.prepare + function.body {
          let cost = call.cost
          #expect(cost.bytes >= 0 && cost.flops >= 0 && cost.bytes + cost.flops > 0, "\(call.kernel) in \(function.name)")
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
