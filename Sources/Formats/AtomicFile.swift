// SPDX-License-Identifier: Apache-2.0
// Writing a file so that a crash leaves either the old one or the new one, never a part.

import Glibc
import Synchronization

/// A file under a temporary name that takes its real name in `commit`.
///
/// The bytes go to a temporary file in the same folder, are forced to disk, renamed, and the
/// folder is forced to disk too. Whatever ends before that removes the temporary file.
public final class AtomicFile {
  public let path: String
  private let temporary: String
  private var descriptor: Int32
  private var hasher = Hasher256()
  /// Bytes written so far.
  public private(set) var count = 0

  private static let serial = Atomic<Int>(0)

  public init(_ path: String) throws(FormatError) {
    self.path = path
    let number = AtomicFile.serial.add(1, ordering: .relaxed).newValue
    temporary = "\(path).tmp-\(getpid())-\(number)"
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .system("create", file: path) }
  }

  deinit { abandon() }

  /// Appends bytes.
  public func write(_ bytes: [UInt8]) throws(FormatError) {
    hasher.update(bytes)
    let code = bytes.withUnsafeBytes { writeFully($0, to: descriptor) }
    guard code == 0 else {
      abandon()
      throw .system("write", file: path, code: code)
    }
    count += bytes.count
  }

  /// Makes the file durable under its real name and returns the SHA-256 of its bytes.
  @discardableResult
  public func commit() throws(FormatError) -> String {
    guard fsync(descriptor) == 0 else { throw failed("write to disk") }
    let closed = close(descriptor)
    descriptor = -1
    guard closed == 0 else { throw failed("close") }
    guard rename(temporary, path) == 0 else { throw failed("rename to its final name") }
    try Folder.sync(Folder.parent(of: path))
    return hasher.hex()
  }

  /// Writes a whole file.
  public static func write(_ path: String, _ bytes: [UInt8]) throws(FormatError) {
    let file = try AtomicFile(path)
    try file.write(bytes)
    try file.commit()
  }

  /// Writes a whole file as UTF-8.
  public static func write(_ path: String, _ text: String) throws(FormatError) {
    try write(path, Array(text.utf8))
  }

  private func failed(_ action: String) -> FormatError {
    let error = FormatError.system(action, file: path)
    abandon()
    return error
  }

  private func abandon() {
    guard descriptor >= 0 else {
      unlink(temporary)
      return
    }
    close(descriptor)
    descriptor = -1
    unlink(temporary)
  }
}

/// Writes all bytes; returns 0 or the error number.
func writeFully(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
  var done = 0
  while done < bytes.count {
    let written = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
    if written < 0 && errno == EINTR { continue }
    if written < 0 { return errno }
    done += written
  }
  return 0
}
