// SPDX-License-Identifier: Apache-2.0
// The size that an artifact of some weights would have, without compressing anything.

import Formats
import IR

/// Predicts artifact sizes of one model from weights.
///
/// Weights are rounded to the nearest codes of the model's rules. Codes cost what the range coder would spend
/// on them, other numbers the entropy of their bytes; the graph's text and the frame of the file are known.
/// Matrices whose form `precision auto` chooses get what the budget leaves them.
public struct SizePredictor {
  private let model: Model
  private let quantize: QuantizeSettings?
  /// Matrices whose form is chosen when weights are stored.
  private let free: [Parameter]
  /// Bytes of the file that no weight changes.
  private let frame: Int

  public init(_ model: Model) throws(FormatError) {
    quantize = model.settings.quantize
    free = model.graph.parameters.filter { model.settings.quantize?.isFree($0) ?? false }
    self.model = model.forArtifact
    frame = try self.model.artifactFrame()
  }

  /// Bytes of the artifact of some weights.
  public func bytes(of weights: ParameterBlock) throws -> Int {
    guard !free.isEmpty, let quantize, let budget = quantize.budget else {
      return try bytes(of: weights, chosen: nil)
    }
    let least = try bytes(of: weights, chosen: PrecisionSearch.forms.coarsest)
    let most = try bytes(of: weights, chosen: PrecisionSearch.forms.finest)
    return min(max(budget - quantize.codeBytes, least), most)
  }

  private func bytes(of weights: ParameterBlock, chosen: Precision?) throws -> Int {
    var model = model
    if let chosen {
      model.settings.quantize = model.settings.quantize?.fixed(free.map { ($0.path, chosen) })
    }
    let artifact = try Artifact(
      model: model, parameters: weights, precision: model.precisionTable.mapValues(\.nearest))
    return try frame + artifact.predictedBytes()
  }
}

extension PrecisionSearch {
  /// The first and the last form that a matrix may be given, where its weights reach four deviations.
  static var forms: (finest: Precision, coarsest: Precision) {
    func form(_ step: Double) -> Precision {
      Precision.int(quantizer(step: step, reach: 4)).nearest
    }
    return (form(steps[0]), form(steps[steps.count - 1]))
  }
}

extension Model {
  /// Bytes of an artifact of this declaration besides the frames of its groups.
  func artifactFrame() throws(FormatError) -> Int {
    let groups = Artifact.groups(Artifact.pieces(self)).map {
      StoredGroup(name: $0.name, coder: .zstd, frame: [])
    }
    let container = try ArtifactContainer(graph: Array(printed().utf8), storedGroups: groups)
    return try container.encoded().count
  }
}

extension Artifact {
  /// The bytes that the frames of all groups are expected to take.
  fileprivate func predictedBytes() throws -> Int {
    let pieces = Artifact.pieces(model)
    let contents = contents(pieces)
    return try Artifact.groups(pieces).reduce(0) { sum, group in
      let content = contents[group.name]!
      guard group.matrices.isEmpty else {
        return sum + (try RangeCoder.predictedBytes(content, group.matrices).bytes)
      }
      return sum + Int(planeEntropy(content, elementBytes: group.elementBytes).rounded(.up))
    }
  }
}

/// Bytes that elements take at least if the first bytes of all are coded by themselves, the second ones too, and
/// so on.
func planeEntropy(_ content: [UInt8], elementBytes: Int) -> Double {
  (0..<elementBytes).reduce(0.0) { sum, byte in
    let plane = stride(from: byte, to: content.count, by: elementBytes).map {
      Int8(bitPattern: content[$0])
    }
    return sum + entropyBits(of: plane) / 8
  }
}
