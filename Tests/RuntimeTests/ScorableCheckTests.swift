// SPDX-License-Identifier: Apache-2.0
// Validation data that cannot be scored is refused before anything is trained.

import Formats
import Foundation
import IR
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ScorableCheckTests {
    /// A folder without a manifest, with these validation tokens.
    private func data(
      _ folder: TemporaryFolder, training: [UInt16] = (0..<500).map { 3 + $0 % 200 },
      validation: [UInt16]
    ) throws -> DataFolder {
      let tokenizer = try SmallCorpus.shared.get().data.tokenizer
      let path = folder.path
      try Data(tokenizer.model).write(to: URL(fileURLWithPath: path + "/tokenizer.model"))
      try Shard.write(path + "/fineweb_train_000000.bin", training)
      try Shard.write(path + "/fineweb_val_000000.bin", validation)
      return try DataFolder.open(path)
    }

    private func settings(window: Int, stride: Int? = nil) -> Settings {
      var evaluation = Evaluation(name: "final", window: window)
      evaluation.stride = stride
      return Settings(evaluate: [evaluation])
    }

    @Test func aWindowThatIsNeverFullIsNamedWithTheTokensItNeeds() throws {
      let folder = try TemporaryFolder()
      let data = try data(folder, validation: [1] + (0..<31).map { 40 + $0 })
      try settings(window: 31).checkScorable(data, adapts: false)
      // Sliding windows may be short.
      try settings(window: 64, stride: 8).checkScorable(data, adapts: false)
      let error = #expect(throws: FormatError.self) {
        try settings(window: 32).checkScorable(data, adapts: false)
      }
      #expect(error?.exitCode == 65)
      #expect(
        error?.message.contains(
          "a window of 32 takes as many validation tokens and one more; there are 32")
          == true)
      // No sum of it leaves the numbers.
      #expect(throws: FormatError.self) {
        try settings(window: .max).checkScorable(data, adapts: false)
      }
      let limited = #expect(throws: FormatError.self) {
        try settings(window: 31).checkScorable(data, limit: 30, adapts: false)
      }
      #expect(limited?.exitCode == 2)
      #expect(limited?.message.contains("--validation-tokens 30") == true)
    }

    @Test(arguments: [[], [1]] as [[UInt16]])
    func validationWithoutATargetIsRefused(_ tokens: [UInt16]) throws {
      let folder = try TemporaryFolder()
      let data = try data(folder, validation: tokens)
      let error = #expect(throws: FormatError.self) {
        try settings(window: 8, stride: 4).checkScorable(data, adapts: false)
      }
      #expect(error?.exitCode == 65)
      #expect(error?.message.contains("has \(tokens.count) tokens, so none to predict") == true)
    }

    @Test func validationWithoutABytesOfTextIsRefused() throws {
      let folder = try TemporaryFolder()
      let data = try data(folder, validation: [UInt16](repeating: 1, count: 100))
      #expect(data.tokenizer.bos == 1)
      for adapts in [false, true] {
        let error = #expect(throws: FormatError.self) {
          try settings(window: 8).checkScorable(data, adapts: adapts)
        }
        #expect(error?.exitCode == 65)
        #expect(error?.message.contains("no byte to score") == true)
      }
    }

    /// Ids that are within the vocabulary, but not those that were hashed.
    @Test func validationThatChangesUnderARunIsRefused() throws {
      let folder = try TemporaryFolder()
      let data = try data(folder, validation: (0..<100).map { 40 + $0 })
      _ = try data.evidence()
      #expect(try ValidationStream(data).targets == 99)
      let shard = try FileHandle(
        forUpdating: URL(fileURLWithPath: folder.path + "/fineweb_val_000000.bin"))
      try shard.seek(toOffset: UInt64(1024 + 2 * 50))
      try shard.write(contentsOf: Data([41, 0]))
      let error = #expect(throws: FormatError.self) { _ = try ValidationStream(data) }
      #expect(error?.message.contains("were changed") == true)
      // An id beyond the vocabulary is named before anything is compared.
      try shard.seek(toOffset: UInt64(1024 + 2 * 50))
      try shard.write(contentsOf: Data([0xff, 0xff]))
      let wild = #expect(throws: FormatError.self) { _ = try ValidationStream(data, limit: 80) }
      #expect(wild?.message.contains("id 65535") == true)
    }

    /// Nothing of the run exists afterwards.
    @Test func aRunSaysItBeforeItBegins() throws {
      let folder = try TemporaryFolder()
      let data = try data(folder, validation: [1, 40, 41])
      let plan = try CompiledModel(SmallRun.model()).plan
      let run = Run(
        plan: plan, data: data,
        options: RunOptions(
          directory: folder.path + "/run", length: TrainingLength(steps: 1, seconds: nil), seed: 1,
          threads: 1, adapts: false, resumes: false),
        clock: { 0 }, replan: { try compile($0, target: plan.target) },
        isInterrupted: { false }, observe: { _ in })
      let error = #expect(throws: FormatError.self) {
        try run.run(manifest: RunManifest(members: [:]))
      }
      #expect(error?.message.contains("there are 3") == true)
      #expect(!FileManager.default.fileExists(atPath: folder.path + "/run"))
    }

    /// As many tokens as one sequence reads, its last target among them.
    @Test func aSequenceOfTrainingDataIsEnough() throws {
      let folder = try TemporaryFolder()
      let plan = try CompiledModel(SmallRun.model()).plan
      for (count, isEnough) in [(33, true), (32, false)] {
        let data = try data(
          folder, training: (0..<count).map { 40 + UInt16($0) }, validation: [1, 40])
        let make = {
          try Trainer(
            plan, data: try data.train(), length: TrainingLength(steps: 1, seconds: nil), seed: 1,
            threads: 1, clock: { 0 })
        }
        if isEnough {
          #expect(try make().step().loss.isFinite)
        } else {
          let error = #expect(throws: FormatError.self) { try make() }
          #expect(error?.message.contains("has 32 tokens") == true)
          #expect(error?.message.contains("need 33") == true)
        }
      }
    }
  }
}
