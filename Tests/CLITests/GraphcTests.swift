// SPDX-License-Identifier: Apache-2.0
// What every command promises: help, exit codes, products on stdout and messages on stderr.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct GraphcTests {
  @Test(arguments: [
    "compile", "diff", "run", "quantize", "eval", "generate", "exec", "bench", "check", "fmt",
    "dump", "audit",
    "data",
    "data prepare", "data inspect", "doctor", "explain", "estimate", "study",
  ])
  func helpShowsAnExample(command: String) throws {
    let words = command.split(separator: " ").map(String.init) + ["--help"]
    let outcome =
      words.count == 2 ? try graphc(words[0], words[1]) : try graphc(words[0], words[1], words[2])
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("Example:"))
    #expect(outcome.errors.isEmpty)
  }

  @Test func unknownCommandsAndOptionsAreWrongUsage() throws {
    for outcome in [try graphc("compost"), try graphc("check", "--colour", "x.graph")] {
      #expect(outcome.code == 2)
      #expect(outcome.output.isEmpty)
      #expect(!outcome.errors.isEmpty)
    }
  }

  @Test func messagesOfTheArgumentParserBeginLikeOurs() throws {
    for outcome in [
      try graphc("check", "--colour", "x.graph"), try graphc("check"),
      try graphc("bench", "x.graph", "--steps", "many"),
    ] {
      #expect(outcome.code == 2)
      #expect(outcome.errors.hasPrefix("error: "), "\(outcome.errors)")
      #expect(!outcome.errors.contains("Error:"))
    }
  }

  // MARK: explain

  @Test func explainKnowsCodesAndSections() throws {
    let code = try graphc("explain", "e0306")
    #expect(code.code == 0)
    for part in ["E0306", "Open sizes", "wrong", "right"] { #expect(code.output.contains(part)) }
    let section = try graphc("explain", "train")
    for part in ["warmup STEPS steps", "optimizer TARGET", "checkpoint every"] {
      #expect(section.output.contains(part), "\(part)")
    }
    let all = try graphc("explain").output
    for part in ["E0101", "E0502", "E0601", "E0701", "W0101"] { #expect(all.contains(part)) }
  }

  @Test func explainSuggestsWhatIsNear() throws {
    for (topic, near) in [("E0360", "E0306"), ("trian", "train"), ("zebra", "quantize")] {
      let outcome = try graphc("explain", topic)
      #expect(outcome.code == 2 && outcome.output.isEmpty)
      #expect(outcome.errors.contains(near), "\(outcome.errors)")
    }
  }

  @Test func aDumpAfterAPassThatRanOnNoFunctionSaysSo() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("small.graph", smallGraph)
    let outcome = try graphc("compile", file, "--dump-ir-after", "mark-qat")
    #expect(outcome.code == 0 && outcome.output.isEmpty)
    #expect(outcome.errors.contains("mark-qat ran on no function"))
    let ran = try graphc("compile", file, "--dump-ir-after", "differentiate")
    #expect(!ran.output.isEmpty && ran.errors.isEmpty)
  }

  @Test func doctorPrintsOneLineOfJSON() throws {
    let outcome = try graphc("doctor", "--json")
    #expect(outcome.output.filter { $0 == "\n" }.count == 1)
    let document = try JSONValue.parse(Array(outcome.output.utf8))
    #expect(document["schema"] == "graphc-doctor/1")
    #expect((document["processors"]?.intValue ?? 0) > 0)
    for key in ["f32_gflops", "memory_gb_per_second"] {
      #expect((document["peaks"]?[key]?.doubleValue ?? 0) > 0, "\(key)")
    }
    #expect(document["blas"]?.stringValue?.hasPrefix("OpenBLAS") == true)
    let text = try graphc("doctor").output
    for part in ["instruction set", "measured peak", "memory bandwidth", "core "] {
      #expect(text.contains(part), "\(part)")
    }
  }

  // MARK: bench

  @Test func benchComparesWithThePeakAndShowsWhereTheTimeGoes() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("small.graph", smallGraph)
    let trace = folder.file("trace.json")
    let outcome = try graphc(
      "bench", file, "--steps", "2", "--threads", "2", "--json", "--kernels", "--profile", trace)
    #expect(outcome.code == 0, "\(outcome.errors)")
    let document = try JSONValue.parse(Array(outcome.output.utf8))
    #expect((document["peak_gflops"]?["f32"]?.doubleValue ?? 0) > 0)
    #expect((document["percent_of_peak"]?["f32"]?.doubleValue ?? 0) > 0)
    for part in ["matmul_weight", "adamw", "barrier wait", "of floor", "GB/s from memory"] {
      #expect(outcome.errors.contains(part), "\(part)")
    }
    #expect(try threadsInTrace(trace) == [1: [0, 1]])
  }

  // MARK: fmt

  @Test func fmtChangesFilesInPlaceAndCheckOnlyListsThem() throws {
    let folder = try TemporaryFolder()
    let messy = try folder.write("messy.graph", "const a=3,b = 4\n")
    let neat = try folder.write("neat.graph", "const a = 3, b = 4\n")
    let check = try graphc("fmt", "--check", messy, neat)
    #expect(check.code == 1)
    #expect(check.output == messy + "\n")
    #expect(try String(contentsOfFile: messy, encoding: .utf8) == "const a=3,b = 4\n")
    #expect(try graphc("fmt", messy, neat).code == 0)
    #expect(try String(contentsOfFile: messy, encoding: .utf8) == "const a = 3, b = 4\n")
    #expect(try graphc("fmt", "--check", messy, neat).code == 0)
  }

  @Test func fmtFiltersStandardInput() throws {
    let outcome = try graphc("fmt", "-", input: "const  a=1")
    #expect(outcome.code == 0)
    #expect(outcome.output == "const a = 1\n")
  }

  @Test func fmtChangesNothingWhenOneFileDoesNotParse() throws {
    let folder = try TemporaryFolder()
    let messy = try folder.write("messy.graph", "const a=3\n")
    let broken = try folder.write("broken.graph", "block {")
    let outcome = try graphc("fmt", messy, broken)
    #expect(outcome.code == 3)
    #expect(outcome.errors.contains("broken.graph:1:7"))
    #expect(try String(contentsOfFile: messy, encoding: .utf8) == "const a=3\n")
  }

  // MARK: check and dump

  @Test func checkSummarisesAGraph() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("small.graph", smallGraph)
    let outcome = try graphc("check", file)
    #expect(outcome.code == 0, "\(outcome.errors)")
    for part in ["9,600 parameters", "38,400 bytes", "train", "adapt", "window 32, stride 8", "ok"]
    {
      #expect(outcome.output.contains(part), "\(part)")
    }
    let json = try graphc("check", "-", "--set", "dim=8", "--json", input: smallGraph)
    let document = try JSONValue.parse(Array(json.output.utf8))
    #expect(document["parameters"] == 4800)
    let features = try #require(document["live"]?.arrayValue)
    #expect(features.allSatisfy { $0["params"] == ["tok_emb", "head"] })
    // Names of params stand below their features only where they are asked for.
    #expect(!outcome.output.contains("\n      tok_emb\n"))
    let verbose = try graphc("check", file, "--verbose").output
    #expect(verbose.contains("optimizer default"))
    #expect(verbose.components(separatedBy: "\n      tok_emb\n").count == features.count + 1)
  }

  @Test func checkNamesThePlaceOfAnError() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(
      "bad.graph", smallGraph.replacingOccurrences(of: "embed(tok_emb", with: "embed(tok_em"))
    let outcome = try graphc("check", file)
    #expect(outcome.code == 3)
    #expect(outcome.errors.contains("bad.graph:9:"))
    #expect(try graphc("check", folder.file("missing.graph")).code == 66)
    #expect(try graphc("check", file, "--set", "dim").code == 2)
  }

  @Test func dumpPrintsCoreTableAndPlan() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write("small.graph", smallGraph)
    let core = try graphc("dump", file)
    #expect(core.output.hasPrefix("core 1 \"small\"\n"))
    let copy = try folder.write("copy.core", core.output)
    #expect(try graphc("dump", copy).output == core.output)
    #expect(try graphc("dump", file, "--as", "table").output.contains("int8 per_row max"))
    #expect(try graphc("dump", file, "--as", "plan", "-o", folder.file("small.plan")).code == 0)
    let plan = try String(contentsOfFile: folder.file("small.plan"), encoding: .utf8)
    #expect(plan.hasPrefix("plan 1 machine "))
    #expect(try graphc("dump", folder.file("small.plan")).output == plan)
    #expect(try graphc("dump", folder.file("small.plan"), "--set", "dim=8").code == 2)
    #expect(try graphc("dump", file, "--as", "safetensors", "-o", folder.file("w")).code == 2)
  }

  @Test func damagedArtifactsAreRefused() throws {
    let folder = try TemporaryFolder()
    let cut = try folder.write("cut.gca", "GRAPHC-A\u{1}\0\0\0")
    for outcome in [
      try graphc("dump", cut), try graphc("eval", cut, "--data", folder.path),
      try graphc("generate", cut, "--data", folder.path, "--prompt", "a"),
    ] {
      #expect(outcome.code == 65 || outcome.code == 66, "\(outcome.errors)")
      #expect(outcome.output.isEmpty)
    }
    #expect(try graphc("dump", cut).code == 65)
  }
}
