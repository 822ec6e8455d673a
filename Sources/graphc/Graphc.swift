// SPDX-License-Identifier: Apache-2.0
// The command line: commands, and the one place where errors become messages and exit codes.

import ArgumentParser
import Formats
import Glibc
import IR
import Passes
import Runtime

let version = "0.1.0"

@main
struct Graphc: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "graphc",
    abstract: "A compiler for small language models under a byte budget.",
    discussion: """
      A model is declared once in a .graph file; training, quantisation-aware training, the \
      artifact, the scorer and test-time training are derived from it.

      Example: graphc run --ttt graphs/tiny.graph --data DIR --max-seconds 120
      """,
    version: "graphc \(version)",
    subcommands: [
      CompileCommand.self, DiffCommand.self, RunCommand.self, EvalCommand.self,
      QuantizeCommand.self, StudyCommand.self, GenerateCommand.self,
      ExecCommand.self, BenchCommand.self, CheckCommand.self, FormatCommand.self,
      DumpCommand.self, AuditCommand.self, DataCommand.self, DoctorCommand.self,
      ExplainCommand.self, EstimateCommand.self,
    ])

  static func main() {
    StandardDescriptors.fill()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      Glibc.exit(report(error))
    }
  }

  /// Prints an error to stderr and returns its exit code.
  private static func report(_ error: any Error) -> Int32 {
    let (code, message): (Int32, String)
    switch error {
    case let error as Failure: (code, message) = (error.exitCode, error.message)
    case let error as FormatError: (code, message) = (error.exitCode, "error: \(error)")
    case let error as Diagnostics: (code, message) = (error.isLegality ? 5 : 3, error.report)
    case is OutOfMemory: (code, message) = (1, "error: \(error)")
    case is OpError: (code, message) = (3, "error: \(error)")
    case is InternalError: (code, message) = (4, "internal error: \(error)")
    case is LegalityError: (code, message) = (5, "error: not legal: \(error)")
    case let error as OverBudget: (code, message) = (6, error.message)
    case let error as InfeasibleBudget: (code, message) = (6, error.message)
    case let error as OverLimit: (code, message) = (6, error.message)
    case is NumericFailure: (code, message) = (8, "error: \(error)")
    case let error as Interrupted:
      code = 128 + Interruption.signal
      message = "interrupted after step \(error.step); everything is saved, continue with --resume"
    case is StudyInterrupted:
      code = 128 + Interruption.signal
      message = "interrupted; what is done is saved, go on with --resume"
    case is EvaluationInterrupted:
      code = 128 + Interruption.signal
      message = "interrupted; training is saved, continue with --resume"
    default: return reportOfParser(error)
    }
    printError(message)
    return code
  }

  /// What the argument parser throws.
  private static func reportOfParser(_ error: any Error) -> Int32 {
    let code = exitCode(for: error)
    let message = fullMessage(for: error)
    if code == .success {
      // Help or the version, which were asked for.
      do { try printOutput(message) } catch { return report(error) }
      return 0
    }
    // It begins with "Error:" and goes on with the usage; our own errors begin in lower case.
    printError(message.hasPrefix("Error:") ? "error:" + message.dropFirst(6) : message)
    // The parser's own errors are wrong usage.
    return code == .validationFailure ? 2 : code.rawValue
  }
}

extension Diagnostics {
  /// All messages, and how many errors there are if several.
  fileprivate var report: String {
    let count = all.count { $0.severity == .error }
    let rest = count >= Diagnostics.limit ? "; the rest was not looked for" : ""
    return rendered(sources: sources).trimmingEnd() + (count > 1 ? "\n\(count) errors\(rest)" : "")
  }
}

/// An error with a message for the user and an exit code.
struct Failure: Error {
  let exitCode: Int32
  let message: String

  static func usage(_ message: String) -> Failure {
    Failure(exitCode: 2, message: "error: \(message)")
  }
  static func check(_ message: String) -> Failure { Failure(exitCode: 1, message: message) }
}

extension String {
  func trimmingEnd() -> String {
    var text = self[...]
    while text.last?.isWhitespace ?? false { text = text.dropLast() }
    return String(text)
  }
}

/// Seconds on a steady clock.
func now() -> Double { seconds(of: CLOCK_MONOTONIC) }

/// Seconds of processor time that this process took: what other processes do does not count.
func processorTime() -> Double { seconds(of: CLOCK_PROCESS_CPUTIME_ID) }

private func seconds(of clock: clockid_t) -> Double {
  var time = timespec()
  clock_gettime(clock, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
