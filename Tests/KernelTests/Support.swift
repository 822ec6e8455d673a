// SPDX-License-Identifier: Apache-2.0
// What every kernel test needs: buffers, calls, the routes of this machine, comparison with Double.
import CKernels
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

func exp64(_ x: Double) -> Double { exp(x) }
func log64(_ x: Double) -> Double { log(x) }
func tanh64(_ x: Double) -> Double { tanh(x) }
func pow64(_ x: Double, _ y: Double) -> Double { pow(x, y) }
func cos64(_ x: Double) -> Double { cos(x) }
func sin64(_ x: Double) -> Double { sin(x) }

/// All kernel tests: they switch ISA and route for the whole process, so they run one by one.
@Suite(.serialized) enum KernelTests {}

/// Aligned floats with a guard behind them, so that a write past the end is noticed.
final class Floats {
  let pointer: UnsafeMutablePointer<Float>
  let count: Int
  private let base: UnsafeMutableRawPointer
  private static let guardValue: Float = 12345.5

  init(_ values: [Float], shift: Int = 0) {
    count = values.count
    base = UnsafeMutableRawPointer.allocate(byteCount: (count + shift + 16) * 4, alignment: 64)
    pointer = base.assumingMemoryBound(to: Float.self) + shift
    for i in 0..<count { pointer[i] = values[i] }
    for i in count..<(count + 16) { pointer[i] = Self.guardValue }
  }

  convenience init(_ count: Int, fill: Float = .nan) {
    self.init([Float](repeating: fill, count: count))
  }

  deinit {
    for i in count..<(count + 16) {
      precondition(pointer[i] == Self.guardValue, "a kernel wrote past the end of a buffer")
    }
    base.deallocate()
  }

  var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }
  var values: [Float] { (0..<count).map { pointer[$0] } }
  var bits: [UInt32] { (0..<count).map { pointer[$0].bitPattern } }
  subscript(i: Int) -> Double { Double(pointer[i]) }
}

/// To nearest, ties to even; denormals become zero.
func bfloat16(_ x: Float) -> UInt16 {
  let bits = x.bitPattern
  let size = bits & 0x7fff_ffff
  if size < 0x0080_0000 { return UInt16(bits >> 16) & 0x8000 }
  if size > 0x7f80_0000 { return UInt16(bits >> 16) | 0x40 }
  return UInt16((bits + 0x7fff + (bits >> 16 & 1)) >> 16)
}

/// Numbers in bf16, with the same guard.
final class BFloats {
  private let pointer: UnsafeMutablePointer<UInt16>
  private let count: Int
  private let base: UnsafeMutablePointer<UInt16>
  private static let guardValue: UInt16 = 0x4641

  init(_ values: [Float], shift: Int = 0) {
    count = values.count
    base = .allocate(capacity: count + shift + 16)
    pointer = base + shift
    for i in 0..<count { pointer[i] = bfloat16(values[i]) }
    for i in count..<(count + 16) { pointer[i] = Self.guardValue }
  }

  convenience init(_ count: Int) { self.init([Float](repeating: .nan, count: count)) }

  deinit {
    for i in count..<(count + 16) {
      precondition(pointer[i] == Self.guardValue, "a kernel wrote past the end of a buffer")
    }
    base.deallocate()
  }

  var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }
  var bits: [UInt16] { (0..<count).map { pointer[$0] } }
  var values: [Float] { bits.map { Float(bitPattern: UInt32($0) << 16) } }
}

/// Token ids that stay where they are while a kernel reads them.
final class Ints {
  private let pointer: UnsafeMutablePointer<Int32>
  private let count: Int

  init(_ values: [Int32]) {
    count = values.count
    pointer = .allocate(capacity: max(count, 1))
    pointer.initialize(from: values, count: count)
  }

  deinit { pointer.deallocate() }

  var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }
  subscript(i: Int) -> Int32 { pointer[i] }
}

/// Counter-based numbers in -1..<1: equal in every run.
func noise(_ count: Int, _ seed: UInt64, scale: Float = 1) -> [Float] {
  (0..<count).map { i in
    var z = UInt64(i) &+ seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678_9ABC
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    z ^= z >> 31
    return (Float(z >> 40) / Float(1 << 23) - 1) * scale
  }
}

/// Cuts calls into tiles and makes room for runs by so many threads.
func layOut(_ calls: inout [kernel_call], threads: Int) {
  kernels_layout(&calls, Int64(calls.count))
  precondition(kernels_reserve(calls, Int64(calls.count), Int32(threads)) == 1)
}

func runCalls(_ calls: [kernel_call], threads: Int = 2) {
  var calls = calls
  layOut(&calls, threads: threads)
  kernels_run(calls, Int64(calls.count), Int32(threads))
}

func run(_ call: kernel_call, threads: Int = 2) { runCalls([call], threads: threads) }

/// Room for the packed form of w[n, k], NaN at first.
func packRoom(n: Int, k: Int, transposed: Bool = false, bf16: Bool = false) -> Floats {
  let (columns, depth) = transposed ? (k, n) : (n, k)
  let panel = columns <= 32 ? 32 : 64
  return Floats((columns + panel - 1) / panel * panel * (bf16 ? (depth + 1) / 2 : depth))
}

/// Panels of x[m, n] for a weight gradient.
func tokenPanels(
  _ x: UnsafeMutableRawPointer, m: Int, n: Int, bf16: Bool = false, xIsBF16: Bool = false,
  tileRows: Int = 0, threads: Int = 2
) -> Floats {
  // From one panel of 16 columns to the next is an odd number of lines.
  let lines = (bf16 ? (m + 1) / 2 : m) | 1
  let room = Floats((n + 15) / 16 * lines * 16, fill: 3)
  run(
    .packTokens([room.raw, x], m: m, n: n, tileRows: tileRows, bf16: bf16, xIsBF16: xIsBF16),
    threads: threads)
  return room
}

/// Runs the body for every ISA the machine has, each with its own GEMM route.
func forEachISA(_ body: (String) -> Void) {
  for isa in ["portable", "neon", "avx2", "avx512", "avx512bf16"]
  where kernels_select(isa, nil) == 1 { body(isa) }
  _ = kernels_select(nil, nil)
}

/// Runs the body for every pair of ISA and GEMM route the machine has.
func forEachRoute(_ body: (String) -> Void) {
  for isa in ["portable", "neon", "avx2", "avx512"] where kernels_select(isa, nil) == 1 {
    for gemm in ["libxsmm", "openblas", "built-in"] where kernels_select(isa, gemm) == 1 {
      body("\(isa), \(gemm)")
    }
  }
  _ = kernels_select(nil, nil)
}

/// The largest difference, relative to the largest expected magnitude.
func expectClose(
  _ got: [Float], _ want: [Double], _ tolerance: Double, _ what: String,
  at location: SourceLocation = #_sourceLocation
) {
  #expect(got.count == want.count, "\(what)", sourceLocation: location)
  let size = max(want.reduce(0) { max($0, abs($1)) }, 1e-30)
  var worst = 0.0
  for (g, w) in zip(got, want) {
    let error = abs(Double(g) - w) / size
    worst = error.isNaN ? .infinity : max(worst, error)
  }
  #expect(worst <= tolerance, "\(what): relative error \(worst)", sourceLocation: location)
}
