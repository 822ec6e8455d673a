// SPDX-License-Identifier: Apache-2.0
// SHA-256, the only hash of graphc. The one file that knows which library computes it.

import CCrypto

/// SHA-256 of bytes and files.
public enum SHA256 {
  /// Bytes in a digest.
  public static let byteCount = 32

  /// Digest of bytes as 64 lower-case hexadecimal digits.
  public static func hex(_ bytes: [UInt8]) -> String {
    var hasher = Hasher256()
    hasher.update(bytes)
    return hasher.hex()
  }

  /// Digest of the UTF-8 bytes of a text as 64 lower-case hexadecimal digits.
  public static func hex(_ text: String) -> String { hex(Array(text.utf8)) }

  /// Digest of bytes.
  public static func digest(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var hasher = Hasher256()
    hasher.update(Array(bytes))
    return hasher.digest()
  }

  /// Digest of a file, read in pieces.
  public static func hex(file path: String) throws(FormatError) -> String {
    let file = try OpenFile(path)
    var hasher = Hasher256()
    try file.forEachPiece { hasher.update($0) }
    return hasher.hex()
  }
}

/// SHA-256 over bytes that arrive in pieces.
public struct Hasher256: ~Copyable {
  private let context: OpaquePointer

  public init() {
    // A digest fails where there is no memory, or no SHA-256 in the library: neither can go on.
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      preconditionFailure("libcrypto has no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  public mutating func update(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update($0) }
  }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    let updated = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    precondition(updated == 1, "libcrypto does not hash")
  }

  /// The digest of what was fed so far; feeding may go on.
  public func digest() -> [UInt8] {
    let copy = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(copy) }
    var digest = [UInt8](repeating: 0, count: SHA256.byteCount)
    let finished =
      EVP_MD_CTX_copy_ex(copy, context) == 1
      && EVP_DigestFinal_ex(copy, &digest, nil) == 1
    precondition(finished, "libcrypto does not hash")
    return digest
  }

  /// The digest as 64 lower-case hexadecimal digits.
  public func hex() -> String { digest().hex }
}

extension Sequence<UInt8> {
  /// Two lower-case hexadecimal digits for each byte.
  var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
