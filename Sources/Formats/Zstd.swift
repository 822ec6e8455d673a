// SPDX-License-Identifier: Apache-2.0
// zstd frames: small, repeatable ones out; in, only one frame of a size known beforehand.

import CZstd

/// Zstandard compression of whole byte arrays.
public enum Zstd {
  /// Strongest level; above 19 this is what the program calls --ultra.
  public static let ultra: Int32 = 22
  private static let magic: UInt32 = 0xfd2f_b528
  private static let smallestWindow: Int32 = 10
  private static let largestWindow: Int32 = 27

  /// One frame without checksum. Equal input and library version give equal bytes.
  ///
  /// The window covers the whole input up to 128 MiB, like `--ultra --long=27`.
  public static func compress(_ bytes: [UInt8], level: Int32 = ultra) throws(FormatError) -> [UInt8]
  {
    guard let context = ZSTD_createCCtx() else {
      throw FormatError(.io, "no memory for zstd")
    }
    defer { ZSTD_freeCCtx(context) }
    var window = smallestWindow
    while window < largestWindow && bytes.count > 1 << window { window += 1 }
    try check(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level))
    try check(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window))
    try check(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0))
    let capacity = ZSTD_compressBound(bytes.count)
    var result = 0
    let frame = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      result = bytes.withUnsafeBytes {
        ZSTD_compress2(context, buffer.baseAddress, capacity, $0.baseAddress, $0.count)
      }
      count = ZSTD_isError(result) == 0 ? result : 0
    }
    try check(result)
    return frame
  }

  /// The content of one frame. Its size is the caller's knowledge: the frame is refused when it
  /// says or gives another size, and when anything follows it.
  public static func decompress(
    _ frame: [UInt8], expectedSize: Int, limit: Int = 1 << 34
  ) throws(FormatError) -> [UInt8] {
    guard expectedSize >= 0, expectedSize <= limit else {
      throw FormatError(.corrupt, "\(expectedSize) bytes are above the limit of \(limit)")
    }
    var reader = ByteReader(frame, file: nil)
    guard try reader.uint32("zstd magic") == magic else {
      throw FormatError(.corrupt, field: "zstd magic", offset: 0, "this is not a zstd frame")
    }
    let length = frame.withUnsafeBytes { ZSTD_findFrameCompressedSize($0.baseAddress, $0.count) }
    try check(length)
    guard length == frame.count else {
      throw FormatError(
        .corrupt, field: "zstd frame", offset: length,
        "\(frame.count - length) bytes follow the frame")
    }
    let declared = frame.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
    guard declared == UInt64(expectedSize) else {
      throw FormatError(
        .corrupt, field: "zstd content size",
        "the frame says \(declared < UInt64.max - 1 ? String(declared) : "nothing"), "
          + "expected \(expectedSize)")
    }
    var result = 0
    let content = [UInt8](unsafeUninitializedCapacity: expectedSize) { buffer, count in
      result = frame.withUnsafeBytes {
        ZSTD_decompress(buffer.baseAddress, expectedSize, $0.baseAddress, $0.count)
      }
      count = ZSTD_isError(result) == 0 ? result : 0
    }
    try check(result)
    guard result == expectedSize else {
      throw FormatError(.corrupt, "the frame holds \(result) bytes, expected \(expectedSize)")
    }
    return content
  }

  private static func check(_ code: Int) throws(FormatError) {
    guard ZSTD_isError(code) == 0 else {
      throw FormatError(.corrupt, field: "zstd", String(cString: ZSTD_getErrorName(code)))
    }
  }
}
