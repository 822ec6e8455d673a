// SPDX-License-Identifier: Apache-2.0
// How much memory this process can have, as far as the system says it.

import Foundation
import Glibc

/// The least of the limits on a process's memory.
public struct MemoryLimit: Sendable, Equatable {
  public var bytes: Int
  /// What limits: `physical memory`, `cgroup limit` or `RLIMIT_AS`.
  public var name: String

  public init(bytes: Int, name: String) {
    (self.bytes, self.name) = (bytes, name)
  }

  /// The limit of this process now.
  public static func current() -> MemoryLimit {
    var limits: [MemoryLimit] = []
    let page = sysconf(Int32(_SC_PAGESIZE))
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    if pages > 0 { limits.append(MemoryLimit(bytes: pages * page, name: "physical memory")) }
    if let group = groupLimit() { limits.append(MemoryLimit(bytes: group, name: "cgroup limit")) }
    var addresses = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &addresses) == 0,
      addresses.rlim_cur < rlim_t(Int.max)
    {
      // Counts what is mapped already: the program, its libraries, the data.
      let mapped = lines("/proc/self/statm").first?.split(separator: " ").first.flatMap { Int($0) }
      limits.append(
        MemoryLimit(
          bytes: max(0, Int(addresses.rlim_cur) - (mapped ?? 0) * page), name: "RLIMIT_AS"))
    }
    return limits.min { $0.bytes < $1.bytes } ?? MemoryLimit(bytes: .max, name: "nothing")
  }

  /// The least limit of the control groups that this process is in.
  private static func groupLimit() -> Int? {
    var files: [String] = []
    for line in lines("/proc/self/cgroup") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[0] == "0" && fields[1].isEmpty
      guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
      let root = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
      let name = isUnified ? "memory.max" : "memory.limit_in_bytes"
      // Inside a container the path may be one of the host's, which is not there; the root is.
      var folder = fields[2].split(separator: "/")
      while true {
        files.append(([root] + folder.map(String.init) + [name]).joined(separator: "/"))
        if folder.popLast() == nil { break }
      }
    }
    // `max` is no number; the old interface has a number beyond all memory in its place.
    return files.compactMap { lines($0).first.flatMap { Int($0) } }.min()
  }

  private static func lines(_ path: String) -> [Substring] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n")
  }
}
