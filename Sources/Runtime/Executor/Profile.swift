// SPDX-License-Identifier: Apache-2.0
// What the threads did while calls ran: events, and the sums of them that a table shows.

import CKernels
import IR

/// A recorded run of one or more lists of calls.
public struct Profile: Sendable {
  /// What one thread did for a while.
  public struct Event: Sendable {
    /// Index into `calls`.
    public var call: Int
    public var thread: Int
    /// nil: the thread waited at the barrier before the call.
    public var tile: Int?
    /// On the steady clock.
    public var startNanoseconds: Int
    public var endNanoseconds: Int
    public var seconds: Double { Double(endNanoseconds - startNanoseconds) * 1e-9 }
  }

  /// The function, such as `train`.
  public var name: String
  public var threads: Int
  public private(set) var calls: [KernelCall]
  /// Thread by thread, each in order of time.
  public private(set) var events: [Event]
  /// From the first event to the last.
  public private(set) var wallSeconds: Double

  init(name: String, threads: Int, calls: [KernelCall], events: [Event]) {
    (self.name, self.threads, self.calls, self.events) = (name, threads, calls, events)
    let start = events.lazy.map(\.startNanoseconds).min() ?? 0
    let end = events.lazy.map(\.endNanoseconds).max() ?? 0
    wallSeconds = Double(end - start) * 1e-9
  }

  /// Adds what ran after this.
  mutating func append(_ other: Profile) {
    events += other.events.map {
      var event = $0
      event.call += calls.count
      return event
    }
    calls += other.calls
    wallSeconds += other.wallSeconds
  }

  // MARK: Sums

  /// The calls of one kernel, or one call. Seconds are those of all threads together.
  public struct Total: Sendable {
    public var kernel: String
    public var calls = 0
    public var threadSeconds = 0.0
    public var cost: KernelCost
  }

  /// Seconds that all threads together spent in each call.
  public var threadSeconds: [Double] {
    var sums = [Double](repeating: 0, count: calls.count)
    for event in events where event.tile != nil { sums[event.call] += event.seconds }
    return sums
  }

  /// Kernels, those that took longest first. Products in bf16 are counted apart: their peak differs.
  public var kernels: [Total] {
    var totals: [String: Total] = [:]
    for (call, seconds) in zip(calls, threadSeconds) {
      let cost = call.cost
      let name = call.kernel.name + (cost.precision == .bf16 ? " bf16" : "")
      var total =
        totals[name]
        ?? Total(kernel: name, cost: KernelCost(flops: 0, bytes: 0, precision: cost.precision))
      total.calls += 1
      total.threadSeconds += seconds
      total.cost.flops += cost.flops
      total.cost.bytes += cost.bytes
      totals[name] = total
    }
    return totals.values.sorted { ($1.threadSeconds, $0.kernel) < ($0.threadSeconds, $1.kernel) }
  }

  /// Seconds that all threads together waited at barriers.
  public var barrierSeconds: Double {
    events.lazy.filter { $0.tile == nil }.reduce(0) { $0 + $1.seconds }
  }

  /// Seconds of all threads that no event covers: claiming tiles, and the beginning and end, when
  /// some threads have work and others none.
  public var otherSeconds: Double {
    Double(threads) * wallSeconds - events.reduce(0) { $0 + $1.seconds }
  }
}

/// Runs bound calls as `kernels_run` does and returns what the threads did.
func recordedEvents(_ calls: [kernel_call], threads: Int) -> [Profile.Event] {
  let room = Int(kernels_profile_room(calls, Int64(calls.count)))
  let events = UnsafeMutablePointer<kernel_event>.allocate(capacity: max(room * threads, 1))
  defer { events.deallocate() }
  var made = [Int64](repeating: 0, count: threads)
  kernels_profile(calls, Int64(calls.count), Int32(threads), events, Int64(room), &made)
  return made.enumerated().flatMap { thread, count in
    UnsafeBufferPointer(start: events + thread * room, count: Int(count)).map {
      Profile.Event(
        call: Int($0.call), thread: Int($0.thread), tile: $0.tile < 0 ? nil : Int($0.tile),
        startNanoseconds: Int($0.start), endNanoseconds: Int($0.end))
    }
  }
}
