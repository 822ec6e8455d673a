// SPDX-License-Identifier: Apache-2.0
// Reading files: whole into memory, or in pieces. The size is checked before anything is allocated.

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

/// Reads standard input to its end.
public func readStandardInput() throws(FormatError) -> [UInt8] {
  var bytes: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let got = read(STDIN_FILENO, &piece, piece.count)
    if got > 0 {
      bytes += piece[..<got]
    } else if got == 0 {
      return bytes
    } else if errno != EINTR {
      throw .system("read", file: "standard input")
    }
  }
}

/// A regular file that stays open and is read in pieces. A file that another program cuts meanwhile is
/// an error of the read; behind a map it would be a signal.
public final class OpenFile: Sendable {
  public let path: String
  /// Bytes in the file when it was opened.
  public let count: Int
  private let descriptor: Int32

  public init(_ path: String) throws(FormatError) {
    (descriptor, count) = try openRegularFile(path)
    self.path = path
  }

  deinit { close(descriptor) }

  /// Fills the buffer with what begins at `offset`, which the file must still hold.
  public func read(
    at offset: Int, into buffer: UnsafeMutableRawBufferPointer
  ) throws(FormatError) {
    var filled = 0
    while filled < buffer.count {
      let got = pread(
        descriptor, buffer.baseAddress! + filled, buffer.count - filled, offset + filled)
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .system("read", file: path) }
      guard got > 0 else {
        throw FormatError(
          .corrupt, file: path, offset: offset + filled,
          "the file ends here, but it had \(count) bytes when it was opened; another program cut it: "
            + "restore the file and run again")
      }
      filled += got
    }
  }

  /// A copy of a range, which must lie inside the file as it was when it was opened.
  public func bytes(_ range: Range<Int>) throws(FormatError) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the file")
    var bytes = [UInt8](repeating: 0, count: range.count)
    // The closure cannot say that it throws nothing else.
    var failure: FormatError?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(FormatError) { try read(at: range.lowerBound, into: buffer) } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Gives the whole file to `body`, piece by piece.
  public func forEachPiece(
    of size: Int = 1 << 20, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(FormatError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { buffer.deallocate() }
    for start in stride(from: 0, to: count, by: size) {
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(size, count - start)])
      try read(at: start, into: piece)
      body(UnsafeRawBufferPointer(piece))
    }
  }
}

/// Opens for reading and returns the descriptor with the size in bytes.
private func openRegularFile(_ path: String) throws(FormatError) -> (Int32, Int) {
  // Without O_NONBLOCK a FIFO that nobody writes to would block here for ever.
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
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
