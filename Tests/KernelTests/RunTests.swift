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
              .rows(
                [from.raw, to.raw, one.raw], rows: rows, width: n / rows, tileRows: 8,
                program: program
              ).afterAll)
          }
          calls.append(.dot([total.raw, x.raw, x.raw], n: n).afterAll)
          layOut(&calls, threads: threads)
          for round in 1...5 {
            kernels_run(calls, Int64(calls.count), Int32(threads))
            #expect(x.values.allSatisfy { $0 == Float(lengths * round) }, "\(threads) threads")
            #expect(total[0] == Double(Float(n * lengths * lengths * round * round)))
          }
          expectRecorded(calls, threads: threads)
          #expect(x.values.allSatisfy { $0 == Float(lengths * 6) }, "\(threads) threads")
        }
      }
    }

    /// Runs the calls and checks that every tile was recorded once, and every wait of every thread.
    private func expectRecorded(_ calls: [kernel_call], threads: Int) {
      let room = Int(kernels_profile_room(calls, Int64(calls.count)))
      var events = [kernel_event](repeating: kernel_event(), count: room * threads)
      var made = [Int64](repeating: -1, count: threads)
      kernels_profile(
        calls, Int64(calls.count), Int32(threads), &events, Int64(room), &made)
      var tiles = calls.map { _ in [Int64]() }
      var waits = [Int](repeating: 0, count: threads)
      for thread in 0..<threads {
        var last: Int64 = 0
        for event in events[thread * room..<thread * room + Int(made[thread])] {
          #expect(event.thread == Int32(thread))
          #expect(event.start >= last && event.end >= event.start)
          last = event.end
          if event.tile < 0 {
            waits[thread] += 1
          } else {
            tiles[Int(event.call)].append(event.tile)
          }
        }
      }
      for (call, done) in zip(calls, tiles) { #expect(done.sorted() == Array(0..<call.tiles)) }
      let barriers = calls.dropFirst().count { $0.barrier != 0 }
      #expect(waits.allSatisfy { $0 == (threads > 1 ? barriers : 0) }, "\(threads) threads")
    }

    /// The calls of a chain are recorded one by one, tile by tile.
    @Test func chainsAreRecordedCallByCall() {
      let (rows, width) = (64, 32)
      var p = Program()
      let a = p.register(ROW_FULL, 0)
      p.add(ROW_COPY, p.register(ROW_FULL, 1), a)
      let buffers = (0..<3).map { _ in Floats(noise(rows * width, 3)) }
      withUnsafePointer(to: p.value) { program in
        var calls = (0..<2).map {
          kernel_call.rows(
            [buffers[$0].raw, buffers[$0 + 1].raw], rows: rows, width: width, tileRows: 8,
            program: program)
        }
        calls[0].chain = 2
        layOut(&calls, threads: 3)
        #expect(calls.allSatisfy { $0.tiles == 8 })
        for threads in [1, 2, 3] { expectRecorded(calls, threads: threads) }
      }
    }

    /// Products in registers beat nothing on every ISA; bf16 is there where it has an instruction.
    @Test func peaksAreMeasured() {
      forEachISA { isa in
        #expect(kernels_peak(PROBE_F32, 2, 0) > 1e8, "\(isa)")
        #expect((kernels_peak(PROBE_BF16, 1, 0) > 1e8) == (isa == "avx512bf16"), "\(isa)")
      }
      #expect(kernels_peak(PROBE_MEMORY, 1, 0) > 1e7)
    }

    /// Independent calls without barriers are all finished when the run returns.
    @Test func callsWithoutBarriersAllFinish() {
      for threads in [1, 2, 3, 5] {
        let outs = (0..<40).map { _ in Floats(5_000) }
        let x = Floats(noise(5_000, 1))
        let all = slice_args(
          outer: 5_000, extent: 1, inner: 1, start: 0, count: 1, tile_rows: 0, bf16: 0)
        runCalls(outs.map { .slice([$0.raw, x.raw], all) }, threads: threads)
        #expect(outs.allSatisfy { $0.values == x.values }, "\(threads) threads")
      }
    }

    @Test func anEmptyListAndEmptyCallsAreFine() {
      kernels_run(nil, 0, 2)
      run(.sgd([nil, nil, nil, nil, nil], n: 0, momentum: 0, decay: 0))
    }

    @Test func theMachineIsNamed() {
      kernels_init()
      #expect(["x86_64", "aarch64"].contains(String(cString: kernels_machine())))
      #expect(kernels_max_threads() >= 1)
      #expect(kernels_select("portable", nil) == 1 || kernels_select("neon", nil) == 1)
      #expect(String(cString: kernels_gemm()) == "built-in")
      #expect(kernels_select("vax", nil) == 0)
      #expect(kernels_select(nil, "abacus") == 0)
      #expect(kernels_select(nil, nil) == 1)
    }
  }
}
