// SPDX-License-Identifier: Apache-2.0
// A kernel call before memory is planned, and how chains cut it into tiles.

import IR

/// A kernel call over slots.
struct LoweredCall {
  var kernel: Kernel
  /// In the order of the kernel's contract.
  let slots: [Slot]
  /// What it does with each of them.
  let accesses: [Access]
  let source: String
  /// Tokens over whose rows it goes, if it can run tile by tile; several rows may be of one token.
  let tokens: Int?
  let endsPhase: Bool
  /// Rows of a tile where its chain fixed them.
  var tileRows: Int?
  /// Whether it goes on with the chain of the call before it.
  var isChained = false

  init(_ arguments: any KernelArguments, _ slots: [Slot], source: String, tokens: Int?) {
    kernel = Kernel(arguments)
    self.slots = slots
    accesses = arguments.accesses
    self.source = source
    self.tokens = arguments.chainRows == nil ? nil : tokens
    endsPhase = arguments.endsPhase
    precondition(slots.count == accesses.count, "\(kernel.name) has other buffers")
  }

  /// The bytes of the home that an operand touches.
  func range(_ position: Int) -> Range<Int> {
    slots[position].offset..<slots[position].offset + accesses[position].bytes
  }

  /// Whether tiles of the call touch rows of an operand that are theirs alone.
  func isRowwise(_ position: Int) -> Bool { tokens != nil && accesses[position].isRowwise }

  /// Fixes the rows of a tile. Row programs have theirs from the beginning.
  mutating func cut(intoTilesOf tokenRows: Int) {
    if kernel.program != nil { return }
    guard let tokens, let rows = kernel.arguments.chainRows else { return }
    tileRows = tokenRows * (rows / tokens)
  }
}

enum Tiles {
  /// Token rows of one tile: a multiple of the six rows that a product computes at once, few enough
  /// that their activations stay in the second-level cache, and at least sixteen tiles to share.
  /// Where a few more rows leave a team waiting less for its last tile, a tile has those.
  static func rows(tokens: Int) -> Int {
    guard let least = [96, 48, 24].first(where: { tokens >= 16 * $0 }) else { return 12 }
    return [least, least + 6, least + 12].min { waiting(tokens, $0) < waiting(tokens, $1) }!
  }

  /// Rows that teams of two, four and eight threads could compute while they wait for a last tile.
  private static func waiting(_ tokens: Int, _ rows: Int) -> Int {
    let (whole, rest) = tokens.quotientAndRemainder(dividingBy: rows)
    return [2, 4, 8].reduce(0) { sum, threads in
      let last = whole % threads > 0 ? rows : rest
      return sum + threads * (whole / threads * rows + last) - tokens
    }
  }
}
