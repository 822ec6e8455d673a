// SPDX-License-Identifier: Apache-2.0
// graphc data: folders from text, and what is wrong with folders.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct DataCommandTests {
  @Test func preparesAndInspectsAFolder() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text.txt", sampleText())
    let data = folder.file("data")
    let prepared = try graphc(
      "data", "prepare", "--text", text, "--vocab", "300", "--out", data, "--json")
    #expect(prepared.code == 0, "\(prepared.errors)")
    #expect(prepared.errors.contains("training a tokenizer of 300 ids"))
    let document = try JSONValue.parse(Array(prepared.output.utf8))
    #expect(document["tokenizer"]?["vocab"] == 300)
    let parts = ["train", "validation"].compactMap { document[$0]?["original_bytes"]?.intValue }
    #expect(parts.reduce(0, +) == sampleText().utf8.count)

    let inspected = try graphc("data", "inspect", data)
    #expect(inspected.code == 0)
    for part in ["vocabulary of 300", "validation", "no document is in both splits", "xz -9e"] {
      #expect(inspected.output.contains(part), "\(part)")
    }
    let json = try graphc("data", "inspect", data, "--json").output
    #expect(json.filter { $0 == "\n" }.count == 1)
    let compared = try graphc("data", "inspect", data, "--text", text)
    #expect(compared.code == 0, "\(compared.errors)")
    #expect(compared.output.contains("found in the given texts"))
    let stranger = try folder.write("stranger.txt", sampleText(paragraphs: 39))
    #expect(try graphc("data", "inspect", data, "--text", stranger).code == 65)

    let again = try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data)
    #expect(again.code == 0)
    #expect(again.errors.contains("up to date"))
    let other = try graphc("data", "prepare", "--text", text, "--vocab", "310", "--out", data)
    #expect(other.code == 2)
    try cutShard(data)
  }

  /// A shard that is cut off.
  private func cutShard(_ data: String) throws {
    let shard = URL(fileURLWithPath: data + "/fineweb_val_000000.bin")
    try Data(contentsOf: shard).dropLast(10).write(to: shard)
    let outcome = try graphc("data", "inspect", data)
    #expect(outcome.code == 65)
    #expect(outcome.output.isEmpty)
    #expect(outcome.errors.contains("fineweb_val_000000.bin: token count at byte 8"))
  }

  @Test func namesOfTextsComeFromStandardInputToo() throws {
    let folder = try TemporaryFolder()
    let names = try (0..<3).map { number in
      try folder.write("\(number).txt", "\(number)\n" + sampleText(paragraphs: 4 + number))
    }
    let outcome = try graphc(
      "data", "prepare", "--text", "-", "--vocab", "300", "--validation", "0.5", "--out",
      folder.file("data"), "--json", input: names.joined(separator: "\n") + "\n")
    #expect(outcome.code == 0, "\(outcome.errors)")
    let document = try JSONValue.parse(Array(outcome.output.utf8))
    #expect(document["sources"]?.arrayValue?.count == 3)
  }

  @Test func refusesWhatItCannotUse() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text.txt", sampleText(paragraphs: 8))
    #expect(try graphc("data", "inspect", folder.file("missing")).code == 66)
    #expect(
      try graphc("data", "prepare", "--text", folder.file("no.txt"), "--out", folder.file("x")).code
        == 66)
    let occupied = try graphc(
      "data", "prepare", "--text", text, "--vocab", "300", "--out", folder.path)
    #expect(occupied.code == 2)
    #expect(occupied.errors.contains("not empty"))
    #expect(FileManager.default.fileExists(atPath: text))
    let both = try graphc(
      "data", "prepare", "--text", text, "--vocab", "300", "--tokenizer", text, "--out",
      folder.file("x"))
    // The file given as tokenizer is none.
    #expect(both.code == 65)
    #expect(try graphc("data", "prepare", "--text", text, "--out").code == 2)
  }

  /// Tokens without meaning, one more text, or the held-out text itself in place of a shard.
  @Test func changedShardsAreRefusedByEveryCommandThatReadsThem() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text.txt", sampleText())
    let graph = try folder.write("small.graph", smallGraph)
    let (data, run) = (folder.file("data"), folder.file("run"))
    _ = try graphc("data", "prepare", "--text", text, "--vocab", "300", "--out", data)
    let trained = try graphc("run", graph, "--data", data, "--out", run, "--threads", "1")
    #expect(trained.code == 0, "\(trained.errors)")

    let held = data + "/fineweb_val_000000.bin"
    let tokens = try Shard.read(held)
    try Shard.write(held, tokens.indices.map { 260 + UInt16($0 % 2) })
    for arguments in [
      ["run", graph, "--data", data, "--out", folder.file("other")],
      ["eval", run + "/artifact.gca", "--data", data], ["data", "inspect", data],
      ["data", "prepare", "--text", text, "--vocab", "300", "--out", data],
    ] {
      let outcome = try graphc(arguments)
      #expect(outcome.code == 65, "\(arguments[0]): \(outcome.errors)")
      #expect(outcome.errors.contains("fineweb_val_000000.bin: SHA-256"))
    }
    #expect(!FileManager.default.fileExists(atPath: folder.file("other")))

    // With the old manifest and without one.
    try Shard.write(held, tokens)
    try Shard.write(data + "/fineweb_train_000000.bin", tokens)
    for isListed in [true, false] {
      if !isListed { try FileManager.default.removeItem(atPath: data + "/manifest.json") }
      let outcome = try graphc("run", graph, "--data", data, "--out", folder.file("other"))
      #expect(outcome.code == 5, "\(outcome.errors)")
      #expect(outcome.errors.contains("also in the training data"))
    }
  }
}

/// Each kind of tokenizer through prepare, inspect, run, eval, audit and generate.
@Suite struct DataCommandTokenizerTests {
  private func lives(
    _ folder: TemporaryFolder, _ options: [String], vocab: Int, bytes words: String
  ) throws {
    let text = try folder.write(
      "text.txt", sampleText().replacing("the", with: "The NASA iPhone\u{e001}"))
    let (data, run) = (folder.file("data"), folder.file("run"))
    let prepared = try graphc(
      ["data", "prepare", "--text", text, "--out", data, "--json"] + options)
    #expect(prepared.code == 0, "\(prepared.errors)")
    let facts = try JSONValue.parse(prepared.output.trimmingCharacters(in: .newlines))
    #expect(facts["validation"]?["table_bytes"] == facts["validation"]?["original_bytes"])
    #expect(facts["tokenizer"]?["exact"] == true)
    let inspected = try graphc("data", "inspect", data, "--text", text)
    #expect(inspected.code == 0, "\(inspected.errors)")
    for part in [words, "found in the given texts"] {
      #expect(inspected.output.contains(part), "\(part)")
    }
    let graph = try folder.write("small.graph", smallGraph)
    let trained = try graphc(
      "run", graph, "--data", data, "--out", run, "--threads", "1", "--set", "vocab=\(vocab)",
      "--json")
    #expect(trained.code == 0, "\(trained.errors)")
    let scored = try graphc("eval", run + "/artifact.gca", "--data", data, "--json")
    #expect(scored.code == 0, "\(scored.errors)")
    let result = try JSONValue.parse(scored.output.trimmingCharacters(in: .newlines))
    #expect(
      result["eval"]?["bytes_original"] == facts["validation"]?["original_bytes"], "\(result.text)")
    let audited = try graphc("audit", run, "--data", data)
    #expect(audited.code == 0, "\(audited.errors)")
    #expect(audited.output.contains("their bytes were counted again"))
    let generated = try graphc(
      "generate", run + "/artifact.gca", "--data", data, "--prompt", "The NASA", "--tokens", "30")
    #expect(generated.code == 0, "\(generated.errors)")
    #expect(generated.output.hasPrefix("The NASA"))
  }

  @Test func bytesGoAllTheWay() throws {
    let folder = try TemporaryFolder()
    try lives(folder, ["--bytes"], vocab: 260, bytes: "vocabulary of 260, 256 byte pieces, exact")
  }

  @Test func caseOperatorsGoAllTheWay() throws {
    let folder = try TemporaryFolder()
    try lives(
      folder, ["--case-ops", "--vocab", "310"], vocab: 310, bytes: "case operators, exact")
    // A sidecar of other counts is noticed by whoever reads the folder.
    let sidecar = folder.file("data/fineweb_val_bytes_000000.bin")
    let counts = try Shard.read(sidecar)
    try Shard.write(sidecar, counts.reversed())
    for arguments in [
      ["data", "inspect", folder.file("data")],
      ["eval", folder.file("run/artifact.gca"), "--data", folder.file("data")],
      ["audit", folder.file("run"), "--data", folder.file("data")],
    ] {
      let outcome = try graphc(arguments)
      #expect(outcome.code == 65, "\(arguments[0]): \(outcome.errors)")
      #expect(outcome.errors.contains("fineweb_val_bytes_000000.bin: SHA-256"))
    }
  }

  @Test func aTokenizerJSONGoesAllTheWay() throws {
    let folder = try TemporaryFolder()
    let file = Repository.root.appendingPathComponent(
      "Tests/Fixtures/tokenizer-json/byte-level.json"
    ).path
    try lives(folder, ["--tokenizer", file], vocab: 601, bytes: "vocabulary of 601")
  }

  @Test func optionsThatContradictAreRefused() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("text.txt", sampleText())
    for (options, words) in [
      (["--bytes", "--case-ops"], "drop --case-ops"),
      (["--bytes", "--vocab", "512"], "drop --vocab"),
      (["--bytes", "--tokenizer", "x.model"], "drop --tokenizer"),
    ] {
      let outcome = try graphc(
        ["data", "prepare", "--text", text, "--out", folder.file("x")] + options)
      #expect(outcome.code == 2)
      #expect(outcome.errors.contains(words), "\(outcome.errors)")
    }
  }
}
