// SPDX-License-Identifier: Apache-2.0
// Test-time training through whole runs: its evidence, its features, and what is no score.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct AdaptationTests {
    @Test func adaptationRunsLegallyAndIsAudited() throws {
      let folder = try TemporaryFolder()
      let result = try SmallRun.run(folder, "run", adapts: true)
      let adapted = try #require(result.scores.adapted)
      #expect(adapted.tokens == result.scores.first(.quantized, strided: true)?.tokens)
      #expect(adapted.bytes == result.scores.first(.quantized, strided: true)?.bytes)
      #expect(result.scores.illegal == nil)
      let events = try AuditLog.verify(folder.path + "/run/audit.jsonl")
      let names = events.compactMap { $0["event"]?.stringValue }
      #expect(names.filter { $0 == "score" }.count == 3)
      #expect(names.filter { $0 == "update" }.count == 2)
      for event in events.dropFirst() {
        #expect(try AuditEvent(json: event).json == event)
      }
      // Each chunk is scored before it is trained on, with the weights the update before it left.
      var weights: String?
      for event in events {
        switch event["event"]?.stringValue {
        case "score":
          if let weights { #expect(event["weights"]?.stringValue == weights) }
        case "update":
          #expect(event["before"]?.stringValue != event["after"]?.stringValue)
          weights = event["after"]?.stringValue
        default: break
        }
      }
      let nats = events.filter { $0["event"]?.stringValue == "score" }
        .compactMap { $0["nats"]?.doubleValue }.reduce(0, +)
      #expect(abs(nats - adapted.nats) < 1e-6 * nats)
    }

    @Test func adaptFirstIsNoScore() throws {
      let folder = try TemporaryFolder()
      var model = try SmallRun.model()
      model.settings.ttt?.mode = .adaptFirst
      let result = try SmallRun.run(folder, "run", model: model, steps: 3, adapts: true)
      #expect(result.scores.adapted == nil)
      #expect(result.scores.illegal != nil)
      #expect(result.scores.json["bpb_ttt"] == .null)
    }

    @Test func featuresOfAdaptationNameTheirUpdates() throws {
      let folder = try TemporaryFolder()
      var model = try SmallRun.model()
      model.settings.ttt?.clip = 1e6
      model.settings.ttt?.scales = [.init(glob: try #require(Glob("*.fc")), factor: 2)]
      model.settings.ttt?.frozen = [.init(glob: try #require(Glob("tok_emb")))]
      var warnings: [String] = []
      let result = try SmallRun.run(folder, "run", model: model, steps: 3, adapts: true) { event in
        if case .warning(let text) = event { warnings.append(text) }
      }
      let live = Dictionary(uniqueKeysWithValues: result.live.map { ($0.feature, $0) })
      // Chunks of 512 of 1,500 targets: two are trained on, in 8 updates of 2 rows each.
      let optimizer = try #require(live["ttt optimizer default"])
      #expect(optimizer.firstStep == 1 && optimizer.lastStep == 16 && optimizer.steps == 16)
      #expect(optimizer.params.count == model.graph.parameters.count - 1)
      #expect(live["ttt scale \"*.fc\""]?.params == ["blocks.0.mlp.fc", "blocks.1.mlp.fc"])
      #expect(live["ttt freeze \"tok_emb\""]?.params == ["tok_emb"])
      #expect(live["ttt clip"]?.firstStep == nil)
      #expect(warnings.contains { $0.contains("ttt clip 1000000 never clipped") })
      #expect(live["ttt clip"]?.json["unit"] == "update")
      #expect(live["optimizer matrix"]?.json["unit"] == "step")
    }

    @Test(arguments: [TTTSettings.Mode.scoreFirst, .adaptFirst])
    func withoutEpochsNothingIsAdapted(_ mode: TTTSettings.Mode) throws {
      let folder = try TemporaryFolder()
      var model = try SmallRun.model()
      model.settings.ttt?.epochs = 0
      model.settings.ttt?.mode = mode
      let result = try SmallRun.run(folder, "run", model: model, steps: 3, adapts: true)
      let adapted = try #require(result.scores.adapted ?? result.scores.illegal)
      #expect(adapted.bitsPerByte == result.scores.first(.quantized, strided: true)?.bitsPerByte)
      let log = try String(contentsOfFile: folder.path + "/run/audit.jsonl", encoding: .utf8)
      #expect(!log.contains("\"update\""))
    }
  }
}
