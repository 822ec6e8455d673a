// SPDX-License-Identifier: Apache-2.0
// LZMA2 streams without the xz container: all that it would say is known beforehand.

import CLzma

/// LZMA2 at the strength of `xz -9e`, for bytes that are numbers: literals without the bytes before them
/// or their place as context, which is better for weights, and for the text of graphs too.
public enum Xz {
  private static let (smallestDictionary, largestDictionary) = (1 << 12, 1 << 25)

  /// Gives the filters for a content of so many bytes, on both sides; nothing in a stream decides how
  /// much memory its decoder takes.
  private static func withFilters(
    _ count: Int, _ body: (UnsafePointer<lzma_filter>) -> lzma_ret
  ) -> lzma_ret {
    var options = lzma_options_lzma()
    guard lzma_lzma_preset(&options, graphc_lzma_preset_9e) == 0 else { return LZMA_OPTIONS_ERROR }
    var dictionary = smallestDictionary
    while dictionary < largestDictionary && dictionary < count { dictionary *= 2 }
    (options.dict_size, options.lc, options.lp, options.pb) = (UInt32(dictionary), 0, 0, 0)
    return withUnsafeMutablePointer(to: &options) { options in
      let filters = [
        lzma_filter(id: graphc_lzma_filter_lzma2, options: options),
        lzma_filter(id: graphc_lzma_vli_unknown, options: nil),
      ]
      return filters.withUnsafeBufferPointer { body($0.baseAddress!) }
    }
  }

  /// Equal input and library version give equal bytes.
  public static func compress(_ bytes: [UInt8]) throws(FormatError) -> [UInt8] {
    let capacity = lzma_stream_buffer_bound(bytes.count)
    var status = LZMA_OK
    let stream = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      status = bytes.withUnsafeBufferPointer { bytes in
        withFilters(bytes.count) {
          lzma_raw_buffer_encode(
            $0, nil, bytes.baseAddress, bytes.count, buffer.baseAddress, &count, capacity)
        }
      }
    }
    try check(status)
    return stream
  }

  /// The content of a stream, whose size the caller knows; another size is refused.
  public static func decompress(
    _ stream: [UInt8], expectedSize: Int, limit: Int = 1 << 34
  ) throws(FormatError) -> [UInt8] {
    guard expectedSize >= 0, expectedSize <= limit else {
      throw FormatError(.corrupt, "\(expectedSize) bytes are above the limit of \(limit)")
    }
    var status = LZMA_OK
    var read = 0
    let content = [UInt8](unsafeUninitializedCapacity: expectedSize) { buffer, count in
      status = stream.withUnsafeBufferPointer { stream in
        withFilters(expectedSize) {
          lzma_raw_buffer_decode(
            $0, nil, stream.baseAddress, &read, stream.count, buffer.baseAddress, &count,
            expectedSize)
        }
      }
    }
    try check(status)
    guard read == stream.count, content.count == expectedSize else {
      throw FormatError(
        .corrupt, field: "xz",
        "the stream holds \(content.count) bytes in \(read) of \(stream.count), "
          + "expected \(expectedSize)")
    }
    return content
  }

  private static func check(_ status: lzma_ret) throws(FormatError) {
    switch status {
    case LZMA_OK: break
    case LZMA_MEM_ERROR: throw FormatError(.io, "no memory for xz")
    default: throw FormatError(.corrupt, field: "xz", "the stream is damaged or of another size")
    }
  }
}
