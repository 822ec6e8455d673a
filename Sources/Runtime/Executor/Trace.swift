// SPDX-License-Identifier: Apache-2.0
// Profiles as a trace in the Chrome event format, which Perfetto and browsers open.

import Formats

/// A document with one process a profile and one track a thread. Times are in microseconds from the
/// first event of all.
public func traceDocument(_ profiles: [Profile]) -> JSONValue {
  let starts = profiles.lazy.flatMap(\.events).map(\.startNanoseconds)
  let origin = starts.min() ?? 0
  let events = profiles.enumerated().flatMap { index, profile in
    profile.trackNames(process: index + 1) + profile.spans(process: index + 1, origin: origin)
  }
  return ["displayTimeUnit": "ms", "traceEvents": .array(events)]
}

extension Profile {
  fileprivate func trackNames(process: Int) -> [JSONValue] {
    func label(_ kind: String, _ thread: Int, _ name: String) -> JSONValue {
      [
        "ph": "M", "name": .string(kind), "pid": .int(process), "tid": .int(thread),
        "args": ["name": .string(name)],
      ]
    }
    return [label("process_name", 0, name)]
      + (0..<threads).map { label("thread_name", $0, "thread \($0)") }
  }

  fileprivate func spans(process: Int, origin: Int) -> [JSONValue] {
    var tiles = [Int](repeating: 0, count: calls.count)
    for event in events where event.tile != nil { tiles[event.call] += 1 }
    let flops = zip(calls, tiles).map { $0.cost.flops / Double(max($1, 1)) }
    return events.map { event in
      let call = calls[event.call]
      var span: [String: JSONValue] = [
        "ph": "X", "pid": .int(process), "tid": .int(event.thread),
        "ts": .double(Double(event.startNanoseconds - origin) * 1e-3),
        "dur": .double(event.seconds * 1e6),
      ]
      if let tile = event.tile {
        span["name"] = .string("\(call.kernel.name) \(call.source)")
        span["cat"] = .string(call.kernel.name)
        // Tiles of a call are taken to be alike.
        span["args"] = [
          "tile": .int(tile),
          "gflops": .double(flops[event.call] / max(event.seconds, 1e-9) * 1e-9),
        ]
      } else {
        span["name"] = "barrier"
        span["cat"] = "barrier"
        span["args"] = ["before": .string("\(call.kernel.name) \(call.source)")]
      }
      return .object(span)
    }
  }
}
