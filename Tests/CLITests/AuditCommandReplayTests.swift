// SPDX-License-Identifier: Apache-2.0
// graphc audit --replay, --probe and --sum on a small run, and on forgeries of it that agree with
// themselves.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct AuditCommandReplayTests {
  private typealias Event = [String: JSONValue]

  /// A run with adaptation, made once; tests work on copies.
  private final class Made: Sendable {
    let folder: TemporaryFolder
    let data: String
    let run: String
    let graph: String

    init() throws {
      folder = try TemporaryFolder()
      (data, run) = (folder.file("data"), folder.file("run"))
      let text = try folder.write("text.txt", sampleText())
      graph = try folder.write(
        "small.graph",
        smallGraph.replacingOccurrences(
          of: "  quantized window seq\n",
          with: "  float window seq on float\n  quantized window seq\n"))
      let prepared = try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data)
      try #require(prepared.code == 0, "\(prepared.errors)")
      let trained = try graphc(
        "run", "--ttt", graph, "--data", data, "--out", run, "--threads", "2")
      try #require(trained.code == 0, "\(trained.errors)")
    }
  }

  private static let made = Result { try Made() }

  private func audit(_ path: String, _ options: String..., data: String? = nil) throws -> Outcome {
    try graphc(
      ["audit", path, "--data", data ?? Self.made.get().data, "--threads", "2"] + options)
  }

  private func forgery() throws -> Forgery { try Forgery(of: Self.made.get().run) }

  private static func halved(_ value: JSONValue?) -> JSONValue {
    if let values = value?.arrayValue { return .array(values.map(halved)) }
    return .double((value?.doubleValue ?? 0) / 2)
  }

  /// Every bits per byte of a result halved.
  private static func halvedScores(_ value: JSONValue) -> JSONValue {
    if let members = value.objectValue {
      return .object(
        Dictionary(
          uniqueKeysWithValues: members.map { key, value in
            (key, key.hasPrefix("bpb") && value != .null ? halved(value) : halvedScores(value))
          }))
    }
    return value.arrayValue.map { .array($0.map(halvedScores)) } ?? value
  }

  @Test func anHonestRunIsRecomputedToTheBit() throws {
    let path = try Self.made.get().run
    let all = try audit(path, "--replay", "all", "--probe", "6", "--sum", "6", "--json")
    #expect(all.code == 0, "\(all.errors)")
    let report = try JSONValue.parse(Array(all.output.utf8))
    #expect(report["ok"] == true)
    #expect(report["established"] == "recomputed")
    let claims = try #require(report["claims"]?.arrayValue).filter {
      $0["standing"] == "recomputed"
    }.compactMap { $0["claim"]?.stringValue }
    #expect(claims.contains { $0.hasPrefix("replay: all ") && $0.contains("equal to the bit") })
    #expect(claims.contains { $0.hasPrefix("probe: 6 places of float, quantized; 6 places of") })
    #expect(claims.contains { $0.hasPrefix("sum: ") && $0.contains("places of ttt") })
    let some = try audit(path, "--replay", "2")
    #expect(some.code == 0, "\(some.errors)")
    #expect(some.output.contains("replay: "))
    let plain = try graphc("audit", path)
    #expect(plain.code == 0, "\(plain.errors)")
    #expect(plain.output.contains("consistent: "))
  }

  @Test func halvedSumsAreFound() throws {
    var forgery = try forgery()
    forgery.each("nats", Self.halved)
    forgery.each("blocks", Self.halved)
    forgery.result { $0["eval"] = Self.halvedScores($0["eval"] ?? .null) }
    try forgery.close()
    let plain = try graphc("audit", forgery.path)
    #expect(plain.code == 0, "\(plain.errors)")
    let outcome = try audit(forgery.path, "--replay", "1")
    #expect(outcome.code == 5)
    #expect(outcome.output.contains("!!  replay: "))
    #expect(outcome.output.contains("recomputed: "))
    #expect(outcome.output.contains("computed again it is"))
  }

  @Test func nllMovedFromOneChunkToAnotherIsFound() throws {
    var forgery = try forgery()
    let scores = forgery.events.indices.filter { forgery.events[$0]["event"] == "score" }
    for (index, nats) in [(scores[0], 1.0), (scores[1], -1.0)] {
      let old = forgery.events[index]["nats"]?.doubleValue ?? 0
      forgery.events[index]["nats"] = .double(old + nats)
    }
    try forgery.close()
    #expect(try graphc("audit", forgery.path).code == 0)
    let outcome = try audit(forgery.path, "--replay", "all")
    #expect(outcome.code == 5)
    #expect(outcome.output.contains("line \(scores[0] + 1): nats is "))
  }

  @Test func aSwappedTokenizerIsFound() throws {
    let forgery = try forgery()
    let folder = forgery.folder
    // The same number of pieces, learned from other text: its byte table is another.
    let text = try folder.write(
      "other.txt", sampleText().replacingOccurrences(of: "e", with: "eek"))
    let (other, mixed) = (folder.file("other"), folder.file("mixed"))
    #expect(
      try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", other).code == 0)
    try FileManager.default.copyItem(atPath: Self.made.get().data, toPath: mixed)
    try FileManager.default.removeItem(atPath: mixed + "/manifest.json")
    try FileManager.default.removeItem(atPath: mixed + "/tokenizer.model")
    try FileManager.default.copyItem(
      atPath: other + "/tokenizer.model", toPath: mixed + "/tokenizer.model")
    #expect(try audit(forgery.path, "--replay", "1", data: mixed).code == 5)
    let swapped = try Tokenizer(path: mixed + "/tokenizer.model").sha256
    try forgery.edit("manifest.json") { $0["tokenizer"] = .string(swapped) }
    try forgery.close()
    let outcome = try audit(forgery.path, "--replay", "all", data: mixed)
    #expect(outcome.code == 5, "\(outcome.errors)")
    #expect((outcome.output + outcome.errors).contains("bytes is "))
  }

  @Test func anotherMachineIsCloseAndSaysSo() throws {
    let forgery = try forgery()
    try forgery.edit("manifest.json") { $0["isa"] = "avx4096" }
    try forgery.close()
    let outcome = try audit(forgery.path, "--replay", "all")
    #expect(outcome.code == 1, "\(outcome.errors)")
    #expect(outcome.output.contains("--  replay: "))
    #expect(outcome.output.contains("close"))
    #expect(outcome.output.contains("the run used avx4096"))
  }

  @Test func aForgeryIsFoundOnAnotherMachineToo() throws {
    var forgery = try forgery()
    try forgery.edit("manifest.json") { $0["isa"] = "avx4096" }
    forgery.each("nats", Self.halved)
    forgery.each("blocks", Self.halved)
    forgery.result { $0["eval"] = Self.halvedScores($0["eval"] ?? .null) }
    try forgery.close()
    #expect(try audit(forgery.path, "--replay", "all").code == 5)
  }

  @Test func floatWeightsThatAreGoneAreNamed() throws {
    let forgery = try forgery()
    try FileManager.default.removeItem(atPath: forgery.file("checkpoints"))
    let outcome = try audit(forgery.path, "--replay", "all")
    #expect(outcome.code == 1, "\(outcome.errors)")
    #expect(outcome.output.contains("not computed again: float"))
    #expect(outcome.output.contains("equal to the bit"))
  }

  @Test func aRunOnAnotherInstructionSetIsRecomputedToTheBit() throws {
    let made = try Self.made.get()
    let folder = try TemporaryFolder()
    let run = folder.file("run")
    let arguments = "run --ttt \(made.graph) --data \(made.data) --out run"
    let trained = try shell("GRAPHC_ISA=portable \"$GRAPHC\" \(arguments)", in: folder.path)
    #expect(trained.code == 0, "\(trained.errors)")
    let outcome = try audit(run, "--replay", "all")
    #expect(outcome.code == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("equal to the bit (portable, built-in, f32)"))
  }

  @Test func recomputingNeedsDataAndSensibleNumbers() throws {
    let path = try Self.made.get().run
    let without = try graphc("audit", path, "--replay", "all")
    #expect(without.code == 2)
    #expect(without.errors.contains("--data"))
    for options in [["--replay", "none"], ["--replay", "0"], ["--probe", "0"], ["--sum", "-1"]] {
      let arguments = ["audit", path, "--data", try Self.made.get().data] + options
      #expect(try graphc(arguments).code == 2, "\(options)")
    }
    #expect(try audit(path, "--probe", "1", data: "/nonexistent").code == 66)
  }
}
