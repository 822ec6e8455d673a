// SPDX-License-Identifier: Apache-2.0
// Proves of one lowered function that every call reads what was meant to be there. Knows only what
// the kernels in C say of the bytes that each of them touches, and which of them it writes.

import IR
import Runtime

/// Runs a function on a map of its memory that holds, for every byte, which call wrote it.
struct PlanChecker {
  private let function: PlanFunction
  private let layout: ParameterLayout
  private(set) var faults: [String] = []
  private var memory: [BufferReference.Space: [Piece]] = [:]
  /// What each read found in the first run, to be found again in the second.
  private var firstRun: [ReadKey: [Writer]] = [:]
  private var pending: (reads: [Access], writes: [Access]) = ([], [])
  /// What the calls of the open chain touch, and its tiles.
  private var chain: (reads: [Access], writes: [Access], tiles: Int?) = ([], [], nil)

  private enum Writer: Hashable {
    case outside
    case call(stage: String, index: Int, buffer: Int)
  }
  private struct Piece {
    var start: Int
    var end: Int
    var writer: Writer
  }
  private struct ReadKey: Hashable {
    let stage: String
    let index: Int
    let buffer: Int
  }
  struct Access: Hashable {
    var buffer: Int
    var reference: BufferReference
    var bytes: Int
    /// Whether a tile of the call touches its own rows only.
    var isRowwise = false
    var end: Int { reference.offset + bytes }
    func overlaps(_ other: Access) -> Bool {
      reference.space == other.reference.space && reference.offset < other.end
        && other.reference.offset < end
    }
    /// Whether tile i of one touches nothing that another tile of the other one does.
    func isTiledLike(_ other: Access) -> Bool {
      isRowwise && other.isRowwise && reference == other.reference && bytes == other.bytes
    }
  }

  init(_ function: PlanFunction, layout: ParameterLayout) {
    self.function = function
    self.layout = layout
  }

  mutating func run() {
    memory[.parameter] = [Piece(start: 0, end: layout.bytes, writer: .outside)]
    memory[.state] = [Piece(start: 0, end: function.stateBytes, writer: .outside)]
    memory[.constant] = [Piece(start: 0, end: function.constants.count * 4, writer: .outside)]
    memory[.arena] = []
    memory[.tile] = []
    run("setup", function.setup)
    // Inputs may be written before the first run and stay; parameters change between the runs.
    for input in function.inputs {
      write(Access(buffer: 0, reference: input.buffer, bytes: input.type.count * 4), by: .outside)
    }
    // Parameters that stay need no second `prepare`: its results must outlive the body.
    run("prepare", function.prepare)
    for _ in 0..<2 {
      memory[.parameter] = [Piece(start: 0, end: layout.bytes, writer: .outside)]
      memory[.state] = [Piece(start: 0, end: function.stateBytes, writer: .outside)]
      run("body", function.body)
      for (index, output) in function.outputs.enumerated() {
        let access = Access(
          buffer: index, reference: output.buffer, bytes: output.type.count * 4)
        read(access, ReadKey(stage: "output", index: index, buffer: 0), "output \(output.name)")
      }
    }
  }

  private mutating func run(_ stage: String, _ calls: [KernelCall]) {
    pending = ([], [])
    chain = ([], [], nil)
    for (index, call) in calls.enumerated() {
      let place = "\(stage) \(index) \(call.kernel.name) of \(call.source)"
      let (reads, writes) = call.accesses
      for access in reads + writes { checkBounds(access, place) }
      if call.isChained {
        checkChain(call, reads, writes, place)
      } else {
        pending.reads += chain.reads.filter { $0.reference.space != .tile }
        pending.writes += chain.writes.filter { $0.reference.space != .tile }
        chain = ([], [], call.chainTiles)
        // What one tile leaves behind is not there for the next chain.
        memory[.tile] = []
      }
      checkBarrier(call, reads, writes, place)
      chain.reads += reads
      chain.writes += writes
      checkAliases(call, reads, writes, place)
      for access in reads {
        let key = ReadKey(stage: stage, index: index, buffer: access.buffer)
        read(access, key, place, allowsSeveral: call.kernel.name == "clip_factor")
      }
      for access in writes {
        write(access, by: .call(stage: stage, index: index, buffer: access.buffer))
      }
    }
  }

  // MARK: Rules

  private mutating func checkBounds(_ access: Access, _ place: String) {
    let bytes: Int
    switch access.reference.space {
    case .parameter: bytes = layout.bytes
    case .state: bytes = function.stateBytes
    case .arena: bytes = function.arenaBytes
    case .constant: bytes = function.constants.count * 4
    case .tile: bytes = Int.max
    }
    if access.reference.offset < 0 || access.end > bytes || access.reference.offset % 4 != 0 {
      faults.append("\(place): buffer \(access.buffer) leaves its block of \(bytes) bytes")
    }
  }

  /// Calls between two barriers run in any order: none may touch what another one writes.
  private mutating func checkBarrier(
    _ call: KernelCall, _ reads: [Access], _ writes: [Access], _ place: String
  ) {
    if call.barrier { pending = ([], []) }
    let conflict =
      pending.writes.contains { old in (reads + writes).contains(where: old.overlaps) }
      || pending.reads.contains { old in writes.contains(where: old.overlaps) }
    if conflict { faults.append("\(place): no barrier before a conflicting call") }
  }

  /// The calls of a chain run tile by tile: what they share must have the same rows in every tile.
  private mutating func checkChain(
    _ call: KernelCall, _ reads: [Access], _ writes: [Access], _ place: String
  ) {
    if call.barrier { faults.append("\(place): a barrier inside a chain") }
    if call.chainTiles == nil || call.chainTiles != chain.tiles {
      faults.append("\(place): other tiles than the rest of its chain")
    }
    func check(_ old: [Access], _ new: [Access]) {
      for access in new {
        // Tile memory is a thread's own: there the calls of a chain follow each other.
        for other in old
        where access.reference.space != .tile && other.overlaps(access)
          && !other.isTiledLike(access)
        {
          faults.append("\(place): buffer \(access.buffer) has other rows in its chain")
        }
      }
    }
    check(chain.writes, reads + writes)
    check(chain.reads, writes)
  }

  /// A call may write where it reads only element by element.
  private mutating func checkAliases(
    _ call: KernelCall, _ reads: [Access], _ writes: [Access], _ place: String
  ) {
    for (index, write) in writes.enumerated() {
      if writes[..<index].contains(where: write.overlaps) {
        faults.append("\(place): two results in one place")
      }
      for read in reads where read.overlaps(write) {
        let isSame = read.reference == write.reference && read.bytes == write.bytes
        let isAllowed: Bool
        switch call.kernel.name {
        case "adamw", "sgd", "muon": isAllowed = isSame && read.buffer == write.buffer
        case "cross_entropy_backward": isAllowed = isSame
        case "rows":
          isAllowed = isSame && call.kernel.program!.writes(write.buffer, after: read.buffer)
        default: isAllowed = false
        }
        if !isAllowed {
          faults.append("\(place): result \(write.buffer) overwrites operand \(read.buffer)")
        }
      }
    }
  }

  /// What is read must be whole: all its bytes from one result of one call, the same in every run.
  private mutating func read(
    _ access: Access, _ key: ReadKey, _ place: String, allowsSeveral: Bool = false
  ) {
    var writers: [Writer] = []
    var covered = access.reference.offset
    for piece in memory[access.reference.space]!
    where piece.start < access.end && access.reference.offset < piece.end {
      if piece.start > covered { break }
      covered = piece.end
      if !writers.contains(piece.writer) { writers.append(piece.writer) }
    }
    if covered < access.end { faults.append("\(place): buffer \(access.buffer) was never written") }
    if writers.count > 1, !allowsSeveral {
      faults.append("\(place): buffer \(access.buffer) holds parts of \(writers.count) values")
    }
    if let first = firstRun[key], first != writers {
      faults.append("\(place): buffer \(access.buffer) holds another value in the second run")
    }
    firstRun[key] = firstRun[key] ?? writers
  }

  private mutating func write(_ access: Access, by writer: Writer) {
    let (start, end) = (access.reference.offset, access.end)
    var pieces: [Piece] = []
    for piece in memory[access.reference.space]! {
      if piece.end <= start || end <= piece.start {
        pieces.append(piece)
        continue
      }
      if piece.start < start {
        pieces.append(Piece(start: piece.start, end: start, writer: piece.writer))
      }
      if end < piece.end {
        pieces.append(Piece(start: end, end: piece.end, writer: piece.writer))
      }
    }
    let place = pieces.firstIndex { $0.start >= end } ?? pieces.count
    pieces.insert(Piece(start: start, end: end, writer: writer), at: place)
    memory[access.reference.space] = pieces
  }
}

// MARK: - Contracts

extension KernelCall {
  /// What a call reads and writes: bytes that KernelAccessTests compare with memory, and here anew
  /// whether tiles touch their own rows alone.
  var accesses: (reads: [PlanChecker.Access], writes: [PlanChecker.Access]) {
    var reads: [PlanChecker.Access] = []
    var writes: [PlanChecker.Access] = []
    for (index, access) in kernel.arguments.accesses.enumerated() {
      let reference = buffers[index]
      // In tile memory a buffer is one tile large.
      let checked = PlanChecker.Access(
        buffer: index, reference: reference,
        bytes: reference.space == .tile ? reference.tileBytes : access.bytes,
        isRowwise: rowwiseBuffers.contains(index))
      if access.writes { writes.append(checked) }
      if access.mode != .write { reads.append(checked) }
    }
    return (reads, writes)
  }

  /// Tiles of a call that may be chained, if its size fixes them.
  var chainTiles: Int? {
    guard let rows = kernel.arguments.chainRows else { return nil }
    let tile = (kernel.arguments as? Kernel.Rows)?.tileRows ?? tileRows
    return tile.map { (rows + $0 - 1) / $0 }
  }

  private var rowwiseBuffers: Set<Int> {
    switch kernel.name {
    case "matmul": return [0, 1]
    case "embed": return [0, 2]
    case "pack_tokens": return [1]
    case "cross_entropy": return [0, 1, 2, 3]
    case "cross_entropy_backward": return [0, 1, 2, 3, 4, 5]
    default: return Set(kernel.program?.rowwiseBuffers ?? [])
    }
  }
}

extension RowProgram {
  /// Buffers with a row, or a number, for each row; sums have a part for each tile.
  fileprivate var rowwiseBuffers: [Int] {
    registers.indices.compactMap { index in
      let isSum = instructions.contains { $0.destination == index && $0.operation.isSum }
      return !isSum && [.full, .scalar].contains(registers[index].shape)
        ? registers[index].buffer : nil
    }
  }

  /// Whether the first write of one buffer follows the last read of another.
  fileprivate func writes(_ buffer: Int, after other: Int) -> Bool {
    let written = registers.indices.filter { registers[$0].buffer == buffer }
    let read = Set(registers.indices.filter { registers[$0].buffer == other })
    let firstWrite = instructions.firstIndex { written.contains($0.destination) } ?? 0
    let lastRead = instructions.lastIndex { !read.isDisjoint(with: $0.operands) }
    return lastRead ?? -1 <= firstWrite
  }
}
