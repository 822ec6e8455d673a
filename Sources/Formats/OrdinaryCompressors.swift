// SPDX-License-Identifier: Apache-2.0
// Sizes that ordinary compressors reach on a text: what a language model is compared with.

import CLzma
import Foundation

/// One compressor and the size it reached, or nil when it could not be run here.
public struct CompressedSize: Sendable, Equatable {
  public let name: String
  public let size: Int?
}

/// Sizes under gzip -9, xz -9e and zstd --ultra -22 --long=27.
public func ordinaryCompressors(_ bytes: [UInt8]) -> [CompressedSize] {
  [
    CompressedSize(name: "gzip -9", size: gzipSize(bytes)),
    CompressedSize(name: "xz -9e", size: xzSize(bytes)),
    CompressedSize(name: "zstd -22 --ultra --long=27", size: try? Zstd.compress(bytes).count),
  ]
}

private func xzSize(_ bytes: [UInt8]) -> Int? {
  let capacity = lzma_stream_buffer_bound(bytes.count)
  guard capacity > 0 else { return nil }
  var position = 0
  var status = LZMA_OK
  _ = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
    status = bytes.withUnsafeBufferPointer {
      lzma_easy_buffer_encode(
        graphc_lzma_preset_9e, LZMA_CHECK_CRC64, nil, $0.baseAddress, $0.count,
        buffer.baseAddress, &position, capacity)
    }
    count = 0
  }
  return status == LZMA_OK ? position : nil
}

/// Runs the gzip program, which has no library here. The text goes through a file, so that a full
/// pipe cannot block both sides.
private func gzipSize(_ bytes: [UInt8]) -> Int? {
  let programs = ["/bin/gzip", "/usr/bin/gzip", "/usr/local/bin/gzip"]
  guard let program = programs.first(where: FileManager.default.isExecutableFile) else {
    return nil
  }
  let path = NSTemporaryDirectory() + "graphc-gzip-\(UUID().uuidString)"
  defer { try? FileManager.default.removeItem(atPath: path) }
  guard (try? AtomicFile.write(path, bytes)) != nil, let input = FileHandle(forReadingAtPath: path)
  else { return nil }
  let process = Process()
  let output = Pipe()
  process.executableURL = URL(fileURLWithPath: program)
  process.arguments = ["-9", "-n", "-c"]
  process.standardInput = input
  process.standardOutput = output
  process.standardError = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return nil }
  var size = 0
  while true {
    let part = output.fileHandleForReading.availableData
    if part.isEmpty { break }
    size += part.count
  }
  process.waitUntilExit()
  return process.terminationStatus == 0 ? size : nil
}
