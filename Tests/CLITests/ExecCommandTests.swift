// SPDX-License-Identifier: Apache-2.0
// graphc exec: each function checks the sections that it uses, and no others.

import Formats
import Foundation
import TestSupport
import Testing

@Suite struct ExecCommandTests {
  /// Weights of `smallGraph`, and tokens in rows or as a stream.
  private struct Inputs {
    let folder: TemporaryFolder
    let graph: String
    let weights: String

    init(_ text: String = smallGraph) throws {
      folder = try TemporaryFolder()
      graph = try folder.write("small.graph", text)
      weights = folder.file("weights.safetensors")
      let values = (0..<300 * 16).map { (index: Int) -> Float in Float(index * 37 % 101 - 50) / 101
      }
      try SafeTensors.write(
        weights,
        [
          "tok_emb": TensorBlob(values, shape: [300, 16]),
          "head": TensorBlob(values.reversed(), shape: [300, 16]),
        ])
    }

    func tokens(_ shape: [Int], _ name: String) throws -> String {
      let ids = (0..<shape.reduce(1, *)).map { (index: Int) -> Int32 in Int32(index * 7919 % 300) }
      try Npy.write(folder.file(name), TensorBlob(ids, shape: shape))
      return folder.file(name)
    }

    func exec(_ function: String, _ more: String...) throws -> Outcome {
      let isStream = function == "slide" || function == "ttt"
      let tokens = try isStream ? tokens([201], "stream.npy") : tokens([2, 20], "rows.npy")
      return try graphc(
        [
          "exec", graph, "--function", function, "--weights", weights, "--tokens", tokens,
          "--targets", tokens, "-o", folder.file(function + ".safetensors"),
        ] + more)
    }

    func result(_ function: String, _ tensor: String) throws -> [Double] {
      try #require(SafeTensors.read(folder.file(function + ".safetensors"))[tensor]).doubles()
    }
  }

  /// Windows of 20 tokens fit no stride of 8, which concerns those that slide.
  @Test func functionsCheckTheSectionsTheyUse() throws {
    let inputs = try Inputs()
    for function in ["loss", "logits", "grad"] {
      let outcome = try inputs.exec(function, "--set", "seq=20")
      #expect(outcome.code == 0, "\(function): \(outcome.errors)")
    }
    #expect(try inputs.exec("ttt", "--set", "seq=20").code == 3)
    #expect(try graphc("check", inputs.graph, "--set", "seq=20").code == 3)
  }

  @Test func slidingAndAdaptingDoNotCheckEachOther() throws {
    let noChunk = try Inputs(smallGraph.replacingOccurrences(of: "chunk 64", with: "chunk 65"))
    #expect(try noChunk.exec("slide").code == 0)
    #expect(try noChunk.exec("ttt").code == 3)
    let noWindow = try Inputs(
      smallGraph.replacingOccurrences(of: "sliding window seq", with: "sliding window 4"))
    #expect(try noWindow.exec("ttt").code == 0)
    #expect(try noWindow.exec("slide").code == 3)
  }

  @Test func withoutEpochsAdaptingIsSliding() throws {
    let inputs = try Inputs(smallGraph.replacingOccurrences(of: "epochs 1", with: "epochs 0"))
    for function in ["slide", "ttt"] {
      let outcome = try inputs.exec(function)
      #expect(outcome.code == 0, "\(outcome.errors)")
    }
    #expect(try inputs.result("ttt", "nll") == inputs.result("slide", "nll"))
    #expect(try inputs.result("ttt", "grad_norm").isEmpty)
    let before = try #require(SafeTensors.read(inputs.weights)["head"]).doubles()
    #expect(try inputs.result("ttt", "final.head") == before)
  }
}
