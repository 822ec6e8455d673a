// SPDX-License-Identifier: Apache-2.0
// A file that only grows at its end, and can be cut back to a known offset when a run resumes.

import Glibc

/// The common ground of the audit log and of JSON lines.
final class AppendFile {
  let path: String
  private let descriptor: Int32
  /// Bytes in the file.
  private(set) var offset: Int

  init(_ path: String) throws(FormatError) {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .system("open for appending", file: path) }
    let end = lseek(descriptor, 0, SEEK_END)
    guard end >= 0 else {
      close(descriptor)
      throw .system("find the end", file: path)
    }
    offset = Int(end)
  }

  deinit { close(descriptor) }

  /// Appends bytes; after a failure the file is cut back to what it was.
  func append(_ bytes: [UInt8]) throws(FormatError) {
    let code = bytes.withUnsafeBytes { writeFully($0, to: descriptor) }
    guard code == 0 else {
      _ = ftruncate(descriptor, off_t(offset))
      throw .system("append", file: path, code: code)
    }
    offset += bytes.count
  }

  func sync() throws(FormatError) {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_nlink > 0 else {
      throw FormatError(
        .io, file: path, "the file was removed while it was written; what it held is lost")
    }
    guard fsync(descriptor) == 0 else { throw .system("write to disk", file: path) }
  }

  /// Cuts the file to its first `count` bytes.
  func truncate(to count: Int) throws(FormatError) {
    guard count >= 0, count <= offset else {
      throw FormatError(
        .corrupt, file: path, offset: offset,
        "the file has \(offset) bytes, but \(count) were recorded; it was cut or replaced")
    }
    guard ftruncate(descriptor, off_t(count)) == 0 else { throw .system("cut", file: path) }
    offset = count
  }
}
