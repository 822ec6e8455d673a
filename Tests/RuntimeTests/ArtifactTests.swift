// SPDX-License-Identifier: Apache-2.0
// Artifacts: stored, written, read back equal; damage is always noticed.

import Formats
import Foundation
import IR
import Language
import Passes
import Runtime
import TestSupport
import Testing

extension RuntimeTests {
  @Suite struct ArtifactTests {
    private func artifact(seed: UInt64 = 1) throws -> Artifact {
      let model = try CompiledModel.small()
      let block = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
      block.initialise(seed: seed)
      return try Artifact(
        model: model.forArtifact, parameters: block, precision: model.precisionTable)
    }

    @Test func whatIsReadEqualsWhatWasStored() throws {
      let folder = try TemporaryFolder()
      let artifact = try artifact()
      let bytes = try artifact.container().write(folder.path + "/a.gca")
      #expect(bytes == (try artifact.container().encoded().count))
      let read = try Artifact.read(folder.path + "/a.gca")
      #expect(read.tensors == artifact.tensors)
      #expect(read.model.printed() == artifact.model.printed())
      #expect(try read.parameters().sha256() == artifact.parameters().sha256())
      // Of three classes of precision none is missing.
      let kinds = Set(
        read.tensors.values.map { tensor in
          switch tensor.precision {
          case .f32: return "f32"
          case .f16: return "f16"
          case .fp8: return "fp8"
          case .int: return "int"
          }
        })
      #expect(kinds == ["f16", "int"])
    }

    @Test func equalWeightsGiveEqualBytes() throws {
      #expect(try artifact().container().encoded() == artifact().container().encoded())
      #expect(
        try artifact(seed: 1).container().encoded() != artifact(seed: 2).container().encoded())
    }

    @Test func storingRestoredWeightsChangesNothing() throws {
      let first = try artifact()
      let again = try Artifact(
        model: first.model, parameters: try first.parameters(),
        precision: first.model.precisionTable)
      let moved = zip(try first.parameters().values, try again.parameters().values).map {
        abs($0 - $1)
      }
      #expect(moved.allSatisfy { $0 < 0.05 })
      #expect(Set(again.tensors.keys) == Set(first.tensors.keys))
    }

    @Test func quantisedWeightsAreWithinHalfAStep() throws {
      let model = try CompiledModel.small()
      let block = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
      block.initialise(seed: 3)
      let table = model.precisionTable
      let restored = try Artifact(
        model: model.forArtifact, parameters: block, precision: table)
      let quantized = try restored.parameters()
      for (path, tensor) in restored.tensors {
        guard case .int = tensor.precision else { continue }
        let scales = tensor.streams[1].halves
        let (before, after) = (block.floats(path), quantized.floats(path))
        let width = before.count / scales.count
        for index in before.indices {
          let step = Float(Float16(bitPattern: scales[index / width]))
          #expect(abs(before[index] - after[index]) <= step * 0.5001, "\(path)")
        }
      }
    }

    @Test func everyTruncationIsRefused() throws {
      let bytes = try artifact().container().encoded()
      for count in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 97)) {
        #expect(throws: FormatError.self, "\(count) bytes") {
          try ArtifactContainer(bytes: Array(bytes[..<count]))
        }
      }
    }

    @Test func everyFlippedByteIsRefused() throws {
      let bytes = try artifact().container().encoded()
      for index in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 97)) {
        var damaged = bytes
        damaged[index] ^= 0x10
        #expect(throws: FormatError.self, "byte \(index)") {
          try ArtifactContainer(bytes: damaged)
        }
      }
      #expect(throws: FormatError.self) { try ArtifactContainer(bytes: bytes + [0]) }
    }

    /// A container whose hash is right, but whose content contradicts its graph.
    @Test func contentThatContradictsTheGraphIsRefused() throws {
      let folder = try TemporaryFolder()
      let path = folder.path + "/a.gca"
      let good = try artifact()
      let text = Array(good.model.printed().utf8)
      func refused(_ graph: [UInt8], _ groups: [(name: String, content: [UInt8])]) throws -> String
      {
        let contents = groups.map { ArtifactContainer.Content(name: $0.name, content: $0.content) }
        _ = try ArtifactContainer(graph: graph, groups: contents).write(path)
        let error = #expect(throws: FormatError.self) { try Artifact.read(path) }
        return error?.description ?? ""
      }
      #expect(try refused(text, []).contains("missing"))
      #expect(try refused(text, [("unknown", [1, 2])]).contains("unknown"))
      #expect(try refused(Array("core 2".utf8), []).contains("graph"))
      #expect(try refused([0xFF, 0xFE], []).contains("UTF-8"))
      #expect(try refused(text, [("f16", [1, 2, 3])]).contains("f16"))
    }

    /// Halves stand in two planes: all low bytes, then all high ones.
    @Test(arguments: ["f16", "scales"])
    func numbersThatAreNotFiniteAreRefused(_ group: String) throws {
      let folder = try TemporaryFolder()
      let path = folder.path + "/a.gca"
      let artifact = try artifact()
      let shapes = try artifact.shapes()
      let container = try artifact.container()
      let contents = try container.contents { shapes[$0] }
      for high: UInt8 in [0x7c, 0x7e, 0xfc] {
        let groups = try container.groups.map { stored in
          var content = try #require(contents[stored.name]?.bytes)
          if stored.name == group { content[content.count / 2 + 1] = high }
          let matrices = try #require(shapes[stored.name]).matrices
          return ArtifactContainer.Content(
            name: stored.name, content: content, matrices: matrices)
        }
        _ = try ArtifactContainer(graph: container.graph, groups: groups).write(path)
        let error = #expect(throws: FormatError.self) { _ = try Artifact.read(path) }
        #expect(error?.exitCode == 65)
        #expect(error?.message.contains("1 is not finite") == true, "\(error?.message ?? "")")
      }
    }

    @Test func aCodeThatItsRuleDoesNotHaveIsRefused() throws {
      let folder = try TemporaryFolder()
      let path = folder.path + "/a.gca"
      var model = try CompiledModel.small()
      let stored = model.precisionTable
      // The file says int4 of what was stored with more bits.
      for index in model.settings.quantize?.rules.indices ?? 0..<0 {
        guard case .int(var rule) = model.settings.quantize?.rules[index].precision else {
          continue
        }
        rule.bits = 4
        model.settings.quantize?.rules[index].precision = .int(rule)
      }
      let block = try ParameterBlock(layout: ParameterLayout(model.graph.parameters))
      block.initialise(seed: 1)
      try Artifact(model: model.forArtifact, parameters: block, precision: stored)
        .container().write(path)
      let error = #expect(throws: FormatError.self) { _ = try Artifact.read(path) }
      #expect(error?.message.contains("int4") == true, "\(error?.message ?? "")")
    }

    /// Repetitions compress without end: a small file must not decide how much memory is taken.
    @Test func aGraphThatDeclaresMoreThanTheFileCanHoldIsRefused() throws {
      let folder = try TemporaryFolder()
      let path = folder.path + "/a.gca"
      let text = try artifact().model.printed()
      for (size, wanted) in [("100000000", "cannot hold"), ("N", "known sizes")] {
        let wild = text.replacing(/\b67\b/, with: size)
        #expect(wild != text)
        _ = try ArtifactContainer(graph: Array(wild.utf8), groups: []).write(path)
        let error = #expect(throws: FormatError.self) { _ = try PackedArtifact(path) }
        #expect(error?.exitCode == 65)
        #expect(error?.message.contains(wanted) == true, "\(error?.message ?? "")")
      }
    }

    /// Made by the version of graphc that wrote zstd frames only.
    @Test func anArtifactOfVersion1IsRead() throws {
      let path = Repository.root.appendingPathComponent("Tests/Fixtures/artifacts/version1.gca")
        .path
      #expect(try ArtifactContainer.read(path).version == 1)
      let old = try Artifact.read(path)
      let folder = try TemporaryFolder()
      try old.container().write(folder.file("new.gca"))
      let new = try Artifact.read(folder.file("new.gca"))
      #expect(try ArtifactContainer.read(folder.file("new.gca")).version == 2)
      #expect(new.tensors == old.tensors)
      #expect(new.model.printed() == old.model.printed())
      let sizes = try [path, folder.file("new.gca")].map { try readFile($0).count }
      #expect(Double(sizes[1]) < 0.98 * Double(sizes[0]), "\(sizes)")
    }

    /// Alone, each trained tensor takes the bytes that were predicted.
    @Test func sizesOfTrainedTensorsArePredicted() throws {
      let path = Repository.root.appendingPathComponent("Tests/Fixtures/artifacts/version1.gca")
        .path
      let artifact = try Artifact.read(path)
      var compared = 0
      for parameter in artifact.model.graph.parameters {
        let tensor = try #require(artifact.tensors[parameter.path])
        for (stream, elements) in zip(tensor.precision.form.streams, tensor.streams) {
          guard let matrix = stream.matrix(of: parameter) else { continue }
          let codes = elements.codes.map { UInt8(bitPattern: $0) }
          let real = try #require(try RangeCoder.encode(codes, [matrix])).count
          let predicted = try RangeCoder.predictedBytes(codes, [matrix]).bytes
          #expect(abs(predicted - real) * 100 <= real, "\(parameter.path): \(predicted), \(real)")
          compared += 1
        }
      }
      #expect(compared > 10)
    }

    /// The bytes that parameters pay are those of the groups.
    @Test func parametersPayForWhatIsStored() throws {
      let folder = try TemporaryFolder()
      try artifact().container().write(folder.file("a.gca"))
      let packed = try PackedArtifact(folder.file("a.gca"))
      let paid = try packed.storedBytes()
      let stored = packed.container.groups.reduce(0) { $0 + $1.frame.count }
      #expect(Set(paid.keys) == Set(packed.model.graph.parameters.map(\.path)))
      #expect(abs(paid.values.reduce(0, +) - Double(stored)) < 0.01)
      #expect(paid.values.allSatisfy { $0 > 0 })
    }

    /// Any frame under any coder's number, with a true hash: refused or read, and never more.
    @Test func framesOfOtherCodersAndDamagedOnesAreRefusedOrRead() throws {
      let folder = try TemporaryFolder()
      let container = try artifact().container()
      let bytes = try container.encoded()
      // The groups stand at the end, before the hash.
      var places: [(coder: Int, frame: Range<Int>)] = []
      var end = bytes.count - SHA256.byteCount
      for group in container.groups.reversed() {
        places.append((end - group.frame.count - 5, end - group.frame.count..<end))
        end -= group.frame.count + 5 + group.name.utf8.count + 2
      }
      var refused = 0
      let random = RandomStream(seed: 7, path: "frames")
      for trial in 0..<400 as Range<UInt64> {
        var damaged = bytes
        let place = places[Int(random.bits(4 * trial) % UInt64(places.count))]
        if trial % 2 == 0 {
          damaged[place.coder] = UInt8(random.bits(4 * trial + 1) % 6)
        } else if !place.frame.isEmpty {
          let at =
            place.frame.lowerBound
            + Int(random.bits(4 * trial + 1) % UInt64(place.frame.count))
          damaged[at] = UInt8(truncatingIfNeeded: random.bits(4 * trial + 2))
        }
        damaged.replaceSubrange(
          (damaged.count - SHA256.byteCount)...,
          with: SHA256.digest(damaged.dropLast(SHA256.byteCount)))
        let path = try folder.write("damaged", damaged)
        do { _ = try Artifact.read(path) } catch is FormatError { refused += 1 }
      }
      #expect(refused > 100)
    }

    @Test func namesFallIntoClassesByLayer() {
      #expect("blocks.11.attn.c_q".tensorClass == "blocks.*.attn.c_q")
      #expect("tok_emb".tensorClass == "tok_emb")
    }

    @Test func initialValuesDependOnSeedAndPathOnly() throws {
      let model = try CompiledModel.small()
      let layout = ParameterLayout(model.graph.parameters)
      let blocks = try [1, 1, 2].map { seed in
        let block = try ParameterBlock(layout: layout)
        block.initialise(seed: UInt64(seed))
        return block
      }
      #expect(blocks[0].sha256() == blocks[1].sha256())
      #expect(blocks[0].sha256() != blocks[2].sha256())
      let first = blocks[0].floats("blocks.0.attn.c_q")
      let second = blocks[0].floats("blocks.1.attn.c_q")
      #expect(first != second)
      let bound = 1 / Float(32).squareRoot()
      #expect(first.allSatisfy { abs($0) <= bound })
      #expect(first.contains { abs($0) > bound / 2 })
      #expect(blocks[0].floats("blocks.0.attn_scale").allSatisfy { $0 == 1 })
    }
  }
}

extension Artifact {
  /// What a reader expects of each group.
  fileprivate func shapes() throws -> [String: GroupShape] {
    var shapes: [String: GroupShape] = [:]
    for parameter in model.graph.parameters {
      for stream in try #require(tensors[parameter.path]).precision.form.streams {
        let (group, before) = (stream.group(of: parameter), shapes[stream.group(of: parameter)])
        if let matrix = stream.matrix(of: parameter) {
          shapes[group] = GroupShape(matrices: (before?.matrices ?? []) + [matrix])
        } else {
          shapes[group] = GroupShape(bytes: (before?.bytes ?? 0) + stream.bytes(of: parameter))
        }
      }
    }
    return shapes
  }
}

extension ParameterBlock {
  fileprivate var values: [Float] {
    layout.entries.flatMap { floats($0.parameter.path) }
  }

  /// A copy of one parameter: the block may go before the pointer into it is read.
  func floats(_ path: String) -> [Float] {
    withExtendedLifetime(self) { Array(self[path]!) }
  }
}
