// SPDX-License-Identifier: Apache-2.0
// Damaged files end in diagnostics, never in a crash or an endless run.

import IR
import Language
import TestSupport
import Testing

/// A fixed sequence of random numbers, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

@Suite struct ParserRobustnessTests {
  @Test func damagedFilesAreDiagnosed() throws {
    var random = SplitMix(state: 757)
    let paths = Repository.files(in: "graphs") + ElaborateTests.files
    let texts = try paths.map { Array(try Repository.text($0).utf8) }
    var core = try Repository.model("graphs/tiny.graph").printed()
    core = String(core.prefix(9000))
    for _ in 0..<2000 {
      let index = Int.random(in: 0...texts.count, using: &random)
      let bytes = index == texts.count ? Array(core.utf8) : texts[index]
      let path = index == texts.count ? "core" : paths[index]
      let text = String(decoding: damage(bytes, &random), as: UTF8.self)
      let source = SourceFile(path: path, text: text)
      do {
        let model = try elaborate(file: source, includes: Repository.text)
        #expect(!model.variants.isEmpty)
      } catch {
        #expect(!error.all.isEmpty)
        _ = error.rendered()
      }
      if let formatted = try? formatGraph(source) {
        #expect(try formatGraph(SourceFile(path: path, text: formatted)) == formatted)
      }
    }
  }

  private func damage(_ bytes: [UInt8], _ random: inout SplitMix) -> [UInt8] {
    var bytes = bytes
    switch Int.random(in: 0..<4, using: &random) {
    case 0: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
    case 1:
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        bytes.remove(at: Int.random(in: 0..<bytes.count, using: &random))
      }
    case 2:
      let letters = Array("()[]{}0123456789aBT.,:=+-*/<>\"#;\n |".utf8)
      for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] =
          letters[Int.random(in: 0..<letters.count, using: &random)]
      }
    default:
      // A line is moved elsewhere.
      let lines = bytes.split(separator: 10, omittingEmptySubsequences: false)
      let from = Int.random(in: 0..<lines.count, using: &random)
      var rest = lines
      let line = rest.remove(at: from)
      rest.insert(line, at: Int.random(in: 0...rest.count, using: &random))
      bytes = Array(rest.joined(separator: [10]))
    }
    return bytes
  }

  @Test func deepNestingIsRefused() throws {
    for text in [
      "const a = " + String(repeating: "(", count: 5000),
      "const a = " + String(repeating: "-", count: 5000) + "1",
      "const a = " + String(repeating: "not ", count: 5000) + "true",
      "const a = 1" + String(repeating: " + 1", count: 5000),
      "block B() {" + String(repeating: "if true {", count: 5000),
    ] {
      #expect(throws: Diagnostics.self) {
        try parseGraph(SourceFile(path: "m", text: text))
      }
    }
  }

  @Test func hugeSizesAreRefused() throws {
    for text in [
      "const a = 0 ..< 1e12", "const a = 1_000_000 * [1]",
      "param p [1e9, 1e9]\nforward(ids: tokens[B, T]) -> dist[B, T, 1] {}",
    ] {
      #expect(throws: Diagnostics.self) { try Repository.model(text: "model m\n\(text)\n") }
    }
  }
}
