// SPDX-License-Identifier: Apache-2.0
// Standard output and error: the only writers of both. Lost output is an error, lost messages are not.

import Formats
import Glibc

/// Writes a command's product to standard output, a line unless told otherwise.
///
/// Throws when the bytes did not arrive: a full disk, a closed descriptor, a reader that went away.
func printOutput(_ text: String, terminator: String = "\n") throws {
  try printOutput(bytes: Array((text + terminator).utf8))
}

/// Writes bytes to standard output.
func printOutput(bytes: some Sequence<UInt8>) throws {
  let code = writeAll(Array(bytes), to: STDOUT_FILENO)
  guard code != 0 else { return }
  let reason = String(cString: strerror(code))
  throw Failure(
    // Who ignores or catches SIGPIPE still ends as if it had stopped the process.
    exitCode: code == EPIPE ? 128 + SIGPIPE : 74,
    message: "error: standard output: \(reason); the output is lost")
}

/// Prints a line to standard error.
func printError(_ text: String) { writeError(text + "\n") }

/// Writes to standard error as it is. Nobody can be told when that fails.
func writeError(_ text: String) { _ = writeAll(Array(text.utf8), to: STDERR_FILENO) }

/// Writes all bytes; returns 0 or the error number.
private func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
  bytes.withUnsafeBytes { writeFully($0, to: descriptor) }
}

/// The three descriptors that every program counts on.
enum StandardDescriptors {
  /// Opens /dev/null for those that are closed, so that no file of graphc gets their numbers.
  ///
  /// It is opened the other way around: reading the closed input and writing to the closed output
  /// fail, as they did before.
  static func fill() {
    for descriptor in STDIN_FILENO...STDERR_FILENO
    where fcntl(descriptor, F_GETFD) == -1 && errno == EBADF {
      // The lowest free number is this one.
      let opened = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
      guard opened == descriptor else { _exit(74) }
    }
  }
}
