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
      CompileCommand.self, RunCommand.self, EvalCommand.self, GenerateCommand.self,
      ExecCommand.self, BenchCommand.self, CheckCommand.self, FormatCommand.self,
      DumpCommand.self, AuditCommand.self, DataCommand.self, DoctorCommand.self,
      ExplainCommand.self,
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
    switch error {
    case let error as Failure:
      printError(error.message)
      return error.exitCode
    case let error as FormatError:
      printError("error: \(error)")
      return error.exitCode
    case let error as Diagnostics:
      printError(error.rendered(sources: error.sources).trimmingEnd())
      let count = error.all.count { $0.severity == .error }
      if count >= Diagnostics.limit {
        printError("\(count) errors; the rest was not looked for")
      } else if count > 1 {
        printError("\(count) errors")
      }
      return error.isLegality ? 5 : 3
    case let error as OpError:
      printError("error: \(error)")
      return 3
    case let error as InternalError:
      printError("internal error: \(error)")
      return 4
    case let error as LegalityError:
      printError("error: not legal: \(error)")
      return 5
    case let error as OutOfMemory:
      printError("error: \(error)")
      return 1
    case let error as OverBudget:
      printError(error.message)
      return 6
    case let error as NumericFailure:
      printError("error: \(error)")
      return 8
    case let error as Interrupted:
      printError(
        "interrupted after step \(error.step); everything is saved, continue with --resume")
      return 128 + Interruption.signal
    case is EvaluationInterrupted:
      printError("interrupted; training is saved, continue with --resume")
      return 128 + Interruption.signal
    default:
      let code = exitCode(for: error)
      if code == .success {
        // Help or the version, which were asked for.
        do { try printOutput(fullMessage(for: error)) } catch { return report(error) }
        return 0
      }
      // It begins with "Error:" and goes on with the usage; our own errors begin in lower case.
      let message = fullMessage(for: error)
      printError(message.hasPrefix("Error:") ? "error:" + message.dropFirst(6) : message)
      // The parser's own errors are wrong usage.
      return code == .validationFailure ? 2 : code.rawValue
    }
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

extension OverBudget {
  var message: String {
    let over = bytes + code - budget
    var text = "error: over budget: the artifact has \(bytes) bytes"
    if code > 0 { text += " and the code \(code)" }
    text += ", \(over) more than the budget of \(budget).\nWhat costs most, compressed:"
    for group in largest { text += "\n  \(group.bytes) bytes  \(group.group)" }
    return text
      + "\nLower their bits or raise their clip in the quantize section, or shrink the model."
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
