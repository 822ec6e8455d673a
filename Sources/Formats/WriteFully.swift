// SPDX-License-Identifier: Apache-2.0
// Writing to a descriptor until everything is written.

import Glibc

/// Writes all bytes; returns 0 or the error number. Waits for descriptors that do not block.
public func writeFully(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
  var done = 0
  while done < bytes.count {
    let written = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
    if written >= 0 {
      done += written
    } else if errno == EAGAIN {
      var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      guard poll(&wait, 1, -1) >= 0 || errno == EINTR else { return errno }
    } else if errno != EINTR {
      return errno
    }
  }
  return 0
}
