// SPDX-License-Identifier: Apache-2.0
// graphc doctor: the facts of this machine that decide how fast graphc runs, and what is wrong.

import ArgumentParser
import Formats
import Foundation
import Runtime

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Show what graphc uses of this machine and what is in its way.",
    discussion: """
      Peaks are measured, in about a second: products of numbers in registers, and reading \
      memory beyond the caches. Exits with 1 when something is wrong.

      Example: graphc doctor
      """)

  @OptionGroup var form: JSONOptions

  mutating func run() throws {
    _ = try Host.machine(allowsMissing: true)
    let system = SystemFacts()
    if form.json { try printOutput(system.json.text) } else { try printOutput(system.text) }
    if !system.problems.isEmpty { throw Failure.check(counted(system.problems.count, "problem")) }
  }
}

/// What the system says about itself. Unknown facts are nil.
private struct SystemFacts {
  let processor = Self.processorModel()
  let processors = Machine.processors
  let memory = Self.pages(_SC_PHYS_PAGES)
  let available = Self.availableMemory()
  let pageSize = sysconf(Int32(_SC_PAGESIZE))
  let hugePages = Self.hugePages()
  let freeDisk = Self.freeDisk()
  let openMP = Self.openMPLibraries()
  let variables = Self.variables()
  let jit = Machine.jit
  let blas = Machine.blas
  let peaks = Machine.measuredPeaks(threads: Machine.processors)

  /// What slows graphc down or makes it fail.
  var problems: [String] {
    var problems: [String] = []
    if openMP.count > 1 {
      problems.append(
        "two OpenMP libraries are loaded (\(openMP.joined(separator: ", "))); their threads fight for "
          + "the processors: build graphc against one, or unset LD_PRELOAD")
    }
    if let freeDisk, freeDisk < 200_000_000 {
      problems.append("only \(freeDisk / 1_000_000) MB are free here; a run may fail to save")
    }
    return problems
  }

  var text: String {
    func gigabytes(_ bytes: Int?) -> String {
      bytes.map { fixed(Double($0) / 1e9, 1) + " GB" } ?? "unknown"
    }
    var rows = [
      ["graphc", version],
      ["machine", Machine.name],
      ["processor", processor ?? "unknown"],
      ["instruction set", Machine.isa],
      ["matrix products", Machine.gemm],
      ["JIT", jit],
      ["BLAS", blas + (coreConflict.map { "; " + $0 } ?? "")],
      ["processors", "\(processors)"],
      ["measured peak", computeText],
      ["memory bandwidth", "\(fixed(peaks.memoryGigabytes, 1)) GB/s read by all processors"],
      ["memory", "\(gigabytes(memory)), \(gigabytes(available)) available"],
      ["page size", "\(pageSize) bytes, huge pages: \(hugePageText)"],
      ["free disk here", gigabytes(freeDisk)],
      ["OpenMP", openMP.isEmpty ? "not found" : openMP.joined(separator: ", ")],
    ]
    rows += variables.map { ["\($0.name)=\($0.value)", $0.meaning] }
    let notes = problems.map { "problem: " + $0 }
    return ([textTable(rows)] + (notes.isEmpty ? ["", "ok"] : [""] + notes)).joined(separator: "\n")
  }

  private var computeText: String {
    let compute = peaks.compute
    return "\(fixed(compute.f32Gigaflops, 0)) GFLOP/s in f32, "
      + (compute.bf16Gigaflops.map { "\(fixed($0, 0)) in bf16" } ?? "bf16 is not built in")
  }

  private var hugePageText: String {
    switch hugePages {
    case "always": return "always"
    case "madvise": return "madvise, which graphc does for large blocks"
    case "never": return "never; large models lose time to address translation"
    default: return hugePages ?? "unknown"
    }
  }

  /// What the environment says about the core of OpenBLAS, where graphc takes another.
  private var coreConflict: String? {
    guard let asked = ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"],
      !blas.lowercased().contains("core \(asked.lowercased()),")
    else { return nil }
    return "OPENBLAS_CORETYPE says \(asked)"
  }

  var json: JSONValue {
    [
      "schema": "graphc-doctor/1", "version": .string(version), "machine": .string(Machine.name),
      "processor": processor.map(JSONValue.string) ?? .null,
      "isa": .string(Machine.isa), "gemm": .string(Machine.gemm), "processors": .int(processors),
      "jit": .string(jit), "blas": .string(blas),
      "blas_conflict": coreConflict.map(JSONValue.string) ?? .null,
      "peaks": [
        "threads": .int(peaks.compute.threads),
        "f32_gflops": .double(peaks.compute.f32Gigaflops),
        "bf16_gflops": peaks.compute.bf16Gigaflops.map(JSONValue.double) ?? .null,
        "memory_gb_per_second": .double(peaks.memoryGigabytes),
      ],
      "memory_bytes": memory.map(JSONValue.int) ?? .null,
      "available_bytes": available.map(JSONValue.int) ?? .null, "page_bytes": .int(pageSize),
      "huge_pages": hugePages.map(JSONValue.string) ?? .null,
      "free_disk_bytes": freeDisk.map(JSONValue.int) ?? .null,
      "openmp": .array(openMP.map(JSONValue.string)),
      "environment": .object(
        Dictionary(uniqueKeysWithValues: variables.map { ($0.name, .string($0.value)) })),
      "problems": .array(problems.map(JSONValue.string)),
    ]
  }

  // MARK: Reading the system

  private static func pages(_ name: Int) -> Int? {
    let count = sysconf(Int32(name))
    return count > 0 ? count * sysconf(Int32(_SC_PAGESIZE)) : nil
  }

  /// Lines of a file of the kernel; these have no size, so they cannot be read as regular files.
  private static func lines(_ path: String) -> [String] {
    guard let handle = FileHandle(forReadingAtPath: path) else { return [] }
    return String(decoding: handle.readDataToEndOfFile(), as: UTF8.self)
      .split(separator: "\n").map(String.init)
  }

  private static func processorModel() -> String? {
    let line = lines("/proc/cpuinfo").first { $0.hasPrefix("model name") }
    return line?.split(separator: ":").last.map { String($0.drop(while: \.isWhitespace)) }
  }

  private static func availableMemory() -> Int? {
    guard let line = lines("/proc/meminfo").first(where: { $0.hasPrefix("MemAvailable:") }) else {
      return nil
    }
    return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }

  /// The word in brackets: always, madvise or never.
  private static func hugePages() -> String? {
    let line = lines("/sys/kernel/mm/transparent_hugepage/enabled").first
    return line?.split(separator: " ").first { $0.hasPrefix("[") }.map {
      String($0.dropFirst().dropLast())
    }
  }

  private static func freeDisk() -> Int? {
    var facts = statvfs()
    return statvfs(".", &facts) == 0 ? Int(facts.f_bavail) * Int(facts.f_frsize) : nil
  }

  /// File names of the OpenMP libraries in this process.
  private static func openMPLibraries() -> [String] {
    let names = lines("/proc/self/maps").compactMap { line in
      line.split(separator: "/").last.map(String.init)
    }
    let known = ["libgomp", "libomp", "libiomp"]
    return Set(names.filter { name in known.contains { name.hasPrefix($0) } }).sorted()
  }

  private static func variables() -> [(name: String, value: String, meaning: String)] {
    ProcessInfo.processInfo.environment.sorted { $0.key < $1.key }.compactMap { name, value in
      meaning(name).map { (name, value, $0) }
    }
  }

  /// What a variable does to graphc; nil for those that have nothing to do with it.
  private static func meaning(_ name: String) -> String? {
    switch name {
    case "GRAPHC_ISA": return "limits the instruction set"
    case "GRAPHC_GEMM": return "chooses who multiplies matrices"
    case "OPENBLAS_CORETYPE": return "ignored: graphc chooses the core of this machine"
    case "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS": return "ignored: --threads decides"
    case "OMP_THREAD_LIMIT": return "limits --threads"
    case "OMP_DYNAMIC": return "may give fewer threads than --threads; results stay the same"
    case "OMP_PROC_BIND", "OMP_PLACES", "KMP_AFFINITY": return "binds threads to processors"
    case "OMP_WAIT_POLICY", "KMP_BLOCKTIME": return "how long idle threads keep their processor"
    default:
      if name.hasPrefix("GRAPHC_") { return "unknown to this version" }
      let isKnown = ["OPENBLAS_", "OMP_", "KMP_"].contains { name.hasPrefix($0) }
      return isKnown ? "read by the library, not by graphc" : nil
    }
  }
}
