// SPDX-License-Identifier: Apache-2.0
// A folder that one process at a time writes to.

import Glibc

/// Holds a folder until the value goes away or the process ends, however it ends.
///
/// The lock is the system's, on a file named `lock` in the folder, which stays behind and means
/// nothing by itself.
public final class FolderLock {
  public static let fileName = "lock"
  private let descriptor: Int32

  /// Takes the folder; throws if another process has it.
  public init(_ folder: String) throws(FormatError) {
    let path = "\(folder)/\(FolderLock.fileName)"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .system("open the lock", file: path) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let holder = FolderLock.holder(descriptor)
      close(descriptor)
      guard code == EWOULDBLOCK else { throw .system("lock", file: path, code: code) }
      throw FormatError(
        .usage, file: folder,
        "\(holder) is writing to this folder; wait until it ends or stop it")
    }
    // For the message above alone: without it the lock holds as well.
    _ = ftruncate(descriptor, 0)
    let text = Array("\(getpid())\n".utf8)
    _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
  }

  deinit { close(descriptor) }

  private static func holder(_ descriptor: Int32) -> String {
    var text = [UInt8](repeating: 0, count: 32)
    let count = pread(descriptor, &text, text.count, 0)
    let number = String(decoding: text.prefix(max(count, 0)).prefix { $0 != 0x0a }, as: UTF8.self)
    return Int(number).map { "process \($0)" } ?? "another process"
  }
}
