// SPDX-License-Identifier: Apache-2.0
// Which held-out documents stand in a text that passes by, as a whole or in pieces.

/// The text of held-out documents, to be looked for in training text of any length.
///
/// A document is found when a training document has the same text, white space at the ends aside, or
/// when nine tenths of its pieces stand somewhere in the training text, however that is cut into
/// documents and tokens. The second is looked for in documents of two pieces or more. Text that was
/// changed in every piece is not found.
struct HeldOutText {
  /// Bytes of a piece: longer than phrases that unrelated texts share.
  static let pieceBytes = 128

  private struct Document {
    let digest: [UInt8]
    let pieces: [UInt64]
  }

  private var documents: [Document] = []
  private var digests: Set<[UInt8]> = []
  private var found: Set<[UInt8]> = []
  /// Pieces by their hash; true once the piece was found.
  private var pieces: [UInt64: Bool] = [:]
  private var filter = BitFilter(capacity: 0)
  private var window = RollingHash()

  /// Adds a document without white space at its ends.
  mutating func add(_ text: ArraySlice<UInt8>, _ digest: [UInt8]) {
    guard !text.isEmpty else { return }
    var hashes: [UInt64] = []
    if text.count >= 2 * HeldOutText.pieceBytes {
      var start = text.startIndex
      while start + HeldOutText.pieceBytes <= text.endIndex {
        hashes.append(RollingHash.of(text[start..<start + HeldOutText.pieceBytes]))
        start += HeldOutText.pieceBytes
      }
    }
    documents.append(Document(digest: digest, pieces: hashes))
    digests.insert(digest)
  }

  /// Call it when all documents are added.
  mutating func finish() {
    filter = BitFilter(capacity: documents.reduce(0) { $0 + $1.pieces.count })
    for document in documents {
      for piece in document.pieces {
        pieces[piece] = false
        filter.insert(piece)
      }
    }
  }

  /// Looks into the next training document, whose digest is that of its text without white space at
  /// the ends, like those of the documents that were added.
  mutating func find(in text: [UInt8], _ digest: [UInt8]) {
    if digests.contains(digest) { found.insert(digest) }
    guard !pieces.isEmpty else { return }
    let filter = filter
    var candidates: [UInt64] = []
    window.forEachHash(text) { hash in
      if filter.mayHold(hash) { candidates.append(hash) }
    }
    for hash in candidates where pieces[hash] != nil { pieces[hash] = true }
  }

  /// Documents that were found.
  var sharedDocuments: Int {
    documents.count { document in
      if found.contains(document.digest) { return true }
      let count = document.pieces.count { pieces[$0] == true }
      return !document.pieces.isEmpty && count * 10 >= document.pieces.count * 9
    }
  }
}

/// The hash of the latest bytes of a text, as many as a piece has. Bytes count one more than their
/// value, so that zeros matter; before the text begins, all are zero.
private struct RollingHash {
  private static let base: UInt64 = 0x9e37_79b9_7f4a_7c15
  /// base to the power of a piece's bytes: the weight of the byte that leaves.
  private static let leaving = (0..<HeldOutText.pieceBytes).reduce(1 as UInt64) { power, _ in
    power &* base
  }

  private var latest = [UInt8](repeating: 0, count: HeldOutText.pieceBytes)
  private var hash = RollingHash.of(ArraySlice(repeating: 0, count: HeldOutText.pieceBytes))

  static func of(_ piece: ArraySlice<UInt8>) -> UInt64 {
    piece.reduce(0) { $0 &* base &+ UInt64($1) &+ 1 }
  }

  /// Goes on with `text` and gives the hash behind each of its bytes.
  mutating func forEachHash(_ text: [UInt8], _ body: (UInt64) -> Void) {
    let bytes = latest + text
    let (base, leaving) = (RollingHash.base, RollingHash.leaving)
    var hash = hash
    bytes.withUnsafeBufferPointer { bytes in
      for index in HeldOutText.pieceBytes..<bytes.count {
        let left = UInt64(bytes[index - HeldOutText.pieceBytes]) &+ 1
        hash = hash &* base &+ UInt64(bytes[index]) &+ 1 &- left &* leaving
        body(hash)
      }
    }
    self.hash = hash
    latest = Array(bytes.suffix(HeldOutText.pieceBytes))
  }
}

/// A set of hashes that may say yes too often, small enough to stay in a cache.
private struct BitFilter {
  private var words: [UInt64]
  private let shift: UInt64

  init(capacity: Int) {
    var bits: UInt64 = 12
    while 1 << bits < 32 * capacity { bits += 1 }
    words = [UInt64](repeating: 0, count: 1 << (bits - 6))
    shift = 64 - bits
  }

  mutating func insert(_ hash: UInt64) {
    let bit = BitFilter.mixed(hash) >> shift
    words[Int(bit >> 6)] |= 1 << (bit & 63)
  }

  func mayHold(_ hash: UInt64) -> Bool {
    let bit = BitFilter.mixed(hash) >> shift
    return words[Int(bit >> 6)] >> (bit & 63) & 1 == 1
  }

  private static func mixed(_ hash: UInt64) -> UInt64 {
    (hash ^ hash >> 29) &* 0xbf58_476d_1ce4_e5b9
  }
}
