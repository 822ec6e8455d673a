// SPDX-License-Identifier: Apache-2.0
// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.

/// Offset of the first byte of the first invalid sequence, or nil.
public func firstInvalidUTF8(_ bytes: [UInt8]) -> Int? {
  bytes.withUnsafeBytes { firstInvalidUTF8($0) }
}

/// Offset of the first byte of the first invalid sequence, or nil.
public func firstInvalidUTF8(_ text: UnsafeRawBufferPointer) -> Int? {
  var index = 0
  while index < text.count {
    let lead = text[index]
    if lead < 0x80 {
      index += 1
      continue
    }
    // The second byte's range excludes overlong forms (E0, F0), surrogates (ED) and too
    // large code points (F4); see the table of well-formed sequences in the Unicode Standard.
    let length: Int
    let second: ClosedRange<UInt8>
    switch lead {
    case 0xc2...0xdf: (length, second) = (2, 0x80...0xbf)
    case 0xe0: (length, second) = (3, 0xa0...0xbf)
    case 0xed: (length, second) = (3, 0x80...0x9f)
    case 0xe1...0xef: (length, second) = (3, 0x80...0xbf)
    case 0xf0: (length, second) = (4, 0x90...0xbf)
    case 0xf1...0xf3: (length, second) = (4, 0x80...0xbf)
    case 0xf4: (length, second) = (4, 0x80...0x8f)
    default: return index
    }
    guard index + length <= text.count, second.contains(text[index + 1]) else { return index }
    for tail in index + 2..<index + length where !(0x80...0xbf).contains(text[tail]) {
      return index
    }
    index += length
  }
  return nil
}
