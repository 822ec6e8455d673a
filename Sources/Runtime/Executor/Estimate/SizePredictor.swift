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
  private let declared: Model
  private let quantize: QuantizeSettings?
  /// Matrices whose form is chosen when weights are stored.
  private let free: [Parameter]
  /// Bytes of the file that no weight changes, and those of what packing adds to the rules.
  private let (frame, added): (Int, Int)

  public init(_ model: Model) throws(FormatError) {
    (declared, quantize) = (model, model.settings.quantize)
    free = model.freeParameters
    frame = try model.forArtifact.artifactFrame()
    let choices = model.settings.quantize?.expectedAdditions(model.graph.parameters) ?? []
    added = Int(choices.reduce(0.0) { $0 + $1.bytes.expected }.rounded())
  }

  /// Bytes of the artifact of some weights.
  public func bytes(of weights: ParameterBlock) throws -> Int {
    guard !free.isEmpty, let quantize, let budget = quantize.budget else {
      return try bytes(of: weights, chosen: [])
    }
    func chosen(_ form: (ClosedRange<Int>) -> Precision) -> [(path: String, precision: Precision)] {
      free.map { ($0.path, form(quantize.bits(of: $0))) }
    }
    let least = try bytes(of: weights, chosen: chosen(PrecisionSearch.coarsest))
    let most = try bytes(of: weights, chosen: chosen(PrecisionSearch.finest))
    return min(max(budget - quantize.codeBytes, least), most)
  }

  private func bytes(
    of weights: ParameterBlock, chosen: [(path: String, precision: Precision)]
  ) throws -> Int {
    var model = declared
    if !chosen.isEmpty { model.settings.quantize = model.settings.quantize?.fixed(chosen) }
    let artifact = try Artifact(
      model: model.forArtifact, parameters: weights, precision: model.precisionTable)
    return try frame + added + artifact.predictedBytes()
  }
}

extension PrecisionSearch {
  /// The form of the fewest bytes that a free matrix may be given. The further weights reach, the coarser is
  /// the coarsest step of so many bits.
  static func coarsest(_ bits: ClosedRange<Int>) -> Precision {
    form(steps.reversed(), reach: 12, bits: bits, otherwise: bits.lowerBound)
  }

  /// The form of the most bytes that a free matrix may be given.
  static func finest(_ bits: ClosedRange<Int>) -> Precision {
    form(steps, reach: 3, bits: bits, otherwise: bits.upperBound)
  }

  private static func form(
    _ steps: [Double], reach: Double, bits: ClosedRange<Int>, otherwise: Int
  ) -> Precision {
    let quantizers = steps.lazy.map { quantizer(step: $0, reach: reach) }
    let found = quantizers.first { bits.contains($0.bits) }
    return Precision.int(found ?? Quantizer(bits: otherwise, clip: .max)).nearest
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
