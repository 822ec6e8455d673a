// SPDX-License-Identifier: Apache-2.0
// A recorded run as a table for people, and as a trace file.

import Formats
import IR
import Runtime

/// Where the time of a recorded run went, by kernel, against what the machine could do at most.
struct ProfileTable {
  let profile: Profile
  let peaks: MeasuredPeaks

  var text: String {
    let kernels = profile.kernels
    var rows = [
      [
        "kernel", "calls", "ms", "share", "GFLOP", "MB", "GFLOP/s", "GB/s", "floor ms", "of floor",
      ]
    ]
    rows += kernels.map(row)
    rows.append(waitRow("barrier wait", profile.barrierSeconds))
    rows.append(waitRow("claims, begin and end", profile.otherSeconds))
    rows.append(total(kernels))
    return "\(profile.name)\n" + textTable(rows, right: Set(1..<10))
  }

  /// What the columns mean and what they are measured against.
  var legend: String {
    let compute = peaks.compute
    let bf16 = compute.bf16Gigaflops.map { ", \(fixed($0, 0)) in bf16" } ?? ""
    return """
      ms and rates are those of \(counted(profile.threads, "thread")) together. The floor is the time \
      at the measured peaks,
      \(fixed(compute.f32Gigaflops, 0)) GFLOP/s in f32\(bf16), \
      \(fixed(peaks.memoryGigabytes, 0)) GB/s from memory; what is still in cache can be faster.
      """
  }

  private func row(_ total: Profile.Total) -> [String] {
    let seconds = total.threadSeconds / Double(profile.threads)
    return [total.kernel, "\(total.calls)"] + time(seconds)
      + figures(total.cost, seconds, floor: peaks.floor(total.cost))
  }

  private func waitRow(_ name: String, _ threadSeconds: Double) -> [String] {
    [name, ""] + time(threadSeconds / Double(profile.threads))
  }

  private func total(_ kernels: [Profile.Total]) -> [String] {
    let cost = kernels.reduce(into: KernelCost(flops: 0, bytes: 0)) {
      $0.flops += $1.cost.flops
      $0.bytes += $1.cost.bytes
    }
    let floor = kernels.reduce(0) { $0 + peaks.floor($1.cost) }
    return ["all", "\(profile.calls.count)"] + time(profile.wallSeconds)
      + figures(cost, profile.wallSeconds, floor: floor)
  }

  private func time(_ seconds: Double) -> [String] {
    [
      fixed(seconds * 1e3, 3),
      fixed(100 * seconds / max(profile.wallSeconds, 1e-9), 1) + " %",
    ]
  }

  private func figures(_ cost: KernelCost, _ seconds: Double, floor: Double) -> [String] {
    let seconds = max(seconds, 1e-9)
    return [
      fixed(cost.flops * 1e-9, 3), fixed(cost.bytes * 1e-6, 1),
      fixed(cost.flops / seconds * 1e-9, 1), fixed(cost.bytes / seconds * 1e-9, 1),
      fixed(floor * 1e3, 3), fixed(100 * floor / seconds, 0) + " %",
    ]
  }
}

/// The tables of several recorded runs under one another.
func profileText(_ profiles: [Profile], peaks: MeasuredPeaks) -> String {
  let tables = profiles.map { ProfileTable(profile: $0, peaks: peaks) }
  return (tables.map(\.text) + tables.prefix(1).map(\.legend)).joined(separator: "\n\n")
}

/// Writes profiles as a trace that Perfetto opens.
func writeTrace(_ profiles: [Profile], to path: String) throws {
  try AtomicFile.write(path, traceDocument(profiles).text + "\n")
}
