// SPDX-License-Identifier: Apache-2.0
// Writing a file so that a crash leaves either the old one or the new one, never a part.

import Glibc
import Synchronization

/// A file under a temporary name that takes its real name in `commit`.
///
/// The bytes go to a temporary file in the same folder, are forced to disk, renamed, and the
/// folder is forced to disk too. Whatever ends before that removes the temporary file.
///
/// A symbolic link stays, what it points to is replaced. A file that is replaced keeps its mode and,
/// as far as the system allows, its owner. What is no regular file (a device, a FIFO, a descriptor
/// under /dev/fd) is written into as it is.
public final class AtomicFile {
  /// The path as it was given.
  public let path: String
  /// The file that changes: where the links of `path` lead.
  private let target: String
  /// nil: `target` is written into directly.
  private let temporary: String?
  private var descriptor: Int32
  private var hasher = Hasher256()
  /// Bytes written so far.
  public private(set) var count = 0

  private static let serial = Atomic<Int>(0)

  public init(_ path: String) throws(FormatError) {
    self.path = path
    let (target, isStream) = try AtomicFile.resolve(path)
    self.target = target
    guard !isStream else {
      temporary = nil
      descriptor = open(target, O_WRONLY | O_APPEND | O_CLOEXEC)
      guard descriptor >= 0 else { throw .system("open for writing", file: path) }
      return
    }
    var replaced = stat()
    let replaces = stat(target, &replaced) == 0
    if replaces, replaced.st_mode & S_IFMT == S_IFDIR {
      throw .system("write", file: path, code: EISDIR)
    }
    let number = AtomicFile.serial.add(1, ordering: .relaxed).newValue
    let temporary = AtomicFile.temporaryName(of: target, number)
    self.temporary = temporary
    // Nobody may read what the file that is replaced hides.
    let mode: mode_t = replaces ? 0o600 : 0o644
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw .system("create", file: path) }
    if replaces {
      // A new owner clears special bits of the mode, so the mode comes last. Only root may give away.
      _ = fchown(descriptor, replaced.st_uid, replaced.st_gid)
      guard fchmod(descriptor, replaced.st_mode & 0o7777) == 0 else { throw failed("set the mode") }
    }
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
    // Devices and pipes have nothing to force to disk and say so.
    let isDurable = fsync(descriptor) == 0
    guard isDurable || temporary == nil && [EINVAL, ENOTSUP, EROFS].contains(errno) else {
      throw failed("write to disk")
    }
    let closed = close(descriptor)
    descriptor = -1
    guard closed == 0 else { throw failed("close") }
    if let temporary {
      guard rename(temporary, target) == 0 else { throw failed("rename to its final name") }
      try Folder.sync(Folder.parent(of: target))
    }
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
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    if let temporary { unlink(temporary) }
  }

  // MARK: Names

  private static let mark = ".tmp-"

  private static func temporaryName(of target: String, _ number: Int) -> String {
    "\(target)\(mark)\(getpid())-\(number)"
  }

  /// Whether a file's name is one that a process which was stopped while writing leaves behind.
  public static func isTemporary(_ name: String) -> Bool {
    guard let range = name.ranges(of: mark).last else { return false }
    let numbers = name[range.upperBound...].split(
      separator: "-", omittingEmptySubsequences: false)
    return numbers.count == 2 && numbers.allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isNumber) }
  }

  /// Follows links to what is to be written, and whether it is written into as it is.
  private static func resolve(
    _ path: String
  ) throws(FormatError) -> (target: String, isStream: Bool) {
    var status = stat()
    if stat(path, &status) == 0, ![S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) {
      return (path, true)
    }
    var target = path
    for _ in 0..<40 {
      var link = stat()
      guard lstat(target, &link) == 0, link.st_mode & S_IFMT == S_IFLNK else {
        return (target, false)
      }
      // Links there stand for open files: to replace what they name would not reach its reader.
      if Folder.parent(of: target).hasPrefix("/proc/") { return (path, true) }
      var name = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
      let length = readlink(target, &name, Int(PATH_MAX))
      guard length > 0 else { throw .system("read the link", file: path) }
      let next = String(decoding: name[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      target = next.hasPrefix("/") ? next : Folder.parent(of: target) + "/" + next
    }
    throw .system("follow the links", file: path, code: ELOOP)
  }
}
