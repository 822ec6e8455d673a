// SPDX-License-Identifier: Apache-2.0
// A run says what it was: its graph, its consts and its seed are enough to start it again.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct RunManifestTests {
  @Test func aRunKeepsWhatAStrangerNeedsToRepeatIt() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.file("lib"), withIntermediateDirectories: true)
    try folder.write("lib/width.graph", "const wide = 4\n")
    let graph = try folder.write(
      "small.graph",
      smallGraph.replacingOccurrences(
        of: "const vocab = 300, dim = 16,",
        with: "include \"lib/width.graph\"\nconst vocab = 300, dim = 4 * wide,"))
    let data = try SmallData.shared.path
    let first = try graphc(
      "run", graph, "--data", data, "--out", folder.file("a"), "--set", "dim=8", "--seed", "7",
      "--set", "batch=3", "--steps", "3", "--validation-tokens", "200", "--json")
    #expect(first.code == 0, "\(first.errors)")

    let result = try JSONValue.parse(Array(first.output.utf8))
    let manifest = try json(folder.file("a/manifest.json"))
    for document in [result, manifest, try json(folder.file("a/result.json"))] {
      #expect(document["model"] == "small")
      #expect(document["seed"] == "7")
      #expect(document["set"] == ["dim=8", "batch=3"])
      #expect(document["validation_tokens"] == 200)
      let core = try String(contentsOfFile: folder.file("a/graph.core"), encoding: .utf8)
      #expect(document["graph"]?.stringValue == SHA256.hex(core))
    }
    #expect(manifest["consts"]?["dim"] == "8")
    #expect(manifest["consts"]?["seq"] == "32")
    let sources = try #require(manifest["sources"]?.arrayValue).map { $0["path"]?.stringValue }
    #expect(sources == ["graph/small.graph", "graph/lib/width.graph"])

    try FileManager.default.removeItem(atPath: graph)
    try FileManager.default.removeItem(atPath: folder.file("lib"))
    let again = try graphc(
      "run", folder.file("a/graph/small.graph"), "--data", data, "--out", folder.file("b"), "--set",
      "dim=8", "--set", "batch=3", "--seed", "7", "--steps", "3", "--validation-tokens", "200")
    #expect(again.code == 0, "\(again.errors)")
    let core = try graphc(
      "run", folder.file("a/graph.core"), "--data", data, "--out", folder.file("c"), "--seed", "7",
      "--steps", "3", "--validation-tokens", "200")
    #expect(core.code == 0, "\(core.errors)")
    let artifact = try Data(contentsOf: URL(fileURLWithPath: folder.file("a/artifact.gca")))
    for run in ["b", "c"] {
      let other = folder.file(run + "/artifact.gca")
      #expect(try Data(contentsOf: URL(fileURLWithPath: other)) == artifact, "\(run)")
    }
  }

  private func json(_ path: String) throws -> JSONValue {
    try JSONValue.parse(try String(contentsOfFile: path, encoding: .utf8))
  }
}
