// SPDX-License-Identifier: Apache-2.0
// How long kernel calls take that are too long to be tried: by the work of calls that were.

import CKernels
import IR

/// Seconds for the work of each kernel on this machine, from a sample of calls.
package struct WorkRates {
  /// Additions and multiplications that a machine does about as fast as it reads one byte.
  private static let flopsPerByte = 8.0
  /// Additions and multiplications a second and thread that nearly every machine does; only decides what is tried.
  package static let modest = 25e9
  /// Seconds of the sample for each kernel, at this pace.
  private static let share = 0.008

  private var seconds: [String: Double] = [:]
  private var work: [String: Double] = [:]

  /// Samples functions whose memory is there; what they compute is of no use.
  package init(sampling executables: [Executable]) {
    for executable in executables {
      let places = Self.places(executable.function.body, threads: executable.threads)
      let profile = executable.profile(units: places)
      for (call, (seconds, work)) in zip(
        profile.calls, zip(profile.wallShares, Self.works(profile.calls)))
      {
        self.seconds[call.kernel.name, default: 0] += seconds
        self.work[call.kernel.name, default: 0] += work
      }
    }
  }

  /// Seconds of calls; of a kernel that was not sampled by the mean of all.
  package func seconds(_ calls: [KernelCall]) -> Double {
    let usual = seconds.values.reduce(0, +) / max(work.values.reduce(0, +), 1)
    return zip(calls, Self.works(calls)).reduce(0) { sum, item in
      let name = item.0.kernel.name
      guard let done = work[name], done > 0 else { return sum + item.1 * usual }
      return sum + item.1 * seconds[name]! / done
    }
  }

  /// Heads of the chains to run: of each kernel the largest calls that together take a moment, or its smallest
  /// one.
  private static func places(_ calls: [KernelCall], threads: Int) -> Set<Int> {
    var units: [(head: Int, kernels: Set<String>, seconds: Double)] = []
    for (index, (call, work)) in zip(calls, works(calls)).enumerated() {
      let seconds = work / (modest * Double(threads))
      if call.isChained, !units.isEmpty {
        units[units.count - 1].kernels.insert(call.kernel.name)
        units[units.count - 1].seconds += seconds
      } else {
        units.append((index, [call.kernel.name], seconds))
      }
    }
    units.sort { ($0.seconds, $1.head) > ($1.seconds, $0.head) }
    var spent: [String: Double] = [:]
    var chosen = Set<Int>()
    func choose(_ unit: (head: Int, kernels: Set<String>, seconds: Double)) {
      chosen.insert(unit.head)
      for kernel in unit.kernels { spent[kernel, default: 0] += unit.seconds }
    }
    for unit in units where unit.seconds <= share {
      if unit.kernels.contains(where: { spent[$0, default: 0] + unit.seconds <= share }) {
        choose(unit)
      }
    }
    for unit in units.reversed() where unit.kernels.contains(where: { spent[$0] == nil }) {
      choose(unit)
    }
    return chosen
  }

  /// Work at a pace that decides whether a function is tried or sampled.
  static func guess(_ calls: [KernelCall], threads: Int) -> Double {
    works(calls).reduce(0, +) / (modest * Double(threads))
  }

  /// What each call of a function has to do: arithmetic, or the memory traffic that takes as long. Attention
  /// stays inside of documents, which have no more tokens than the function cuts them to.
  private static func works(_ calls: [KernelCall]) -> [Double] {
    let longest = calls.lazy.compactMap { ($0.kernel.arguments as? Kernel.Documents)?.limit }.first
    return calls.map { call in
      let cost = call.cost
      let work = max(cost.flops, cost.bytes * flopsPerByte)
      let attention =
        (call.kernel.arguments as? Kernel.Attention)?.arguments
        ?? (call.kernel.arguments as? Kernel.AttentionBackward)?.arguments
      guard let attention, attention.hasDocuments, let longest, longest > 0 else { return work }
      return work * min(1, Double(longest) / Double(attention.positions))
    }
  }
}

extension Profile {
  /// The time on the clock of each call: its chain's, from the first tile to the last, shared by what threads
  /// spent in each.
  fileprivate var wallShares: [Double] {
    let busy = threadSeconds
    var starts = [Int](repeating: .max, count: calls.count)
    var ends = [Int](repeating: 0, count: calls.count)
    for event in events where event.tile != nil {
      starts[event.call] = min(starts[event.call], event.startNanoseconds)
      ends[event.call] = max(ends[event.call], event.endNanoseconds)
    }
    var shares = [Double](repeating: 0, count: calls.count)
    var head = 0
    while head < calls.count {
      let next = calls[(head + 1)...].firstIndex { !$0.isChained } ?? calls.count
      let wall = Double((ends[head..<next].max() ?? 0) - (starts[head..<next].min() ?? 0)) * 1e-9
      let sum = busy[head..<next].reduce(0, +)
      for call in head..<next where sum > 0 { shares[call] = max(wall, 0) * busy[call] / sum }
      head = next
    }
    return shares
  }
}
