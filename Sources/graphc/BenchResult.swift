// SPDX-License-Identifier: Apache-2.0
// What a measurement of steps found, as a document and as a line.

import Formats
import IR
import Runtime

/// Steps of one phase and what the machine could do at most.
struct BenchResult {
  let phase: BenchCommand.Phase
  let optimizer: BenchCommand.Optimizer
  let precision: ComputePrecision
  let threads: Int
  /// Tokens of a step.
  let tokens: Int
  /// Seconds of every step.
  let times: [Double]
  /// Of a step.
  let flops: Double
  /// The largest resident size.
  let megabytes: Double
  let peaks: ComputePeaks

  private var seconds: Double { median(times) }
  private var gigaflops: Double { flops / seconds / 1e9 }
  private func percent(_ peak: Double) -> Double { 100 * gigaflops / peak }

  var json: JSONValue {
    [
      "schema": "graphc-bench/1", "phase": .string(phase.rawValue),
      "optimizer": phase == .train ? .string(optimizer.rawValue) : .null,
      "precision": .string(precision.rawValue), "threads": .int(threads),
      "steps": .int(times.count), "tokens_per_second": .double(Double(tokens) / seconds),
      "ms_median": .double(seconds * 1000), "gflops": .double(gigaflops),
      "peak_rss_mb": .double(megabytes),
      "peak_gflops": [
        "f32": .double(peaks.f32Gigaflops),
        "bf16": peaks.bf16Gigaflops.map(JSONValue.double) ?? .null,
      ],
      "percent_of_peak": [
        "f32": .double(percent(peaks.f32Gigaflops)),
        "bf16": peaks.bf16Gigaflops.map { .double(percent($0)) } ?? .null,
      ],
      "isa": .string(Machine.isa), "gemm": .string(Machine.gemm),
    ]
  }

  var text: String {
    "\(phase.rawValue): \(grouped(Int(Double(tokens) / seconds))) tokens/s, "
      + "\(fixed(seconds * 1000, 2)) ms a step (\(fixed(times.min()! * 1000, 2)) to "
      + "\(fixed(times.max()! * 1000, 2))), \(fixed(gigaflops, 0)) GFLOP/s, "
      + "\(fixed(percent(peaks.gigaflops(precision)), 0)) % of the \(precision.rawValue) peak, "
      + "\(fixed(megabytes, 0)) MB, \(threads) threads, \(Machine.isa), \(Machine.gemm)"
  }
}

private func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
