// SPDX-License-Identifier: Apache-2.0
// The one error of this module: what was wrong with bytes from outside, where, and the way out.

import Glibc

/// A file or stream that could not be read or written.
public struct FormatError: Error, CustomStringConvertible, Equatable {
  /// What went wrong, as far as the exit code of a command is concerned.
  public enum Kind: String, Sendable {
    /// A file or folder that should exist does not.
    case notFound
    /// The bytes are not what their format says they must be.
    case corrupt
    /// The operating system refused to read or write.
    case io
    /// The caller asked for something that cannot be done.
    case usage
  }

  public let kind: Kind
  /// Path of the file, when there is one.
  public let file: String?
  /// Field of the format the error was found in.
  public let field: String?
  /// Byte offset in the file.
  public let offset: Int?
  /// What was found, what was expected, and the way out.
  public let message: String

  public init(
    _ kind: Kind, file: String? = nil, field: String? = nil, offset: Int? = nil, _ message: String
  ) {
    (self.kind, self.file, self.field, self.offset) = (kind, file, field, offset)
    self.message = message
  }

  /// Exit status of a command that ends with this error (sysexits.h).
  public var exitCode: Int32 {
    switch kind {
    case .usage: 2
    case .corrupt: 65
    case .notFound: 66
    case .io: 74
    }
  }

  public var description: String {
    var place: [String] = []
    if let file { place.append(file) }
    switch (field, offset) {
    case (let field?, let offset?): place.append("\(field) at byte \(offset)")
    case (let field?, nil): place.append(field)
    case (nil, let offset?): place.append("byte \(offset)")
    case (nil, nil): break
    }
    return (place + [message]).joined(separator: ": ")
  }

  /// The error for a failed system call, with the system's own words.
  static func system(
    _ action: String, file: String, code: Int32 = errno
  ) -> FormatError {
    let reason = String(cString: strerror(code))
    switch code {
    case ENOENT, ENOTDIR:
      return FormatError(.notFound, file: file, "cannot \(action): \(reason)")
    case ENOSPC, EDQUOT:
      return FormatError(
        .io, file: file, "cannot \(action): disk full (\(reason)); free some space and run again")
    default:
      return FormatError(.io, file: file, "cannot \(action): \(reason)")
    }
  }

  /// The same error, naming a file where it had none.
  func at(file path: String) -> FormatError {
    FormatError(kind, file: file ?? path, field: field, offset: offset, message)
  }
}
