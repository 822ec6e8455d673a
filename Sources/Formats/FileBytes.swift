// SPDX-License-Identifier: Apache-2.0
// Reading files: whole into memory, or mapped. The size is checked before anything is allocated.

import Glibc

/// Reads a whole regular file. `limit` guards against a file that cannot be what is expected.
public func readFile(_ path: String, limit: Int = .max) throws(FormatError) -> [UInt8] {
  let (descriptor, count) = try openRegularFile(path)
  defer { close(descriptor) }
  guard count <= limit else {
    throw FormatError(
      .corrupt, file: path, "the file has \(count) bytes, at most \(limit) are expected")
  }
  var failure: Int32 = 0
  let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
    while filled < count {
      let got = read(descriptor, buffer.baseAddress! + filled, count - filled)
      if got < 0 && errno == EINTR { continue }
      if got < 0 { failure = errno }
      if got <= 0 { break }
      filled += got
    }
  }
  guard failure == 0 else { throw .system("read", file: path, code: failure) }
  guard bytes.count == count else {
    throw FormatError(
      .io, file: path, offset: bytes.count,
      "the file ended after \(bytes.count) of \(count) bytes; did another program cut it?")
  }
  return bytes
}

/// A regular file mapped read-only. It must not be cut by another program while it is mapped.
public final class MappedFile: @unchecked Sendable {
  public let path: String
  /// Bytes in the file.
  public let count: Int
  private let base: UnsafeMutableRawPointer?

  public init(_ path: String) throws(FormatError) {
    let (descriptor, count) = try openRegularFile(path)
    defer { close(descriptor) }
    self.path = path
    self.count = count
    guard count > 0 else {
      base = nil
      return
    }
    let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard address != MAP_FAILED, let address else { throw .system("map", file: path) }
    base = address
  }

  deinit {
    if let base { munmap(base, count) }
  }

  /// Gives the bytes of the file to `body`; they must not be kept.
  public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    body(UnsafeRawBufferPointer(start: base, count: count))
  }

  /// A copy of a range, which must lie inside the file.
  public subscript(range: Range<Int>) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the file")
    return withBytes { Array($0[range]) }
  }
}

/// Opens for reading and returns the descriptor with the size in bytes.
private func openRegularFile(_ path: String) throws(FormatError) -> (Int32, Int) {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw .system("open", file: path) }
  var status = stat()
  guard fstat(descriptor, &status) == 0 else {
    let error = FormatError.system("stat", file: path)
    close(descriptor)
    throw error
  }
  guard status.st_mode & S_IFMT == S_IFREG else {
    close(descriptor)
    let found = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "not a regular file"
    throw FormatError(.usage, file: path, "this is \(found), a file is expected")
  }
  return (descriptor, Int(status.st_size))
}
