// SPDX-License-Identifier: Apache-2.0
// The run loop: barriers, calls without barriers, many threads, repeated runs, the machine's names.
import CKernels
import Testing

extension KernelTests {
  @Suite struct Running {
    /// A chain of calls in which each needs everything the one before it wrote.
    @Test func barriersOrderCalls() {
      let n = 64 * 1024
      let lengths = 60
      var p = Program()
      let a = p.register(ROW_FULL, 0)
      let b = p.register(ROW_FULL, 1)
      let c = p.register(ROW_CONSTANT, 2)
      p.add(ROW_ADD, b, a, c)
      for threads in [1, 2, 3, 5] {
        let x = Floats(n, fill: 0)
        let y = Floats(n, fill: -1)
        let one = Floats([1])
        let total = Floats(1, fill: 0)
        withUnsafePointer(to: p.value) { program in
          var calls: [kernel_call] = []
          for i in 0..<lengths {
            let (from, to) = i % 2 == 0 ? (x, y) : (y, x)
            // Slices of another width read rows that other threads wrote.
            let rows = i % 3 == 0 ? 64 : 256
            calls.append(
              makeCall(
                KERNEL_ROWS, [from.raw, to.raw, one.raw], [rows, n / rows, 8], program: program,
                barrier: true))
          }
          calls.append(makeCall(KERNEL_DOT, [total.raw, x.raw, x.raw], [n], barrier: true))
          kernels_prepare(&calls, Int64(calls.count))
          for round in 1...5 {
            kernels_run(calls, Int64(calls.count), Int32(threads))
            #expect(x.values.allSatisfy { $0 == Float(lengths * round) }, "\(threads) threads")
            #expect(total[0] == Double(Float(n * lengths * lengths * round * round)))
          }
          kernels_profile(&calls, Int64(calls.count), Int32(threads))
          #expect(calls.allSatisfy { $0.nanoseconds > 0 })
          #expect(x.values.allSatisfy { $0 == Float(lengths * 6) }, "\(threads) threads")
        }
      }
    }

    /// Independent calls without barriers are all finished when the run returns.
    @Test func callsWithoutBarriersAllFinish() {
      for threads in [1, 2, 3, 5] {
        let outs = (0..<40).map { _ in Floats(5_000) }
        let x = Floats(noise(5_000, 1))
        runCalls(
          outs.map { makeCall(KERNEL_SLICE, [$0.raw, x.raw], [5_000, 1, 1, 0, 1]) },
          threads: threads)
        #expect(outs.allSatisfy { $0.values == x.values }, "\(threads) threads")
      }
    }

    @Test func anEmptyListAndEmptyCallsAreFine() {
      kernels_run(nil, 0, 2)
      runCalls([makeCall(KERNEL_SGD, [nil, nil, nil, nil, nil], [0], [0, 0])])
    }

    @Test func theMachineIsNamed() {
      kernels_init()
      #expect(["x86_64", "aarch64"].contains(String(cString: kernels_machine())))
      #expect(kernels_max_threads() >= 1)
      #expect(kernels_select("portable", nil) == 1 || kernels_select("neon", nil) == 1)
      #expect(String(cString: kernels_gemm()) == "portable")
      #expect(kernels_select("vax", nil) == 0)
      #expect(kernels_select(nil, nil) == 1)
    }
  }
}
