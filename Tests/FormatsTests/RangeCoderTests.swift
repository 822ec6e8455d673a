// SPDX-License-Identifier: Apache-2.0
// The range coder: what it reads is what it wrote, its size, and streams that it did not write.

import Formats
import Foundation
import TestSupport
import Testing

/// Repeatable numbers (Knuth's MMIX).
private struct Numbers {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 33
  }
  mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }
  /// Standard normal: twelve uniform numbers are near enough, but for the tails.
  mutating func normal() -> Double {
    (0..<12).reduce(-6) { sum, _ in sum + Double(next()) / Double(1 << 31) }
  }
}

@Suite struct RangeCoderTests {
  private static func normalCodes(
    _ matrix: CodeMatrix, deviation: Double, _ numbers: inout Numbers
  ) -> [UInt8] {
    (0..<matrix.count).map { _ in
      let code = Int((numbers.normal() * deviation).rounded())
      return UInt8(
        bitPattern: Int8(max(matrix.codes.lowerBound, min(matrix.codes.upperBound, code))))
    }
  }

  /// Bits a code where the counts of all codes are known.
  private static func entropy(_ codes: [UInt8]) -> Double {
    var counts = [Int](repeating: 0, count: 256)
    for code in codes { counts[Int(code)] += 1 }
    let shares = counts.filter { $0 > 0 }.map { Double($0) / Double(codes.count) }
    return shares.reduce(0) { $0 - $1 * log2($1) }
  }

  @Test func readsWhatItWroteForAllSizesAndRanges() throws {
    var numbers = Numbers(state: 1)
    for trial in 0..<300 {
      let most = [1, 3, 15, 31, 127][trial % 5]
      let range = (-most - numbers.below(2))...most
      let columns = 1 + numbers.below(70)
      let matrices = [
        CodeMatrix(rows: 1 + numbers.below(40), columns: columns, codes: range),
        CodeMatrix(rows: numbers.below(9), columns: columns + numbers.below(2), codes: range),
      ]
      let count = matrices[0].count + matrices[1].count
      var codes: [UInt8] = []
      for index in 0..<count {
        var code = numbers.below(range.count) + range.lowerBound
        if trial % 4 == 0 { code = 0 }
        if trial % 4 == 1 { code /= 3 }
        let isLikeAbove = trial % 4 == 2 && index >= columns && numbers.below(8) > 0
        codes.append(isLikeAbove ? codes[index - columns] : UInt8(bitPattern: Int8(code)))
      }
      let predicted = try RangeCoder.predictedBytes(codes, matrices)
      // Codes that fill their range need not become fewer bytes.
      guard let stream = try RangeCoder.encode(codes, matrices) else { continue }
      let (decoded, size) = try RangeCoder.decode(stream, matrices)
      #expect(decoded == codes, "trial \(trial)")
      #expect(abs(predicted.bytes - stream.count) <= 8)
      #expect(zip(predicted.bits, size.bits).allSatisfy { abs($0 - $1) < 1 })
    }
  }

  @Test(arguments: [(31, 2.41), (31, 6.2), (127, 6.35)])
  func normalRowsTakeTheirEntropy(_ most: Int, _ deviation: Double) throws {
    var numbers = Numbers(state: 2)
    let matrix = CodeMatrix(rows: 512, columns: 256, codes: -most...most)
    let codes = Self.normalCodes(matrix, deviation: deviation, &numbers)
    let stream = try #require(try RangeCoder.encode(codes, [matrix]))
    let ratio = Double(stream.count * 8) / (Self.entropy(codes) * Double(codes.count))
    #expect(ratio < 1.002, "\(ratio)")
    #expect(try Double(stream.count) < 0.995 * Double(Zstd.compress(codes).count))
  }

  @Test func learnsWhatDiffersByColumnAndByRow() throws {
    var numbers = Numbers(state: 3)
    let matrix = CodeMatrix(rows: 256, columns: 128, codes: -127...127)
    let byColumn = (0..<matrix.count).map { index in
      let deviation = index % 128 < 64 ? 2.0 : 20.0
      return UInt8(bitPattern: Int8(max(-127, min(127, numbers.normal() * deviation))))
    }
    let byRow = (0..<matrix.count).map { index in
      let deviation = index / 128 % 2 == 0 ? 2.0 : 20.0
      return UInt8(bitPattern: Int8(max(-127, min(127, numbers.normal() * deviation))))
    }
    for codes in [byColumn, byRow] {
      let stream = try #require(try RangeCoder.encode(codes, [matrix]))
      // Without knowing which half a code is in, half a bit a code is lost.
      let bits = Double(stream.count * 8) / Double(codes.count)
      #expect(bits < Self.entropy(codes) - 0.2, "\(bits)")
    }
  }

  @Test func namesTheRowThatARowResembles() throws {
    var numbers = Numbers(state: 4)
    let matrix = CodeMatrix(rows: 256, columns: 128, codes: -127...127)
    var codes = Self.normalCodes(matrix, deviation: 20, &numbers)
    for row in 128..<256 {
      let like = numbers.below(128)
      for column in 0..<128 {
        let near = Int(Int8(bitPattern: codes[like * 128 + column])) + numbers.below(3) - 1
        codes[row * 128 + column] = UInt8(bitPattern: Int8(max(-127, min(127, near))))
      }
    }
    let stream = try #require(try RangeCoder.encode(codes, [matrix]))
    #expect(try RangeCoder.decode(stream, [matrix]).codes == codes)
    #expect(try stream.count < Zstd.compress(codes).count * 3 / 4)
  }

  /// Integers alone make the bytes, so that no machine may make others.
  @Test func bytesAreTheSameEverywhere() throws {
    var numbers = Numbers(state: 5)
    let matrix = CodeMatrix(rows: 90, columns: 70, codes: -32...31)
    var codes = Self.normalCodes(matrix, deviation: 7, &numbers)
    codes.replaceSubrange(5000..<6000, with: codes[3600..<4600])
    let stream = try #require(try RangeCoder.encode(codes, [matrix]))
    #expect(
      SHA256.hex(stream) == "3eeca0731d084b6e493acae15f25a3adff39c5c4086bfa86a7a13b9c50d2fbc1")
  }

  @Test func changedStreamsAreReadOrRefused() throws {
    var numbers = Numbers(state: 6)
    let matrices = [
      CodeMatrix(rows: 24, columns: 20, codes: -31...31),
      CodeMatrix(rows: 3, columns: 7, codes: -8...7),
    ]
    var codes = Self.normalCodes(matrices[0], deviation: 6, &numbers)
    codes.replaceSubrange(400..<480, with: codes[0..<80])
    codes += Self.normalCodes(matrices[1], deviation: 2, &numbers)
    let stream = try #require(try RangeCoder.encode(codes, matrices))
    var refused = 0
    for _ in 0..<3000 {
      var damaged = Array(
        stream.prefix(numbers.below(4) > 0 ? stream.count : numbers.below(stream.count)))
      for _ in 0...numbers.below(4) where !damaged.isEmpty {
        damaged[numbers.below(damaged.count)] = UInt8(truncatingIfNeeded: numbers.next())
      }
      do {
        let read = try RangeCoder.decode(damaged, matrices).codes.map { Int(Int8(bitPattern: $0)) }
        #expect(read[..<480].allSatisfy { (-31...31).contains($0) })
        #expect(read[480...].allSatisfy { (-8...7).contains($0) })
      } catch {
        #expect(error.kind == .corrupt)
        refused += 1
      }
    }
    #expect(refused > 1500)
    for damaged in [stream + [0], Array(stream.dropLast(40)), []] {
      formatError(.corrupt) { try RangeCoder.decode(damaged, matrices) }
    }
  }

  /// A few bytes do not make a decoder work for long: it ends where they do.
  @Test func aShortStreamEndsSoon() throws {
    let wild = [CodeMatrix(rows: 1 << 12, columns: 1 << 14, codes: -127...127)]
    let start = ContinuousClock.now
    formatError(.corrupt) { try RangeCoder.decode([0x55, 0xaa, 0x33], wild) }
    #expect(ContinuousClock.now - start < .seconds(2))
  }

  @Test func refusesWhatItCannotCode() throws {
    let wide = CodeMatrix(rows: 1, columns: 65_537, codes: -1...1)
    let codes = [UInt8](repeating: 1, count: wide.count)
    #expect(try RangeCoder.encode(codes, [wide]) == nil)
    formatError(.corrupt) { try RangeCoder.decode([1, 2, 3], [wide]) }
    formatError(.usage) { try RangeCoder.predictedBytes(codes, [wide]) }
    let small = CodeMatrix(rows: 1, columns: 2, codes: -1...1)
    for codes: [UInt8] in [[1], [1, 2]] {
      #expect(try RangeCoder.encode(codes, [small]) == nil)
      formatError(.usage) { try RangeCoder.predictedBytes(codes, [small]) }
    }
  }
}
